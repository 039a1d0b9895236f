package codec

import "errors"

// Errors of the line and reply parsers.
var (
	// ErrIncomplete asks for more bytes: the line or reply has not ended yet.
	ErrIncomplete = errors.New("codec: incomplete")
	// ErrLineTooLong means that no line end came within the cap. The caller
	// discards the rest of the line with SkipLine, also after ErrBareLF.
	ErrLineTooLong = errors.New("codec: line too long")
	// ErrBareNewline means a line with a bare CR or a NUL in it (RFC 5321 sections
	// 2.3.8 and 4.1.1).
	ErrBareNewline = errors.New("codec: bare CR or NUL in command line")
	// ErrReplySyntax means that the peer does not speak SMTP: no three-digit
	// code, a code outside 200..599, or lines of different codes.
	ErrReplySyntax = errors.New("codec: malformed reply")
	// ErrReplyTooLong means a reply that is longer than MaxReply.
	ErrReplyTooLong = errors.New("codec: reply too long")
)

// Errors of the argument parsers. ReplyForArgs gives the reply for each.
var (
	// ErrArgSyntax means arguments that do not fit the command's grammar.
	ErrArgSyntax = errors.New("codec: syntax error in arguments")
	// ErrReversePath means a malformed path in MAIL.
	ErrReversePath = errors.New("codec: malformed reverse-path")
	// ErrForwardPath means a malformed path in RCPT.
	ErrForwardPath = errors.New("codec: malformed forward-path")
	// ErrUnknownParam means a parameter that is unknown, or whose extension
	// was not advertised.
	ErrUnknownParam = errors.New("codec: parameter not recognized")
	// ErrParamValue means a known parameter with a bad value, or given twice.
	ErrParamValue = errors.New("codec: bad parameter value")
	// ErrNeedUTF8 means a path that needs the SMTPUTF8 parameter
	// (RFC 6531 section 3.5).
	ErrNeedUTF8 = errors.New("codec: non-ASCII address without SMTPUTF8")
)

// Errors of content.
var (
	// ErrBareLF means an LF, in content or in a command line, that no CR comes before.
	ErrBareLF = errors.New("codec: bare LF")
	// ErrBareCR means a CR in content that no LF follows.
	ErrBareCR = errors.New("codec: bare CR in content")
	// ErrTooBig means content above the decoder's limit.
	ErrTooBig = errors.New("codec: content too big")
	// ErrBudget means that the memory for content is used up for now.
	ErrBudget = errors.New("codec: content budget exhausted")
)

// Errors of SASL messages.
var (
	// ErrBase64 means text that is not canonical base64.
	ErrBase64 = errors.New("codec: malformed base64")
	// ErrSASL means a decoded message that does not fit its mechanism.
	ErrSASL = errors.New("codec: malformed SASL message")
)
