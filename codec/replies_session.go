package codec

import "xoauth2-proxy/internal/hint"

// Replies about a session.
var (
	ReplyHelloFirst = Reply{Code: 503, Enhanced: EnhancedCode{5, 5, 1}, Text: "Send EHLO first",
		Hint: hint.HelloFirst}
	ReplyAccountRemoved  = Reply{Code: 421, Enhanced: EnhancedCode{4, 7, 0}, Text: "The account was removed from the proxy's configuration", Hint: hint.AccountRemoved}
	ReplyNextTransaction = Reply{Code: 452, Enhanced: EnhancedCode{4, 5, 3}, Text: "The provider refused the first recipient; send this one in another transaction", Hint: hint.NextTransaction}
	ReplyTooManyFailures = Reply{Code: 454, Enhanced: EnhancedCode{4, 7, 0}, Text: "Too many failed logins from this address or to this account, try again later", Hint: hint.TooManyFailedLogins}
	ReplyTooManyMessages = Reply{Code: 421, Enhanced: EnhancedCode{4, 7, 0}, Text: "Enough messages on this connection, open another one", Hint: hint.MessagesPerConnection}
	ReplyHTTP            = Reply{Code: 421, Enhanced: EnhancedCode{4, 7, 0}, Text: "This is SMTP, HTTP is not spoken here", Hint: hint.HTTPClient}
	ReplyTooSlow         = Reply{Code: 421, Enhanced: EnhancedCode{4, 4, 2}, Text: "Content came at less than 1 KiB a second for a minute, closing the connection", Hint: hint.ContentTooSlow}
	ReplyNoCRLF          = Reply{Code: 421, Enhanced: EnhancedCode{4, 5, 2}, Text: "No CRLF in the rest of a line with a bare LF, closing the connection", Hint: hint.NoCRLF}
	ReplyNotAllowed      = Reply{Code: 421, Enhanced: EnhancedCode{4, 7, 1}, Text: "This address may not connect here", Hint: hint.ClientAddressNotAllowed}
)

// Replies about the list of senders of an account. They show none of its addresses.
var (
	ReplySenderNotListed = Reply{Code: 553, Enhanced: EnhancedCode{5, 7, 1}, Text: "The account's list of senders does not have this sender address", Hint: hint.SenderNotListed}
	ReplyFromNotListed   = Reply{Code: 553, Enhanced: EnhancedCode{5, 7, 1}, Text: "The account's list of senders does not have the address in the From field", Hint: hint.FromNotListed}
	ReplyFromUnclear     = Reply{Code: 553, Enhanced: EnhancedCode{5, 7, 1}, Text: "The account has a list of senders, and the message does not have exactly one From field that can be read", Hint: hint.FromUnclear}
)

// ReplyGreeting returns the greeting.
func ReplyGreeting(hostname string) Reply {
	return Reply{Code: 220, Text: hostname + " ESMTP service ready"}
}

// ReplyHelo returns the reply to HELO.
func ReplyHelo(hostname string) Reply { return Reply{Code: 250, Text: hostname} }

// ReplySuspended refuses a login to an account that an operator has paused.
func ReplySuspended(why string) Reply {
	return Reply{Code: 451, Enhanced: EnhancedCode{4, 7, 0}, Text: why, Hint: hint.AccountPaused}
}
