package codec

import (
	"errors"

	"xoauth2-proxy/internal/hint"
)

// NoReply is the result of a command that is answered later or not at all.
var NoReply = Reply{}

// Replies of success (2yz), and intermediate ones (3yz).
var (
	ReplyOK           = Reply{250, EnhancedCode{2, 0, 0}, "OK", hint.None}
	ReplyClosing      = Reply{221, EnhancedCode{2, 0, 0}, "Service closing transmission channel", hint.None}
	ReplyHelp         = Reply{214, EnhancedCode{2, 0, 0}, "See RFC 5321", hint.None}
	ReplyStartTLS     = Reply{220, EnhancedCode{2, 0, 0}, "Ready to start TLS", hint.None}
	ReplySenderOK     = Reply{250, EnhancedCode{2, 1, 0}, "Sender OK", hint.None}
	ReplyRecipientOK  = Reply{250, EnhancedCode{2, 1, 5}, "Recipient OK", hint.None}
	ReplyCannotVerify = Reply{252, EnhancedCode{2, 1, 5}, "Cannot verify the user, but will take the message", hint.None}
	ReplyStartData    = Reply{354, EnhancedCode{}, "Start mail input; end with <CRLF>.<CRLF>", hint.None}
	ReplyChunkOK      = Reply{250, EnhancedCode{2, 0, 0}, "Chunk received", hint.None}
	ReplyAuthOK       = Reply{235, EnhancedCode{2, 7, 0}, "Authentication successful", hint.None}
	ReplyAskUsername  = Reply{334, EnhancedCode{}, "VXNlcm5hbWU6", hint.None} // "Username:"
	ReplyAskPassword  = Reply{334, EnhancedCode{}, "UGFzc3dvcmQ6", hint.None} // "Password:"
	ReplyAskResponse  = Reply{334, EnhancedCode{}, "", hint.None}             // an empty challenge
)

// Replies to commands that are malformed, or out of sequence.
var (
	ReplyBareNewline    = Reply{500, EnhancedCode{5, 5, 2}, "Lines must end in CRLF and have no bare CR, bare LF or NUL", hint.BareNewline}
	ReplyLineTooLong    = Reply{500, EnhancedCode{5, 5, 6}, "Line too long", hint.LineTooLong}
	ReplyUnknownVerb    = Reply{500, EnhancedCode{5, 5, 1}, "Command not recognized", hint.UnknownCommand}
	ReplyBadArgs        = Reply{501, EnhancedCode{5, 5, 4}, "Syntax error in parameters or arguments", hint.BadArguments}
	ReplyBadReversePath = Reply{501, EnhancedCode{5, 1, 7}, "Malformed sender address", hint.BadSenderAddress}
	ReplyBadPath        = Reply{501, EnhancedCode{5, 1, 3}, "Malformed recipient address", hint.BadRecipientAddress}
	ReplyUnknownParam   = Reply{555, EnhancedCode{5, 5, 4}, "Parameter not recognized or not implemented", hint.UnknownParameter}
	ReplyNeedUTF8       = Reply{553, EnhancedCode{5, 6, 7}, "Non-ASCII address needs the SMTPUTF8 parameter", hint.SMTPUTF8Missing}
	ReplyNotImplemented = Reply{502, EnhancedCode{5, 5, 1}, "Command not implemented", hint.CommandNotImplemented}
	ReplyBadSequence    = Reply{503, EnhancedCode{5, 5, 1}, "Bad sequence of commands", hint.BadSequence}
	ReplyNoRecipients   = Reply{554, EnhancedCode{5, 5, 1}, "No valid recipients", hint.NoRecipients}
	ReplyTooManyErrors  = Reply{421, EnhancedCode{4, 7, 0}, "Too many errors, closing the connection", hint.TooManyErrors}
	ReplyPipelinedTLS   = Reply{554, EnhancedCode{5, 5, 1}, "Commands pipelined behind STARTTLS were discarded", hint.PipelinedSTARTTLS}
)

