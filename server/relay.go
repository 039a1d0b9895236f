package server

import (
	"errors"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream"
)

// Relay takes transactions to the providers; *upstream.Relay implements it.
// None of its methods blocks.
type Relay interface {
	// TrySubmit takes tx, unless it returns an error. With content the whole
	// message is relayed and Complete called; without, the upstream
	// transaction is opened for the recipients so far and RecipientsReplied
	// called, which gives tx back for Continue or Release.
	TrySubmit(tx *upstream.Transaction) error
	// Continue takes tx again, with more recipients or with its content.
	Continue(tx *upstream.Transaction) error
	// Stuck reports whether some answers do not come any more: then
	// Transaction.EndWait tells which. Each loop asks every second.
	Stuck() bool
}

// Tokens tells whether an access token is to be had for an account.
type Tokens interface {
	// Ready reports whether one is at hand. It is called on a loop.
	Ready(a *account.Account) bool
	// Fetch gets one and calls done once, on another goroutine.
	Fetch(a *account.Account, done func(error))
}

// tokenError is what an error of Tokens may say beyond that there is none.
type tokenError interface {
	error
	// Permanent is true when only an operator can change it.
	Permanent() bool
	// Public is one line that is fit for a reply.
	Public() string
}

// tokenReply tells why a login got no token. The default is transient: the
// client keeps its messages.
func tokenReply(err error) codec.Reply {
	r := codec.ReplyTempAuthFailure
	var te tokenError
	if errors.As(err, &te) {
		if te.Permanent() {
			r = codec.ReplyAuthFailed
		}
		if text := te.Public(); text != "" {
			r.Text = text
		}
	}
	return r
}
