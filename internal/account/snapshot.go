package account

import (
	"errors"
	"fmt"
	"slices"
)

// Snapshot is an immutable set of accounts. It is safe for any number of
// concurrent readers.
type Snapshot struct {
	all     []*Account
	byLogin map[string]*Account // by FoldLogin(Email)
	byID    map[string]*Account

	catchAll  bool // there is at least one catch-all account
	mailboxes mailboxes

	extensions Extensions // that every account has
}

// DuplicateError says that two accounts of one set share what must be unique.
type DuplicateError struct {
	// Field is "account_id" or "email".
	Field string
	// Value is the field's value in the later account.
	Value string
	// First and Second are the indices of the two accounts.
	First, Second int
}

// Error implements error.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("%s %q of account %d is that of account %d already", e.Field, e.Value, e.Second, e.First)
}

// NewSnapshot makes a snapshot of accounts, in their order. It takes the
// accounts: nobody may change them afterwards. The error joins a
// [*DuplicateError] for each account_id, and for each email under case folding,
// that is not unique, and one error for each that is empty or too long.
func NewSnapshot(accounts []*Account) (*Snapshot, error) {
	s := &Snapshot{
		all:     slices.Clone(accounts),
		byLogin: make(map[string]*Account, len(accounts)),
		byID:    make(map[string]*Account, len(accounts)),

		extensions: ^Extensions(0),
	}
	var errs []error
	index := make(map[*Account]int, len(accounts))
	for i, a := range accounts {
		if a.ID == "" || a.Email == "" || len(a.Email) > MaxLogin {
			errs = append(errs, fmt.Errorf("account %d: account_id and email are needed, the email in at most %d octets", i, MaxLogin))
			continue
		}
		if first, ok := s.byID[a.ID]; ok {
			errs = append(errs, &DuplicateError{"account_id", a.ID, index[first], i})
			continue
		}
		s.catchAll = s.catchAll || a.IsCatchAll()
		s.extensions &= a.Extensions
		key := FoldLogin(a.Email)
		if first, ok := s.byLogin[key]; ok {
			errs = append(errs, &DuplicateError{"email", a.Email, index[first], i})
			continue
		}
		index[a] = i
		s.byID[a.ID] = a
		s.byLogin[key] = a
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, a := range s.all {
		a.keepFingerprints()
	}
	return s, nil
}

// ByLogin finds the account that a client names at AUTH, whatever the case of
// the letters. login is borrowed. It takes no lock and, but for a mailbox of a
// catch-all account, does not allocate. The catch-all accounts themselves
// cannot log in.
func (s *Snapshot) ByLogin(login []byte) (*Account, bool) {
	if len(login) > MaxLogin {
		return nil, false
	}
	var buf [MaxLogin]byte
	folded := appendFold(buf[:0], login)
	a, ok := s.byLogin[string(folded)]
	if !s.catchAll {
		return a, ok
	}
	if ok {
		if a.IsCatchAll() {
			return nil, false
		}
		return a, true
	}
	return s.mailboxOf(string(folded), string(login))
}

// ByID finds an account by its id, which is compared as it is, also one made
// for a mailbox of a catch-all account.
func (s *Snapshot) ByID(id string) (*Account, bool) {
	a, ok := s.byID[id]
	if !ok && s.catchAll {
		return s.mailboxByID(id)
	}
	return a, ok
}

// All returns the accounts in the order of the file. The slice is shared: it is
// for reading only.
func (s *Snapshot) All() []*Account { return s.all }

// Extensions returns what the provider of every account has: what may be asked
// for whoever logs in. Without accounts it is ExtensionsUnknown.
func (s *Snapshot) Extensions() Extensions {
	if len(s.all) == 0 {
		return ExtensionsUnknown
	}
	return s.extensions
}

// Len returns the number of accounts.
func (s *Snapshot) Len() int { return len(s.all) }
