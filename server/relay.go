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
	// Stuck reports whether a shard is stuck. Transaction.EndWait then tells which
	// transactions wait for one. Each loop asks every second.
	Stuck() bool
}

// Tokens gets the access tokens of accounts.
type Tokens interface {
	// Ready reports whether a token is cached. It is called on a loop.
	Ready(a *account.Account) bool
	// Fetch gets a token and calls done once, on another goroutine.
	Fetch(a *account.Account, done func(error))
}

// tokenError is an error of Tokens that says more than that there is no token.
type tokenError interface {
	error
	// Permanent is true when only an operator can change it.
	Permanent() bool
	// Public returns one line that is fit for a reply.
	Public() string
}

// tokenReply returns the reply to a login for which there is no token. By default it is
// transient, so that the client keeps its messages.
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
