package smtpd

import (
	"maps"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Names of replies in preset.replies that are no limit of a mailbox.
const (
	replyCommandLine = "command_line"
	replyMessages    = "messages_per_connection"
	replyRecipients  = "recipients"
	replySize        = "size"
	replyBadToken    = "token"
)

// replyRate is the reply to a message beyond the rate per minute, unless the
// provider delays it.
const replyRate = "450 4.2.1 The user is sending mail too quickly. Please try again later."

// preset is the behaviour of one provider. Replies are in wire order: code, text;
// '\n' parts lines.
type preset struct {
	keywords []string // EHLO keywords after TLS
	limits   mailbox.Limits
	greeting string
	// challenge makes a refused token a 334 with JSON before the 535.
	challenge bool
	// delayOverRate delays a message beyond the rate per minute.
	delayOverRate bool

	// atLogin refuses a connection beyond the limit at AUTH, and not at DATA.
	atLogin bool

	needTLS, needAuth, noRecipient string
	basicAuth, badMechanism        string
	// replies are the refusals that Endpoint.Replies may replace, by name: of a
	// limit, of the SIZE of a message, and of a token.
	replies                       map[string]string
	acceptedBefore, acceptedAfter string // around the message id
}

// Plain is the preset with few extensions; the other two are named as their
// providers.
const Plain = "plain"

var presets = map[string]*preset{
	mailbox.Gmail: {
		keywords: []string{"SIZE 35882577", "8BITMIME",
			"AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH",
			"ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8"},
		limits: mailbox.Limits{Connections: 15, Recipients: 100, MessagesPerDay: 2000, RecipientsPerDay: 10000,
			CommandLine: 1000, IdleTimeout: wait.Duration(10 * time.Minute)},
		greeting:       "220 smtp.sandbox.test ESMTP sandbox - gsmtp",
		challenge:      true,
		needTLS:        "530 5.7.0 Must issue a STARTTLS command first. - gsmtp",
		needAuth:       "530 5.7.0 Authentication Required. - gsmtp",
		basicAuth:      "534 5.7.9 Application-specific password required. - gsmtp",
		badMechanism:   "504 5.7.4 Unrecognized Authentication Type - gsmtp",
		atLogin:        true,
		noRecipient:    "503 5.5.1 RCPT first. - gsmtp",
		acceptedBefore: "2.0.0 OK  ",
		acceptedAfter:  " - gsmtp",
		replies: map[string]string{
			replyBadToken:            "535 5.7.8 Username and Password not accepted. For more information, go to\n5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp",
			mailbox.LimitConnections: "421 4.7.0 Too many concurrent connections from this account. - gsmtp",
			mailbox.LimitLogins:      "454 4.7.0 Too many login attempts, please try again later. - gsmtp",
			replyCommandLine:         "555 5.5.2 Syntax error. - gsmtp",
			replyMessages:            "421 4.4.5 Server busy, try again later. - gsmtp",
			replyRecipients:          "452 4.5.3 Your message has too many recipients. - gsmtp",
			replySize:                "552 5.3.4 Your message exceeded Google's message size limits. - gsmtp",
			mailbox.LimitMessages:    "550 5.4.5 Daily user sending limit exceeded. - gsmtp",
			mailbox.LimitRecipients:  "550 5.4.5 Daily user sending limit exceeded. - gsmtp",
		},
	},
	mailbox.Outlook: {
		keywords: []string{"SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES",
			"AUTH LOGIN XOAUTH2", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8"},
		limits: mailbox.Limits{Connections: 3, Recipients: 1000, MessagesPerMinute: 30, RecipientsPerDay: 10000,
			IdleTimeout: wait.Duration(5 * time.Minute)},
		greeting:       "220 smtp.sandbox.test Microsoft ESMTP MAIL Service ready",
		delayOverRate:  true,
		needTLS:        "530 5.7.57 Client not authenticated to send mail.",
		needAuth:       "530 5.7.57 Client not authenticated to send mail.",
		basicAuth:      "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [sandbox]",
		badMechanism:   "504 5.7.4 Unrecognized authentication type [sandbox]",
		noRecipient:    "503 5.5.2 Need rcpt command",
		acceptedBefore: "2.0.0 OK <",
		acceptedAfter:  "@sandbox.test> [Hostname=smtp.sandbox.test]",
		replies: map[string]string{
			replyBadToken:            "535 5.7.3 Authentication unsuccessful [sandbox]",
			mailbox.LimitConnections: "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
			mailbox.LimitLogins:      "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
			replyCommandLine:         "500 5.5.6 Line too long",
			replyMessages:            "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
			replyRecipients:          "452 4.5.3 Too many recipients",
			replySize:                "552 5.3.4 Message size exceeds fixed maximum message size",
			mailbox.LimitMessages:    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; message quota exceeded",
			mailbox.LimitRecipients:  "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; recipient quota exceeded",
		},
	},
	Plain: {
		keywords:       []string{"SIZE 1048576", "8BITMIME", "AUTH XOAUTH2"},
		limits:         mailbox.Limits{IdleTimeout: wait.Duration(5 * time.Minute)},
		greeting:       "220 smtp.sandbox.test ESMTP",
		needTLS:        "530 5.7.0 Must issue a STARTTLS command first",
		needAuth:       "530 5.7.0 Authentication required",
		basicAuth:      "535 5.7.8 Authentication credentials invalid",
		badMechanism:   "504 5.5.4 Unrecognized authentication type",
		atLogin:        true,
		noRecipient:    "503 5.5.1 No valid recipients",
		acceptedBefore: "2.0.0 Accepted ",
		replies: map[string]string{
			replyBadToken:            "535 5.7.8 Authentication credentials invalid",
			mailbox.LimitConnections: "421 4.7.0 Too many connections",
			mailbox.LimitLogins:      "454 4.7.0 Too many logins",
			replyCommandLine:         "500 5.5.6 Line too long",
			replyMessages:            "452 4.4.5 Too many messages on this connection",
			replyRecipients:          "452 4.5.3 Too many recipients",
			replySize:                "552 5.3.4 Message too big",
			mailbox.LimitMessages:    "550 5.4.5 Daily quota exceeded",
			mailbox.LimitRecipients:  "550 5.4.5 Daily quota exceeded",
		},
	},
}

// with returns p with these replies.
func (p *preset) with(replies map[string]string) *preset {
	own := *p
	own.replies = maps.Clone(p.replies)
	maps.Copy(own.replies, replies)
	return &own
}
