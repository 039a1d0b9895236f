package server

import "xoauth2-proxy/codec"

// Replies that only a session uses; codec has the others.
var (
	replyHelloFirst      = codec.Reply{Code: 503, Enhanced: codec.EnhancedCode{5, 5, 1}, Text: "Send EHLO first"}
	replyAccountRemoved  = codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 7, 0}, Text: "The account was removed from the proxy's configuration"}
	replyNextTransaction = codec.Reply{Code: 452, Enhanced: codec.EnhancedCode{4, 5, 3}, Text: "The provider refused the first recipient; send this one in another transaction"}
	replyTooManyFailures = codec.Reply{Code: 454, Enhanced: codec.EnhancedCode{4, 7, 0}, Text: "Too many failed logins from this address or to this account, try again later"}
	replyTooManyMessages = codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 7, 0}, Text: "Enough messages on this connection, open another one"}
	replyHTTP            = codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 7, 0}, Text: "This is SMTP, HTTP is not spoken here"}
	replyTooSlow         = codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 4, 2}, Text: "Content came at less than 1 KiB a second for a minute, closing the connection"}
	replyNoCRLF          = codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 5, 2}, Text: "No CRLF in the rest of a line with a bare LF, closing the connection"}
	replyNotAllowed      = codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 7, 1}, Text: "This address may not connect here"}
)

func replyGreeting(hostname string) codec.Reply {
	return codec.Reply{Code: 220, Text: hostname + " ESMTP service ready"}
}

func replyHelo(hostname string) codec.Reply { return codec.Reply{Code: 250, Text: hostname} }

// replySuspended refuses a login to an account that an operator has paused.
func replySuspended(why string) codec.Reply {
	return codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 7, 0}, Text: why}
}
