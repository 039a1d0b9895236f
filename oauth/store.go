package oauth

import (
	"crypto/sha256"
	"time"

	"xoauth2-proxy/internal/account"
)

// Chain names the refresh tokens that descend from one configured refresh
// token, each rotated from the one before. Another refresh token or client in
// the accounts file makes another chain.
type Chain struct {
	AccountID   string
	Fingerprint [sha256.Size]byte // Account.ChainFingerprint
}

// ChainOf returns the chain of an account.
func ChainOf(a *account.Account) Chain {
	return Chain{AccountID: a.ID, Fingerprint: a.ChainFingerprint()}
}

// Record is what is kept of a chain.
type Record struct {
	// Refresh is the newest refresh token, zero when it is the configured one.
	Refresh account.Secret
	// Rotated is when the provider gave it.
	Rotated time.Time
	// Access is the newest access token, zero when there is none, Refreshed
	// when it was issued and Expiry when it ends.
	Access    account.Secret
	Refreshed time.Time
	Expiry    time.Time
	// Credentials is the Account.CredentialsFingerprint that Access was got
	// under: under another one it is not the account's any more.
	Credentials [sha256.Size]byte
	// Seen is when the chain was met first.
	Seen time.Time
}

// Store keeps the state of chains across restarts. Its methods are safe for
// concurrent use, are called by workers, never by a caller of Source, and may
// do I/O. An error must not hold a token.
type Store interface {
	// Load returns what was saved of the chain; ok is false if nothing was.
	Load(c Chain) (r Record, ok bool, err error)
	// Save keeps r as the state of the chain. When it returns nil, r is durable,
	// and other chains of the account may be forgotten.
	Save(c Chain, r Record) error
	// Retain tells which chains there are. Those that have not been among them
	// for a long time, or hold nothing of use, may be forgotten.
	Retain(live func(Chain) bool) error
}
