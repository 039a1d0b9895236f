package account

import (
	"cmp"
	"slices"
	"strings"
)

// LeftOut is an entry of the file of accounts that is wrong: it gives no account.
type LeftOut struct {
	// Index is the entry's in the file, from 0; Line is where it begins, from 1.
	Index, Line int
	// ID and Email are the entry's, as far as they can be read.
	ID, Email string
	// Err says what is wrong. It shows no secret.
	Err error
	// Kept says that the account is in force as it was before its entry was wrong.
	Kept bool
}

// same reports whether both say the same.
func (e LeftOut) same(other LeftOut) bool {
	return e.Index == other.Index && e.Line == other.Line && e.ID == other.ID && e.Email == other.Email &&
		e.Kept == other.Kept && e.Err.Error() == other.Err.Error()
}

// LeavingOut returns a snapshot of the accounts of s that knows these wrong entries, and
// no others.
func (s *Snapshot) LeavingOut(entries []LeftOut) *Snapshot {
	if slices.EqualFunc(s.leftOut, entries, LeftOut.same) {
		return s
	}
	with := *s
	with.leftOut, with.leftOutLogins = entries, make(map[string]bool, len(entries))
	for _, e := range entries {
		if e.Email != "" {
			with.leftOutLogins[FoldLogin(e.Email)] = true
		}
	}
	return &with
}

// LeftOut returns the wrong entries of the file, in its order. The slice is for reading
// only. While there is one, an account that is not in the snapshot may be in the file:
// what is kept for it must not be forgotten.
func (s *Snapshot) LeftOut() []LeftOut { return s.leftOut }

// IsLeftOut reports whether a login that finds no account is for a wrong entry: it may be
// right again soon. login is borrowed.
func (s *Snapshot) IsLeftOut(login []byte) bool {
	if len(s.leftOut) == 0 || len(login) > MaxLogin {
		return false
	}
	key := FoldLogin(string(login))
	at := strings.LastIndexByte(key, '@')
	return s.leftOutLogins[key] || at > 0 && s.leftOutLogins["*"+key[at:]]
}

// Keeping returns s with the accounts of old whose entries are wrong by now: each stays as
// it was. An account that has another entry now, under its id or its email, does not.
func (s *Snapshot) Keeping(old *Snapshot) *Snapshot {
	if len(s.leftOut) == 0 {
		return s
	}
	entries, all := slices.Clone(s.leftOut), slices.Clone(s.all)
	kept := make(map[*Account]bool)
	for i, e := range entries {
		a := cmp.Or(old.byID[e.ID], old.byLogin[FoldLogin(e.Email)])
		if a == nil || s.byID[a.ID] != nil || s.byLogin[FoldLogin(a.Email)] != nil {
			continue
		}
		entries[i].Kept = true
		if !kept[a] {
			kept[a] = true
			all = append(all, a)
		}
	}
	if len(kept) == 0 {
		return s
	}
	keeping, err := newSnapshot(all)
	if err != nil { // ids and emails of old are unique, and none of these is in s
		return s
	}
	return keeping.LeavingOut(entries)
}
