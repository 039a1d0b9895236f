package accountfile

import (
	"fmt"
	"slices"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// spot is an entry of the file: where it stands, and what it is called.
type spot struct {
	index, line int
	id, email   string           // as far as they can be read
	account     *account.Account // nil: the entry is wrong
	problems    keyfile.Problems // with the entry
}

// leaveOut gives all entries problems that share their email or account_id with another
// one, wrong or not: it is not known which of them is meant. The entries are those of the
// file at path, in its order. leaveOut returns the wrong ones.
func leaveOut(path string, spots []*spot) (entries []account.LeftOut) {
	findTwins(path, spots, "account_id", func(s *spot) string { return s.id })
	findTwins(path, spots, "email", func(s *spot) string { return account.FoldLogin(s.email) })
	for _, s := range spots {
		if len(s.problems) > 0 {
			entries = append(entries, account.LeftOut{Index: s.index, Line: s.line, ID: s.id, Email: s.email, Err: s.problems.Err()})
		}
	}
	return entries
}

// findTwins adds a problem to each of the entries that have the same name; "" is none.
func findTwins(path string, spots []*spot, key string, name func(*spot) string) {
	first := make(map[string]*spot, len(spots))
	for _, s := range spots {
		n := name(s)
		one := first[n]
		switch {
		case n == "":
		case one == nil:
			first[n] = s
		default:
			s.twin(path, one, key, "%q is in use already, by the account on line %d")
			if !slices.ContainsFunc(one.problems, func(p *keyfile.Problem) bool { return p.Key == placeOf(one.index).Exact+key }) {
				one.twin(path, s, key, "%q is in use again, by the account on line %d")
			}
		}
	}
}

// twin adds the problem to s that other has the same value for key.
func (s *spot) twin(path string, other *spot, key, format string) {
	value := s.id
	if key == "email" {
		value = s.email
	}
	s.problems.Add(&keyfile.Problem{File: path, Line: s.line, Key: placeOf(s.index).Exact + key,
		Message: fmt.Sprintf(format, value, other.line)})
}

// placeOf is what the keys of the account with that index are called.
func placeOf(index int) keyfile.Place {
	return keyfile.Place{Exact: fmt.Sprintf("accounts[%d].", index), General: "accounts[]."}
}
