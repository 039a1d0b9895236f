package accountfile

import (
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
)

// Name is the name of a file of accounts, unless another one is given.
const Name = "accounts.json"

// Basis is where the accounts are, and all that decides what their text means: with
// equal bases, equal text gives equal accounts.
type Basis struct {
	// Path is the file, and its name in messages. Empty: no file was given or found.
	Path string
	// StateDir is the directory for the copy that finishes a save that was cut off.
	// Empty: there is no such copy.
	StateDir string
	// Providers are the providers that an account may name.
	Providers map[string]*account.Provider
	// BindSourceIP has accounts connect from their ip_address; IPv6 lets that be an
	// IPv6 address.
	BindSourceIP, IPv6 bool
	// Keys open sealed values, and seal those that are not bound to their account
	// yet; may be nil.
	Keys *seal.Keyring
	// Signing checks that accounts can sign with the keys that they have; nil: they
	// are not checked.
	Signing Signing
	// Lenient is keyfile.File.Lenient.
	Lenient bool
}

// Signing finds accounts that cannot sign with the keys that they have: all their token
// requests would fail. The error shows no secret.
type Signing interface {
	CheckKeys(*account.Account) error
}
