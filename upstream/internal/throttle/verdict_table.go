package throttle

import (
	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
)

// Sources of the table.
const (
	rfc3463     = "RFC 3463"
	rfc4954     = "RFC 4954 section 4"
	rfc5321     = "RFC 5321 section 3.8"
	rfc5321EHLO = "RFC 5321 section 4.1.4"
	msNDR       = "https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online/non-delivery-reports-in-exchange-online"
	msErrors    = "https://learn.microsoft.com/exchange/mail-flow-best-practices/continuous-error-throttling-smtp-auth-submissions"
	msSubmit    = "https://learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements"
	msTenant    = "https://techcommunity.microsoft.com/blog/exchange/introducing-exchange-online-tenant-outbound-email-limits/4372797"
	msSMTPAuth  = "https://learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission"
	googleCodes = "https://support.google.com/a/answer/3726730"
	googleOAuth = "https://developers.google.com/workspace/gmail/imap/xoauth2-protocol"
	observed    = "seen in transcripts"
)

// Closes reports whether the provider ends the connection after the reply (RFC
// 5321 section 3.8).
func Closes(r *codec.Reply) bool { return r.Code == 421 }

// RefusesBDAT reports whether the reply to BDAT is that of a provider that announces
// CHUNKING and does not know BDAT (RFC 5321 section 4.2.4): it says nothing about the
// content. accepted: MAIL and a recipient were accepted. fits: the content is smaller than
// the SIZE that the provider announces.
func RefusesBDAT(r *codec.Reply, accepted, fits bool) bool {
	switch r.Code {
	case 500, 502, 504:
		return true
	case 503: // the sequence of commands was right
		return accepted
	case 552:
		return accepted && fits && r.Enhanced == codec.EnhancedCode{5, 3, 4}
	}
	return false
}

