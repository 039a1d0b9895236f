package sandbox

import (
	"strconv"
	"strings"
	"time"
)

// Names of the presets.
const (
	PresetGmail   = "gmail"
	PresetOutlook = "outlook"
	PresetPlain   = "plain"
)

// preset is how one provider looks from outside. Replies are in wire order:
// code, text; '\n' parts lines.
type preset struct {
	keywords []string // EHLO keywords after TLS
	limits   Limits
	greeting string
	// challenge makes a refused token a 334 with JSON before the 535.
	challenge bool
	// delayOverRate delays a message over the rate per minute.
	delayOverRate bool

	needTLS, needAuth, badToken    string
	basicAuth, badMechanism        string
	tooManyConnections             string
	atLogin                        bool // when that one is answered: at AUTH, or at DATA
	tooManyLogins                  string
	lineTooLong, tooManyMessages   string
	tooManyRecipients, tooBig      string
	dailyMessages, dailyRecipients string
	noRecipient                    string
	acceptedBefore, acceptedAfter  string // around the message id
}

var presets = map[string]*preset{
	PresetGmail: {
		keywords: []string{"SIZE 35882577", "8BITMIME",
			"AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH",
			"ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8"},
		limits: Limits{Connections: 15, Recipients: 100, MessagesPerDay: 2000, RecipientsPerDay: 10000,
			CommandLine: 1000, IdleTimeout: Duration(10 * time.Minute)},
		greeting:           "220 smtp.sandbox.test ESMTP sandbox - gsmtp",
		challenge:          true,
		needTLS:            "530 5.7.0 Must issue a STARTTLS command first. - gsmtp",
		needAuth:           "530 5.7.0 Authentication Required. - gsmtp",
		badToken:           "535 5.7.8 Username and Password not accepted. For more information, go to\n5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp",
		basicAuth:          "534 5.7.9 Application-specific password required. - gsmtp",
		badMechanism:       "504 5.7.4 Unrecognized Authentication Type - gsmtp",
		tooManyConnections: "421 4.7.0 Too many concurrent connections from this account. - gsmtp",
		atLogin:            true,
		tooManyLogins:      "454 4.7.0 Too many login attempts, please try again later. - gsmtp",
		lineTooLong:        "555 5.5.2 Syntax error. - gsmtp",
		tooManyMessages:    "421 4.4.5 Server busy, try again later. - gsmtp",
		tooManyRecipients:  "452 4.5.3 Your message has too many recipients. - gsmtp",
		tooBig:             "552 5.3.4 Your message exceeded Google's message size limits. - gsmtp",
		dailyMessages:      "550 5.4.5 Daily user sending limit exceeded. - gsmtp",
		dailyRecipients:    "550 5.4.5 Daily user sending limit exceeded. - gsmtp",
		noRecipient:        "503 5.5.1 RCPT first. - gsmtp",
		acceptedBefore:     "2.0.0 OK  ",
		acceptedAfter:      " - gsmtp",
	},
	PresetOutlook: {
		keywords: []string{"SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES",
			"AUTH LOGIN XOAUTH2", "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8"},
		limits: Limits{Connections: 3, Recipients: 1000, MessagesPerMinute: 30, RecipientsPerDay: 10000,
			IdleTimeout: Duration(5 * time.Minute)},
		greeting:           "220 smtp.sandbox.test Microsoft ESMTP MAIL Service ready",
		delayOverRate:      true,
		needTLS:            "530 5.7.57 Client not authenticated to send mail.",
		needAuth:           "530 5.7.57 Client not authenticated to send mail.",
		badToken:           "535 5.7.3 Authentication unsuccessful [sandbox]",
		basicAuth:          "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [sandbox]",
		badMechanism:       "504 5.7.4 Unrecognized authentication type [sandbox]",
		tooManyConnections: "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
		tooManyLogins:      "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
		lineTooLong:        "500 5.5.6 Line too long",
		tooManyMessages:    "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
		tooManyRecipients:  "452 4.5.3 Too many recipients",
		tooBig:             "552 5.3.4 Message size exceeds fixed maximum message size",
		dailyMessages:      "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; message quota exceeded",
		dailyRecipients:    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; recipient quota exceeded",
		noRecipient:        "503 5.5.2 Need rcpt command",
		acceptedBefore:     "2.0.0 OK <",
		acceptedAfter:      "@sandbox.test> [Hostname=smtp.sandbox.test]",
	},
	PresetPlain: {
		keywords:           []string{"SIZE 1048576", "8BITMIME", "AUTH XOAUTH2"},
		limits:             Limits{IdleTimeout: Duration(5 * time.Minute)},
		greeting:           "220 smtp.sandbox.test ESMTP",
		needTLS:            "530 5.7.0 Must issue a STARTTLS command first",
		needAuth:           "530 5.7.0 Authentication required",
		badToken:           "535 5.7.8 Authentication credentials invalid",
		basicAuth:          "535 5.7.8 Authentication credentials invalid",
		badMechanism:       "504 5.5.4 Unrecognized authentication type",
		tooManyConnections: "421 4.7.0 Too many connections",
		atLogin:            true,
		tooManyLogins:      "454 4.7.0 Too many logins",
		lineTooLong:        "500 5.5.6 Line too long",
		tooManyMessages:    "452 4.4.5 Too many messages on this connection",
		tooManyRecipients:  "452 4.5.3 Too many recipients",
		tooBig:             "552 5.3.4 Message too big",
		dailyMessages:      "550 5.4.5 Daily quota exceeded",
		dailyRecipients:    "550 5.4.5 Daily quota exceeded",
		noRecipient:        "503 5.5.1 No valid recipients",
		acceptedBefore:     "2.0.0 Accepted ",
	},
}

