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

	catchAll bool // there is at least one catch-all account

	extensions Extensions // that every account has

	leftOut       []LeftOut       // the wrong entries of the file
	leftOutLogins map[string]bool // their emails, by FoldLogin
}

// DuplicateError says that two accounts of one set share a value that must be unique.
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
// accounts: the caller must not change them afterwards. The error joins a
// [*DuplicateError] for each account_id, and for each email under case folding,
// that is not unique, and one error for each that is empty or too long.
func NewSnapshot(accounts []*Account) (*Snapshot, error) {
	return newSnapshot(slices.Clone(accounts))
}

// newSnapshot is NewSnapshot for a slice that it may keep.
func newSnapshot(accounts []*Account) (*Snapshot, error) {
	s := &Snapshot{
		all:     accounts,
		byLogin: make(map[string]*Account, len(accounts)),
		byID:    make(map[string]*Account, len(accounts)),

		extensions: ^Extensions(0),
	}
	var errs []error
	for i, a := range accounts {
		if a.ID == "" || a.Email == "" || len(a.Email) > MaxLogin {
			errs = append(errs, fmt.Errorf("account %d: account_id and email are needed, the email in at most %d octets", i, MaxLogin))
			continue
		}
		if _, ok := s.byID[a.ID]; ok {
			errs = append(errs, &DuplicateError{Field: "account_id", Value: a.ID, Second: i})
			continue
		}
		s.catchAll = s.catchAll || a.IsCatchAll()
		s.extensions &= a.Extensions
		key := FoldLogin(a.Email)
		if _, ok := s.byLogin[key]; ok {
			errs = append(errs, &DuplicateError{Field: "email", Value: a.Email, Second: i})
			continue
		}
		s.byID[a.ID] = a
		s.byLogin[key] = a
	}
	if len(errs) > 0 {
		s.findFirst(errs)
		return nil, errors.Join(errs...)
	}
	for _, a := range s.all {
		a.keepFingerprints()
		a.keepMailboxes()
	}
	return s, nil
}

// findFirst completes the errors about duplicates.
func (s *Snapshot) findFirst(errs []error) {
	index := make(map[*Account]int, len(s.all))
	for i, a := range s.all {
		if _, ok := index[a]; !ok {
			index[a] = i
		}
	}
	for _, err := range errs {
		switch dup, ok := errors.AsType[*DuplicateError](err); {
		case !ok:
		case dup.Field == "email":
			dup.First = index[s.byLogin[FoldLogin(dup.Value)]]
		default:
			dup.First = index[s.byID[dup.Value]]
		}
	}
}

// ByLogin finds the account that a client names at AUTH, whatever the case of
// the letters. login is borrowed. It takes no lock and, but for a mailbox of a
// catch-all account and a login beyond ASCII, does not allocate. The catch-all accounts themselves
// cannot log in.
func (s *Snapshot) ByLogin(login []byte) (*Account, bool) {
	if len(login) > MaxLogin {
		return nil, false
	}
	var buf [MaxLogin]byte
	folded, ascii := appendASCII(buf[:0], login)
	if !ascii {
		folded = []byte(foldUnicode(string(login)))
	}
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

// Extensions returns the extensions that the provider of every account has: those that any
// client may use. Without accounts it is ExtensionsUnknown.
func (s *Snapshot) Extensions() Extensions {
	if len(s.all) == 0 {
		return ExtensionsUnknown
	}
	return s.extensions
}

// Len returns the number of accounts.
func (s *Snapshot) Len() int { return len(s.all) }

// Has reports whether an account has that email; a mailbox of a catch-all account has none.
func (s *Snapshot) Has(email string) bool { return s.byLogin[FoldLogin(email)] != nil }
