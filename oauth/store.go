package oauth

import (
	"crypto/sha256"

	"xoauth2-proxy/internal/account"
)

// Chain names the refresh tokens that descend from one configured refresh
// token, each rotated from the one before. Other credentials in the accounts
// file make another chain.
type Chain struct {
	AccountID   string
	Fingerprint [sha256.Size]byte // Account.CredentialsFingerprint
}

// Store keeps the newest refresh token of each chain. Its methods are called
// by workers, never by a caller of Source, and may do I/O; each chain is used
// by one goroutine at a time. An error must not hold a token.
type Store interface {
	// Load returns the newest token of the chain, zero if none was saved.
	Load(c Chain) (account.Secret, error)
	// Save keeps token as the newest of the chain. When it returns nil, the
	// token is durable: the one before is forgotten.
	Save(c Chain, token account.Secret) error
}
