package server

import (
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
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
	// Expect has the account ready for a message that its client is likely to send soon. It
	// is called on the loop on, and does not wait.
	Expect(a *account.Account, on *loop.Loop)
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