// verdictRows is the table: what a refusal means beyond the message, by provider,
// phase and code. A row has an effect on the account only if the code is about the
// account, the provider uses it so, and the phase allows that meaning: the reply to
// one RCPT may be about that recipient. A row without any effect is an exception
// from a wider row after it. docs/provider-replies.md is generated from the table.
var verdictRows = []verdictRow{
	// Microsoft: the mailbox or the tenant may not send.
	{by: microsoft, at: notAtRcpt, code: "5yz", enhanced: "5.7.501-503", account: AccountHold,
		means: "the sender is blocked: spam, or banned", hint: hint.SenderBlocked, source: msNDR},
	{by: microsoft, at: inTransaction, code: "5yz", enhanced: "5.7.504",
		means: "the recipient is not accepted", hint: hint.RecipientNotAccepted, source: msNDR},
	{by: microsoft, at: inTransaction, code: "5yz", enhanced: "5.7.505",
		means: "the recipient is banned", hint: hint.RecipientNotAccepted, source: msNDR},
	{by: microsoft, at: inTransaction, code: "5yz", enhanced: "5.7.506",
		means: "the HELO name is refused", hint: hint.HELONameRefused, source: msNDR},
	{by: microsoft, at: inTransaction, code: "5yz", enhanced: "5.7.507",
		means: "the recipient's organisation refuses the sender's address", hint: hint.SenderRefusedByRecipient, source: msNDR},
	{by: microsoft, at: inTransaction, code: "5yz", enhanced: "5.7.508",
		means: "the source's address range sends too much; passes by itself", hint: hint.AddressRangeBlocked, source: msNDR},
	{by: microsoft, at: inTransaction, code: "5yz", enhanced: "5.7.509",
		means: "the From domain of this message fails DMARC", hint: hint.DMARCFailed, source: msNDR},
	{by: microsoft, at: notAtRcpt, code: "5yz", enhanced: "5.7.511", account: AccountHold,
		means: "the sender is banned", hint: hint.SenderBanned, source: msNDR},
	{by: microsoft, at: notAtRcpt, code: "5yz", enhanced: "5.7.705", account: AccountHold,
		means: "the tenant has sent too much spam", hint: hint.TenantBlocked, source: msNDR},
	{by: microsoft, at: notAtRcpt, code: "5yz", enhanced: "5.7.708", account: AccountHold,
		means: "the tenant's traffic is not accepted from this address", hint: hint.TenantAddressBlocked, source: msNDR},
	{by: microsoft, at: inTransaction, code: "5yz", enhanced: "5.7.750",
		means: "the From domain is not registered with the tenant", hint: hint.DomainNotRegistered, source: msNDR},
	{by: microsoft, at: notAtRcpt, code: "550", enhanced: "5.1.8", account: AccountHold,
		means: "the sender is blocked: outbound spam", hint: hint.SenderBlocked, source: msNDR},
	{by: anyProvider, at: inTransaction, code: "550", enhanced: "5.1.8",
		means: "the sender's domain does not exist", hint: hint.SenderDomainMissing, source: rfc3463},
	{by: microsoft, at: notAtRcpt, code: "550", enhanced: "5.2.251-255", account: AccountHold,
		means: "the mailbox is barred from submission because of repeated errors: full (251), sending as others (252), no licence (253), too many recipients (254), invalid recipients (255)", hint: hint.MailboxBarred, source: msErrors},
	{by: microsoft, at: notAtRcpt, code: "554", enhanced: "5.2.2", account: AccountHold,
		means: "the account's own mailbox is full, for example of sent copies", hint: hint.MailboxFull, source: msSubmit},
	{by: anyProvider, at: inTransaction, code: "554", enhanced: "5.2.2",
		means: "a recipient's mailbox is full", hint: hint.RecipientMailboxFull, source: rfc3463},

	// Quotas: permanent by their codes, over in a day at most.
	{by: google, at: inTransaction, code: "550", enhanced: "5.4.5", message: MessageQuota, account: AccountQuota,
		means: "the account's messages or recipients of a day are used up", hint: hint.DailyQuota, source: googleCodes},
	{by: microsoft, at: inTransaction, code: "554", enhanced: "5.2.0", text: "SubmissionQuotaExceeded", message: MessageQuota, account: AccountQuota,
		means: "the mailbox's recipients of a day are used up", hint: hint.DailyQuota, source: msSubmit},
	{by: microsoft, at: inTransaction, code: "550", enhanced: "5.1.90", message: MessageQuota, account: AccountQuota,
		means: "the mailbox's recipients of a day are used up", hint: hint.DailyQuota, source: msNDR},
	{by: microsoft, at: inTransaction, code: "5yz", enhanced: "5.7.232-233", message: MessageQuota, account: AccountQuota,
		means: "the tenant's external recipients of a day are used up", hint: hint.TenantQuota, source: msTenant},

	// The connection has done its share. Replies x.3.z and x.7.z speak of the
	// service or the account, another connection would make them worse.
	{by: anyProvider, at: inTransaction, code: "421", enhanced: "none", carried: true, connection: ConnectionRetired,
		means: "the connection has carried enough, or was idle for too long", hint: hint.ConnectionUsedUp, source: rfc5321},
	{by: anyProvider, at: inTransaction, code: "421", enhanced: "x.4.x", carried: true, connection: ConnectionRetired,
		means: "the connection has carried enough, or was idle for too long", hint: hint.ConnectionUsedUp, source: rfc3463},
	{by: anyProvider, at: notAtRcpt, code: "451, 452", enhanced: "x.4.2", carried: true, connection: ConnectionRetired,
		means: "the connection has carried enough", hint: hint.ConnectionUsedUp, source: observed},
	{by: anyProvider, at: notAtRcpt, code: "451, 452", enhanced: "x.4.5", carried: true, connection: ConnectionRetired,
		means: "the connection has carried enough", hint: hint.ConnectionUsedUp, source: observed},

	// Too much at one time, or too fast.
	{by: anyProvider, at: atRcpt, code: "421", enhanced: "x.2.x",
		means: "the recipient gets mail too fast", hint: hint.RecipientBusy, source: googleCodes},
	{by: anyProvider, at: atRcpt, code: "421", enhanced: "none",
		means: "the provider ends the connection at a recipient", hint: hint.RecipientBusy, source: rfc5321},
	{by: anyProvider, at: notAtRcpt, code: "421", enhanced: "none", account: AccountThrottle,
		means: "a new connection is ended: the service is busy", hint: hint.SendsTooFast, source: rfc5321},
	{by: anyProvider, at: notAtRcpt, code: "421", enhanced: "x.2.x", account: AccountThrottle,
		means: "the account sends too fast", hint: hint.SendsTooFast, source: googleCodes},
	{by: anyProvider, at: inTransaction, code: "421", enhanced: "x.3.x", account: AccountThrottle,
		means: "the service is busy", hint: hint.SendsTooFast, source: rfc3463},
	{by: anyProvider, at: inTransaction, code: "421", enhanced: "x.7.x", account: AccountThrottle,
		means: "the account or its source sends too much", hint: hint.SendsTooFast, source: googleCodes},
	{by: anyProvider, at: inTransaction, code: "432", account: AccountThrottle,
		means: "too many connections of the mailbox at one time", hint: hint.SendsTooFast, source: msSubmit},
	{by: anyProvider, at: atRcpt, code: "450, 451", enhanced: "4.7.x",
		means: "greylisting, or the recipient's rate", hint: hint.RecipientBusy, source: rfc3463},
	{by: anyProvider, at: notAtRcpt, code: "450, 451", enhanced: "4.7.x", account: AccountThrottle,
		means: "the account sends too fast, or the service is busy", hint: hint.SendsTooFast, source: msNDR},

	// The name in EHLO.
	{by: anyProvider, at: atEHLO, code: "501, 504, 550", account: AccountLogin,
		means: "the name in EHLO is refused", hint: hint.EHLONameRefused, source: rfc5321EHLO},

	// Before MAIL. A connection more than the provider takes is refused here:
	// those that the account has are halved. Without one there is only a pause.
	{by: anyProvider, at: atConnect | atAuth, code: "421", enhanced: "x.4.x",
		means: "this connection ends", hint: hint.ConnectionRefused, source: rfc3463},
	{by: anyProvider, at: atConnect | atAuth, code: "421, 432", account: AccountThrottle,
		means: "too many connections or logins at one time", hint: hint.TooManyConnectionsOrLogins, source: googleCodes},
	{by: anyProvider, at: atAuth, code: "450, 451", enhanced: "4.7.x", account: AccountLogins,
		means: "too many logins", hint: hint.TooManyLogins, source: rfc3463},
	{by: anyProvider, at: atAuth, code: "454", enhanced: "4.7.0", account: AccountLogins,
		means: "too many logins", hint: hint.TooManyLogins, source: googleCodes},
	{by: microsoft, at: atAuth, code: "535", enhanced: "5.7.139", account: AccountHold,
		means: "SMTP AUTH is disabled, or a policy refuses the login", hint: hint.SMTPAuthDisabled, source: msSMTPAuth},
	{by: anyProvider, at: atAuth, code: "5yz", enhanced: "5.7.139", account: AccountLogin,
		means: "a policy refuses the login", hint: hint.LoginPolicy, source: rfc3463},
	{by: anyProvider, at: atAuth, code: "5yz", enhanced: "5.7.30", account: AccountLogin,
		means: "the login is taken for one by password", hint: hint.PasswordLogin, source: msSMTPAuth},
	{by: anyProvider, at: atAuth, code: "5yz", enhanced: "5.7.3", account: AccountToken,
		means: "the access token is refused", hint: hint.TokenNotForMailbox, source: msSMTPAuth},
	{by: anyProvider, at: atAuth, code: "501", enhanced: "5.5.124", account: AccountToken,
		means: "the access token is malformed or too near its expiry", hint: hint.TokenNearExpiry, source: observed},
	{by: anyProvider, at: atAuth, code: "501", enhanced: "5.5.127", account: AccountToken,
		means: "the access token is malformed or too near its expiry", hint: hint.TokenNearExpiry, source: observed},
	{by: anyProvider, at: atAuth, code: "501", enhanced: "x.5.x", account: AccountLogin, line: LineForm | LineSyntax,
		means: "a line of the login is malformed, which says nothing about the token", hint: hint.LoginForm, source: rfc4954},
	{by: anyProvider, at: atAuth, code: "501", enhanced: "none", account: AccountLogin, line: LineForm | LineSyntax,
		means: "a line of the login is malformed, which says nothing about the token", hint: hint.LoginForm, source: rfc4954},
	{by: anyProvider, at: atAuth, code: "501, 504", account: AccountLogin, line: LineForm,
		means: "the response is not taken in this form", hint: hint.LoginForm, source: rfc4954},
	{by: anyProvider, at: atAuth, code: "500, 555", enhanced: "x.5.x", account: AccountLogin, line: LineSyntax,
		means: "a line of the login is too long or malformed, which says nothing about the token", hint: hint.LoginForm, source: rfc4954},
	{by: anyProvider, at: atAuth, code: "500, 555", enhanced: "none", account: AccountLogin, line: LineSyntax,
		means: "a line of the login is too long or malformed, which says nothing about the token", hint: hint.LoginForm, source: rfc4954},
	{by: anyProvider, at: atAuth, code: "535", enhanced: "5.7.9", account: AccountLogin,
		means: "the user has to sign in with a browser", hint: hint.BrowserLogin, source: googleCodes},
	{by: anyProvider, at: atAuth, code: "535", enhanced: "5.7.14", account: AccountLogin,
		means: "the user has to sign in with a browser", hint: hint.BrowserLogin, source: googleCodes},
	{by: anyProvider, at: atAuth, code: "535", account: AccountToken,
		means: "the access token is refused", hint: hint.TokenNotForSMTP, source: googleOAuth},
}