// Replies about authentication (RFC 4954 section 6).
var (
	ReplyAuthRequired     = Reply{530, EnhancedCode{5, 7, 0}, "Authentication required", hint.AuthRequired}
	ReplyTLSRequired      = Reply{530, EnhancedCode{5, 7, 0}, "Must issue a STARTTLS command first", hint.STARTTLSRequired}
	ReplyUnknownMechanism = Reply{504, EnhancedCode{5, 5, 4}, "Unrecognized authentication mechanism", hint.UnknownMechanism}
	ReplyAuthCancelled    = Reply{501, EnhancedCode{5, 7, 0}, "Authentication cancelled", hint.AuthCancelled}
	ReplyAuthMalformed    = Reply{501, EnhancedCode{5, 5, 2}, "Malformed authentication response", hint.AuthMalformed}
	ReplyAuthFailed       = Reply{535, EnhancedCode{5, 7, 8}, "Authentication credentials invalid", hint.ClientLoginRefused}

	// ReplyTempAuthFailure tells the MTA to keep the message and retry: the
	// token endpoint failed, not the credentials.
	ReplyTempAuthFailure = Reply{454, EnhancedCode{4, 7, 0}, "Temporary authentication failure", hint.LoginDeferred}
	// ReplyEntryWrong is the same for an account whose entry in the file is wrong.
	ReplyEntryWrong = Reply{454, EnhancedCode{4, 7, 0}, "Temporary authentication failure", hint.AccountEntryWrong}
)

// Replies about content.
var (
	ReplyTooBig         = Reply{552, EnhancedCode{5, 3, 4}, "Message size exceeds fixed maximum message size", hint.MessageTooBig}
	ReplyBareLF         = Reply{554, EnhancedCode{5, 6, 0}, "Bare LF in message content, lines must end in CRLF", hint.BareLF}
	ReplyBareCR         = Reply{554, EnhancedCode{5, 6, 0}, "Bare CR in message content, lines must end in CRLF", hint.BareCR}
	ReplyCannotConvert  = Reply{554, EnhancedCode{5, 6, 3}, "Conversion required but not supported", hint.ConversionRequired}
	ReplyNoUTF8Upstream = Reply{553, EnhancedCode{5, 6, 7}, "The account's provider does not support SMTPUTF8", hint.SMTPUTF8Unsupported}
)

// Replies about resources and the end of service. All ask to try again.
var (
	ReplyNoStorage          = Reply{452, EnhancedCode{4, 3, 1}, "Insufficient system storage, try again later", hint.MemoryUsedUp}
	ReplyTooManyRcpts       = Reply{452, EnhancedCode{4, 5, 3}, "Too many recipients", hint.TooManyRecipients}
	ReplyLocalError         = Reply{451, EnhancedCode{4, 3, 0}, "Local error in processing", hint.LocalError}
	ReplyShutdown           = Reply{421, EnhancedCode{4, 3, 2}, "Service shutting down", hint.ShuttingDown}
	ReplyTimeout            = Reply{421, EnhancedCode{4, 4, 2}, "Timeout, closing the connection", hint.ClientTimeout}
	ReplyTooManyConnections = Reply{421, EnhancedCode{4, 7, 0}, "Too many connections, try again later", hint.TooManyConnections}
	ReplyTooMuchInput       = Reply{421, EnhancedCode{4, 5, 0}, "Too much pipelined input, closing the connection", hint.TooMuchInput}
)

// ReplyForArgs returns the reply for an error of ParseMail, ParseRcpt,
// ParseBdat or ParseAuth.
func ReplyForArgs(err error) Reply {
	switch {
	case errors.Is(err, ErrReversePath):
		return ReplyBadReversePath
	case errors.Is(err, ErrForwardPath):
		return ReplyBadPath
	case errors.Is(err, ErrUnknownParam):
		return ReplyUnknownParam
	case errors.Is(err, ErrNeedUTF8):
		return ReplyNeedUTF8
	}
	return ReplyBadArgs
}

// ReplyForContent returns the reply for an error of DataDecoder or Content.
func ReplyForContent(err error) Reply {
	switch {
	case errors.Is(err, ErrBareLF):
		return ReplyBareLF
	case errors.Is(err, ErrBareCR):
		return ReplyBareCR
	case errors.Is(err, ErrTooBig):
		return ReplyTooBig
	case errors.Is(err, ErrBudget):
		return ReplyNoStorage
	}
	return ReplyLocalError
}
