package accountfile

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
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
	found    []place // of the accounts
	bad      []*spot // the wrong entries
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
		r.units, r.accounts, r.found = make([]unit, 0, n), make([]*account.Account, 0, n), make([]place, 0, n)
	}
	r.part = keyfile.NewParts(b.Path, b.Keys, len(accountTable.Keys), &r.problems)
	r.part.Lenient = b.Lenient
	return r
}

// read reads the accounts of b. The snapshot knows the wrong entries. ok is false if the
// text cannot be parsed.
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
	var u unit
	if p.index > 0 {
		u.text = digestOf(p.text)
		if known := r.known.find(u.text); known != nil {
			r.add(p, *known, known.account)
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
	if len(r.problems) > 0 {
		r.bad = append(r.bad, r.wrong(p))
		r.problems = r.problems[:0]
		return false, nil
	}
	if !r.part.Passing {
		u.account, u.notes = a, about
	}
	r.add(p, u, a)
	return false, nil
}

// add takes an account, which stands at p.
func (r *reading) add(p *piece, u unit, a *account.Account) {
	r.units, r.accounts, r.found = append(r.units, u), append(r.accounts, a), append(r.found, place{p.index, p.line()})
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
	r.draft, r.part.Account = accountDraft{}, ""
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
	p.file.Problems, p.file.Report = ps, report
	snapshot, err := r.snapshot()
	if err != nil || len(r.bad) > 0 {
		leftOut := r.leaveOut()
		if snapshot, err = r.snapshot(); err != nil { // not possible: names are unique now
			ps.Add(&keyfile.Problem{File: r.basis.Path, Message: err.Error()})
			return nil, true
		}
		snapshot = snapshot.LeavingOut(leftOut)
	} else {
		snapshot = snapshot.LeavingOut(nil)
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

// snapshot returns a snapshot of the accounts, with those of the last time in it.
func (r *reading) snapshot() (*account.Snapshot, error) {
	if last := r.cache.last; last != nil {
		return last.snapshot.Renew(r.accounts)
	}
	return account.NewSnapshot(r.accounts)
}

// place is where an account stands in its file.
type place struct{ index, line int }

// wrong returns the entry at hand, which has problems.
func (r *reading) wrong(p *piece) *spot {
	return &spot{index: p.index, line: p.line(), id: r.draft.a.ID, email: cmp.Or(r.draft.a.Email, r.part.Account), problems: slices.Clone(r.problems)}
}

// leaveOut takes the accounts out whose names other entries have, and returns all wrong
// entries.
func (r *reading) leaveOut() []account.LeftOut {
	spots := r.bad
	for i, a := range r.accounts {
		spots = append(spots, &spot{index: r.found[i].index, line: r.found[i].line, id: a.ID, email: a.Email, account: a})
	}
	slices.SortFunc(spots, func(a, b *spot) int { return cmp.Compare(a.index, b.index) })
	entries := leaveOut(r.basis.Path, spots)
	n, good := 0, 0 // accounts so far, and how many of them are right
	for _, s := range spots {
		if s.account == nil {
			continue
		}
		if len(s.problems) == 0 {
			r.accounts[good], r.units[good] = r.accounts[n], r.units[n]
			good++
		}
		n++
	}
	r.accounts, r.units = r.accounts[:good], r.units[:good]
	return entries
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
	left := ""
	if n := len(s.LeftOut()); n > 0 {
		left = fmt.Sprintf("; %d entries are wrong and left out", n)
	}
	f.Report.Notef("%s: accounts: %d (%s)%s", f.Name, s.Len(), strings.Join(names, ", "), left)
}
