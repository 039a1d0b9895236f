package upstream

import (
	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Causes of an [Error], see package failure.
var (
	ErrQueueFull          = failure.ErrQueueFull
	ErrClosed             = failure.ErrClosed
	ErrTransactionExpired = failure.ErrTransactionExpired
	ErrRecipients         = failure.ErrRecipients
	ErrStuck              = failure.ErrStuck
)

// Phase is a step on the way of a message to the upstream.
type Phase = throttle.Phase

// Error says at which phase a transaction failed, and why.
type Error = failure.Error

// ClientReply returns what the client is to be told of an error of this
// package: of TrySubmit, of Continue, or in a Result. Its default is 4yz.
func ClientReply(err error) codec.Reply { return failure.ClientReply(err) }

// ClassOf returns the class of such an error: one short word, which stays as it is.
func ClassOf(err error) string { return failure.ClassOf(err) }

// TokenReply returns what a client is to be told of an error of getting a token: the
// reply temporary, or permanent if only an operator can help, with the error's own text.
func TokenReply(err error, temporary, permanent codec.Reply) codec.Reply {
	return failure.TokenReply(err, temporary, permanent)
}
