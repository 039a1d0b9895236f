package accountfile

import (
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
)

// Name is what a file of accounts is called if nothing else is said.
const Name = "accounts.json"

// Basis is which file the accounts are in, and all that they are read with beside
// its text. What is equal in it gives equal accounts for equal text: an
// accountReader gets nothing else.
type Basis struct {
	// Path is the file, and its name in messages. Empty: there is no telling
	// where it is.
	Path string
	// StateDir is the directory for the copy that finishes a save that was cut
	// off; empty: there is none.
	StateDir string
	// Providers are the providers that an account may name.
	Providers map[string]*account.Provider
	// BindSourceIP has accounts keep their ip_address, which may be an IPv6 one
	// with IPv6 only.
	BindSourceIP, IPv6 bool
	// Keys open sealed values, and seal those that are not bound to their account
	// yet; may be nil.
	Keys *seal.Keyring
}
