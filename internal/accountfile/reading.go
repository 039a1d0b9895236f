package accountfile

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// reading reads the accounts of a file piece by piece, or finds them in the cache.
type reading struct {
	cache *Cache
	basis *Basis
	known lookup

	depth    int
	units    []unit
	accounts []*account.Account
	found    []spot // of the accounts
	problems keyfile.Problems

	grouped    []*keyfile.Entry // of the report, in the order of their first account
	groups     map[*keyfile.Statement]*keyfile.Entry
	statements map[keyfile.Statement]*keyfile.Statement

	part  *keyfile.File // the account at hand
	draft accountDraft
}

func newReading(c *Cache, b *Basis) *reading {
	r := &reading{cache: c, basis: b, groups: make(map[*keyfile.Statement]*keyfile.Entry), statements: make(map[keyfile.Statement]*keyfile.Statement)}
	if c.last != nil {
		n := len(c.last.units)
		r.units, r.accounts, r.found = make([]unit, 0, n), make([]*account.Account, 0, n), make([]spot, 0, n)
	}
	r.part = keyfile.NewParts(b.Path, b.Keys, len(accountTable.Keys), &r.problems)
	return r
}

// read reads the accounts of b. With problems in them the cache does not change. ok
// is false if the text cannot be parsed.
func (c *Cache) read(b *Basis, from source, ps *keyfile.Problems, report *keyfile.Report) (snapshot *account.Snapshot, ok bool) {
	if c == nil {
		c = new(Cache)
	}
	var r *reading
	p := takeApart(b.Path, from, ps, func() taker {
		r = newReading(c, b)
		return r.take
	})
	return r.finish(p, ps, report)
}

// take takes the next account. A known one was read when it stood, with the same
// gap, after another account, and it stands after one again.
func (r *reading) take(p *piece) (known bool, err error) {
	if p.index == 0 {
		r.begin(p.depth)
	}
	if r.cache.Pause != nil {
		defer r.cache.Pause()
	}
	r.found = append(r.found, spot{p.index, p.line()})
	var u unit
	if p.index > 0 {
		u.text = digestOf(p.text)
		if known := r.known.find(u.text); known != nil {
			r.units, r.accounts = append(r.units, *known), append(r.accounts, known.account)
			for _, said := range known.notes {
				r.say(said, p.before)
			}
			return true, nil
		}
	}
	a, err := r.readAccount(p)
	if err != nil {
		return false, err
	}
	var about []note
	for _, e := range r.part.Report.Entries() {
		if e.Status != keyfile.InForce {
			one := note{r.statement(e.Statement()), e.Line - p.before}
			r.say(one, p.before)
			about = append(about, one)
		}
	}
	if !r.part.Passing {
		u.account, u.notes = a, about
	}
	r.units = append(r.units, u)
	if a == nil { // there is a problem that says why
		r.found = r.found[:len(r.found)-1]
		return false, nil
	}
	r.accounts = append(r.accounts, a)
	return false, nil
}

// begin begins an array of that depth.
func (r *reading) begin(depth int) {
	r.depth = depth
	if last := r.cache.last; last != nil && last.depth == depth && reflect.DeepEqual(last.basis, r.basis) {
		r.known = lookup{units: last.units, next: 1}
	}
}

// readAccount reads the account of p. Neither the account nor the report of part
// keeps the text.
func (r *reading) readAccount(p *piece) (*account.Account, error) {
	text := p.text[p.gap:]
	node, err := parsePiece(text, p.depth)
	if err != nil {
		return nil, err
	}
	r.part.NextPart(text, p.line()-1, node)
	ar := &accountReader{f: r.part, node: node, basis: r.basis, place: placeOf(p.index), draft: &r.draft}
	return ar.read(), nil
}

// statement returns a shared statement equal to st: many accounts have the same.
func (r *reading) statement(st keyfile.Statement) *keyfile.Statement {
	one, ok := r.statements[st]
	if !ok {
		kept := st
		one = &kept
		r.statements[st] = one
	}
	return one
}

// say adds a note about an account, which begins after so many lines, to the report.
func (r *reading) say(about note, lines int) {
	entry, ok := r.groups[about.Statement]
	if !ok { // the note may be from the cache
		one := r.statement(*about.Statement)
		if entry, ok = r.groups[one]; !ok {
			entry = &keyfile.Entry{File: r.basis.Path, Line: lines + about.line, Key: one.Key, Value: one.Value, Status: one.Status, Note: one.Note}
			r.grouped = append(r.grouped, entry)
			r.groups[one] = entry
		}
		r.groups[about.Statement] = entry
	}
	entry.Count++
}

// finish makes the snapshot after the last account; p is what surrounds them.
func (r *reading) finish(p parts, ps *keyfile.Problems, report *keyfile.Report) (snapshot *account.Snapshot, ok bool) {
	if p.file == nil {
		return nil, false
	}
	report.Add(p.file.Report.Entries()...)
	report.Add(r.grouped...)
	if p.array == nil {
		return nil, true
	}
	p.file.Problems, p.file.Report = &r.problems, report
	var err error
	if last := r.cache.last; last != nil {
		snapshot, err = last.snapshot.Renew(r.accounts)
	} else {
		snapshot, err = account.NewSnapshot(r.accounts)
	}
	addDuplicates(p.file, err, r.found)
	if *ps = append(*ps, r.problems...); len(r.problems) > 0 {
		return nil, true
	}
	noteAccounts(p.file, snapshot)
	for i, a := range snapshot.All() { // one for each unit
		if r.units[i].account != nil {
			r.units[i].account = a
		}
	}
	r.cache.last = &cached{basis: r.basis, depth: r.depth, units: r.units, snapshot: snapshot}
	return snapshot, true
}

// spot is where an account stands in its file.
type spot struct{ index, line int }

// placeOf is what the keys of the account with that index are called.
func placeOf(index int) keyfile.Place {
	return keyfile.Place{Exact: fmt.Sprintf("accounts[%d].", index), General: "accounts[]."}
}

// addDuplicates adds a problem for each duplicate of a snapshot, whose accounts were
// found at these spots.
func addDuplicates(f *keyfile.File, err error, found []spot) {
	for _, dup := range duplicates(err) {
		first, second := found[dup.First], found[dup.Second]
		f.Problems.Add(&keyfile.Problem{File: f.Name, Line: second.line, Key: placeOf(second.index).Exact + dup.Field,
			Message: fmt.Sprintf("%q is in use already, by the account on line %d", dup.Value, first.line)})
	}
}

// duplicates returns the duplicates that the error of a snapshot joins.
func duplicates(err error) []*account.DuplicateError {
	var dups []*account.DuplicateError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if dup, ok := errors.AsType[*account.DuplicateError](e); ok {
				dups = append(dups, dup)
			}
		}
	}
	return dups
}

// noteAccounts adds the line that counts the accounts.
func noteAccounts(f *keyfile.File, s *account.Snapshot) {
	var names []string // in the order of their first account
	count := make(map[string]int)
	for _, a := range s.All() {
		if count[a.Provider]++; count[a.Provider] == 1 {
			names = append(names, a.Provider)
		}
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, count[name])
	}
	if len(names) == 0 {
		names = []string{"nobody can log in"}
	}
	f.Report.Notef("%s: accounts: %d (%s)", f.Name, s.Len(), strings.Join(names, ", "))
}