// extension is a set of EHLO keywords, as offered in the last EHLO reply.
type extension uint16

const (
	extSIZE extension = 1 << iota
	ext8BITMIME
	extSMTPUTF8
	extDSN
	extBINARYMIME
	extCHUNKING
	extPIPELINING
	extSTARTTLS
	extAUTH
)

var extensionNames = map[string]extension{
	"SIZE": extSIZE, "8BITMIME": ext8BITMIME, "SMTPUTF8": extSMTPUTF8, "DSN": extDSN,
	"BINARYMIME": extBINARYMIME, "CHUNKING": extCHUNKING, "PIPELINING": extPIPELINING,
	"STARTTLS": extSTARTTLS, "AUTH": extAUTH,
}

// offer is one EHLO answer: its lines, and what follows from them.
type offer struct {
	lines []string
	exts  extension
	mechs []string
	size  int64 // of SIZE, 0 none
}

func newOffer(lines []string) *offer {
	o := &offer{lines: lines}
	for _, l := range lines {
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		e := extensionNames[strings.ToUpper(words[0])]
		o.exts |= e
		switch {
		case e == extSIZE && len(words) > 1:
			o.size, _ = strconv.ParseInt(words[1], 10, 64)
		case e == extAUTH:
			o.mechs = words[1:]
		}
	}
	return o
}

// clear returns the offer before TLS, with a line in the place of AUTH.
func (o *offer) clear(instead string) *offer {
	lines := make([]string, 0, len(o.lines)+1)
	done := false
	for _, l := range o.lines {
		if strings.HasPrefix(strings.ToUpper(l), "AUTH") {
			if !done {
				lines = append(lines, instead)
			}
			done = true
			continue
		}
		lines = append(lines, l)
	}
	if !done {
		lines = append(lines, instead)
	}
	return newOffer(lines)
}

// without returns the offer less one keyword or one AUTH mechanism.
func (o *offer) without(word string) *offer {
	var lines []string
	for _, l := range o.lines {
		words := strings.Fields(l)
		kept := words[:0]
		for _, w := range words {
			if !strings.EqualFold(w, word) {
				kept = append(kept, w)
			}
		}
		// The keyword itself gone, its arguments go with it.
		if len(kept) == 0 || !strings.HasPrefix(strings.ToUpper(l), strings.ToUpper(kept[0])) {
			continue
		}
		lines = append(lines, strings.Join(kept, " "))
	}
	return newOffer(lines)
}

// mechanism reports whether AUTH offers it.
func (o *offer) mechanism(name string) bool {
	for _, m := range o.mechs {
		if strings.EqualFold(m, name) {
			return true
		}
	}
	return false
}

// merge returns l with the values of over that are not 0; negative ones
// become 0, no limit.
func (l Limits) merge(over Limits) Limits {
	pick := func(v *int, o int) {
		if o != 0 {
			*v = max(o, 0)
		}
	}
	pick(&l.Connections, over.Connections)
	pick(&l.Recipients, over.Recipients)
	pick(&l.MessagesPerConnection, over.MessagesPerConnection)
	pick(&l.CommandLine, over.CommandLine)
	pick(&l.MessagesPerMinute, over.MessagesPerMinute)
	pick(&l.MessagesPerDay, over.MessagesPerDay)
	pick(&l.RecipientsPerDay, over.RecipientsPerDay)
	pick(&l.LoginsPerMinute, over.LoginsPerMinute)
	if over.IdleTimeout != 0 {
		l.IdleTimeout = max(over.IdleTimeout, 0)
	}
	return l
}

// effective returns the limits to enforce: with limits off, only those that are
// no matter of load.
func (l Limits) effective(on bool) Limits {
	if on {
		return l
	}
	return Limits{CommandLine: l.CommandLine, IdleTimeout: l.IdleTimeout}
}
