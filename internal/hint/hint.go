// Package hint is the catalogue of what goes wrong: each reply of ours that refuses, each
// class of a provider's refusal and each token error has an entry, with its cause and its
// remedy.
package hint

// ID names an entry. The zero value is None.
type ID uint16

// None: there is nothing to explain.
const None ID = 0

// String returns the name, such as "account-paused"; "" for None.
func (id ID) String() string { return "" }
