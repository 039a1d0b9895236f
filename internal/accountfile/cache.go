package accountfile

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"reflect"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// Cache is what a program that reads its accounts again and again keeps of the
// last time: reading them costs as much as there is that changed. The zero value
// remembers nothing; nil never does. It is for one caller at a time.
//
// It has the hash of each account's text, and the account that came of it. A text
// that is there again gives the same account, as long as the settings that
// accounts are read with are equal ([Basis]), and unless something else had to do
// with it, such as a file that a secret is in. It is 48 octets for each account,
// and 16 for each key of it that the report mentions.
type Cache struct {
	// Pause, if not nil, is called between two accounts, for a caller that
	// others must not wait for.
	Pause func()

	last *cached
}

// cached is what is remembered of a file of accounts. It does not change.
type cached struct {
	basis    *Basis
	depth    int // of the array in the file
	units    []unit
	snapshot *account.Snapshot
}

// unit is an account with the gap in front of it.
type unit struct {
	text    digest           // zero for the first one, which has no comma in its gap
	account *account.Account // nil: it is to be read again in any case
	notes   []note
}

// digest is 128 bits of a SHA-256 hash.
type digest [16]byte

func digestOf(text []byte) digest {
	sum := sha256.Sum256(text)
	return digest(sum[:len(digest{})])
}

// note is an entry of the report about one account.
type note struct {
	*keyfile.Statement
	line int // from the first one of the unit
}

// load is loadAccounts, for a file that can be split. When ok is false
// it is another one's to say what is in the file, and nothing has been said yet.
func (m *Cache) load(b *Basis, ps *keyfile.Problems, report *keyfile.Report) (snapshot *account.Snapshot, ok bool) {
	if m == nil {
		return nil, false
	}
	if info, err := os.Stat(b.Path); err != nil || !info.Mode().IsRegular() { // it may be readable once only
		return nil, false
	}
	f, err := os.Open(b.Path)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	return m.read(b, f, ps, report)
}

// read reads the accounts in a text, as load does those of a file. With problems
// in it nothing new is remembered.
func (m *Cache) read(b *Basis, from io.Reader, ps *keyfile.Problems, report *keyfile.Report) (snapshot *account.Snapshot, ok bool) {
	s := newReading(m, b)
	skeleton, err := s.split(newSplitter(from))
	if err != nil {
		return nil, false
	}
	f := s.check(skeleton)
	if f == nil {
		return nil, false
	}
	report.Add(f.Report.Entries()...)
	report.Add(s.grouped...)
	f.Problems, f.Report = &s.problems, report
	if m.last != nil {
		snapshot, err = m.last.snapshot.Renew(s.accounts)
	} else {
		snapshot, err = account.NewSnapshot(s.accounts)
	}
	addDuplicates(f, err, s.found)
	if *ps = append(*ps, s.problems...); len(s.problems) > 0 {
		return nil, true
	}
	noteAccounts(f, snapshot)
	for i, a := range snapshot.All() { // one for each unit
		if s.units[i].account != nil {
			s.units[i].account = a
		}
	}
	m.last = &cached{basis: b, depth: s.depth, units: s.units, snapshot: snapshot}
	return snapshot, true
}

// reading reads accounts one by one, as a splitter finds them, or remembers
// them. What is left of the text, the skeleton, has {} in the place of those that
// were read, and nothing in the place of those that are known.
type reading struct {
	memory *Cache
	basis  *Basis
	known  lookup

	skeleton []byte
	marks    []int       // the offsets of {} in the skeleton
	cut      keyfile.Cut // out of the skeleton

	depth    int
	units    []unit
	accounts []*account.Account
	found    []spot // of the accounts
	problems keyfile.Problems

	grouped    []*keyfile.Entry // of the report, in the order of their first account
	groups     map[*keyfile.Statement]*keyfile.Entry
	statements map[keyfile.Statement]*keyfile.Statement

	part  keyfile.File // the account at hand
	spare keyfile.Spare
	own   keyfile.Report
	draft accountDraft
}

func newReading(m *Cache, b *Basis) *reading {
	s := &reading{memory: m, basis: b, groups: make(map[*keyfile.Statement]*keyfile.Entry), statements: make(map[keyfile.Statement]*keyfile.Statement)}
	if m.last != nil {
		n := len(m.last.units)
		s.units, s.accounts, s.found = make([]unit, 0, n), make([]*account.Account, 0, n), make([]spot, 0, n)
	}
	s.part = keyfile.File{Name: b.Path, Keys: b.Keys, Problems: &s.problems, Report: &s.own, Spare: &s.spare}
	s.spare = keyfile.Spare{Entries: make([]keyfile.Entry, 0, len(accountTable.Keys)), Claims: make(keyfile.Claims)}
	return s
}

// split reads all accounts and returns the skeleton.
func (s *reading) split(from *splitter) (skeleton []byte, err error) {
	head, err := from.head()
	if err != nil {
		return nil, err
	}
	s.depth = from.depth
	if last := s.memory.last; last != nil && last.depth == s.depth && reflect.DeepEqual(last.basis, s.basis) {
		s.known = lookup{units: last.units, next: 1}
	}
	s.skeleton = append(s.skeleton, head...)
	lines := countLines(head)
	for {
		text, gap, err := from.next()
		if err != nil {
			return nil, err
		}
		if text == nil {
			break
		}
		if err := s.take(text, gap, lines); err != nil {
			return nil, err
		}
		lines += countLines(text)
		if s.memory.Pause != nil {
			s.memory.Pause()
		}
	}
	s.cut = keyfile.Cut{At: len(s.skeleton), Lines: lines - countLines(s.skeleton)}
	return from.tail(s.skeleton)
}

func countLines(text []byte) int { return bytes.Count(text, []byte("\n")) }

// take takes the next account, whose text begins behind a gap of text, which in
// turn is behind so many lines of the file. One that is known was read when it
// stood, with the same gap, behind another account. It stands behind one again,
// and without it the file is as right or as wrong as with it.
func (s *reading) take(text []byte, gap, lines int) error {
	s.found = append(s.found, spot{len(s.units), lines + countLines(text[:gap]) + 1})
	var u unit
	if len(s.units) > 0 {
		u.text = digestOf(text)
		if known := s.known.find(u.text); known != nil {
			s.units, s.accounts = append(s.units, *known), append(s.accounts, known.account)
			for _, said := range known.notes {
				s.say(said, lines)
			}
			return nil
		}
	}
	s.skeleton = append(s.skeleton, text[:gap]...)
	s.marks = append(s.marks, len(s.skeleton))
	s.skeleton = append(s.skeleton, "{}"...)
	a, err := s.readAccount(text[gap:], s.found[len(s.found)-1])
	if err != nil {
		return err
	}
	var about []note
	for _, e := range s.own.Entries() {
		if e.Status != keyfile.InForce {
			one := note{s.statement(e.Statement()), e.Line - lines}
			s.say(one, lines)
			about = append(about, one)
		}
	}
	if !s.part.Passing {
		u.account, u.notes = a, about
	}
	s.units = append(s.units, u)
	if a == nil { // there is a problem that says why
		s.found = s.found[:len(s.found)-1]
		return nil
	}
	s.accounts = append(s.accounts, a)
	return nil
}

// readAccount reads the account at a spot, as readAccounts does. What it returns,
// and what it adds to own, has nothing of text in it.
func (s *reading) readAccount(text []byte, at spot) (*account.Account, error) {
	if keyfile.TooDeep(text, s.depth) >= 0 {
		return nil, errOddFile
	}
	node, err := hujson.Parse(text)
	if err != nil || node.StartOffset != 0 || node.EndOffset != len(text) {
		return nil, errOddFile
	}
	s.part.Before, s.part.Lines, s.part.Passing = at.line-1, keyfile.LineEnds(s.part.Lines[:0], text), false
	s.own.Reset()
	s.spare.Entries = s.spare.Entries[:0]
	r := &accountReader{f: &s.part, node: node, basis: s.basis, place: placeOf(at.index), draft: &s.draft}
	return r.read(), nil
}

// statement returns the one that is equal to st: many accounts share it.
func (s *reading) statement(st keyfile.Statement) *keyfile.Statement {
	one, ok := s.statements[st]
	if !ok {
		kept := st
		one = &kept
		s.statements[st] = one
	}
	return one
}

// say adds what is said about an account behind so many lines to the report.
func (s *reading) say(about note, lines int) {
	entry, ok := s.groups[about.Statement]
	if !ok { // from another time, maybe
		one := s.statement(*about.Statement)
		if entry, ok = s.groups[one]; !ok {
			entry = &keyfile.Entry{File: s.basis.Path, Line: lines + about.line, Key: one.Key, Value: one.Value, Status: one.Status, Note: one.Note}
			s.grouped = append(s.grouped, entry)
			s.groups[one] = entry
		}
		s.groups[about.Statement] = entry
	}
	entry.Count++
}

// check parses the skeleton, and returns nil unless it is that of the file: each
// account that was read was cut out of an element of the array of accounts, and
// there are no others. Those that are known follow on them.
func (s *reading) check(skeleton []byte) *keyfile.File {
	var ps keyfile.Problems
	f := keyfile.Parse(s.basis.Path, skeleton, &ps, new(keyfile.Report))
	if f == nil {
		return nil
	}
	f.Cut = s.cut
	array := accountArray(f)
	if array == nil || len(array.Elements) != len(s.marks) {
		return nil
	}
	for i, e := range array.Elements {
		if e.StartOffset != s.marks[i] || e.EndOffset != s.marks[i]+len("{}") {
			return nil
		}
	}
	return f
}

// lookup finds accounts that are known, fastest in the order that they had.
type lookup struct {
	units []unit
	next  int            // what is expected
	index map[digest]int // nil: not needed yet
}

// find returns the unit of that text, nil if there is none or it is to be read
// again.
func (r *lookup) find(text digest) *unit {
	i := r.next
	if i >= len(r.units) || r.units[i].text != text {
		if r.index == nil {
			r.index = make(map[digest]int, len(r.units))
			for i, u := range r.units {
				r.index[u.text] = i
			}
		}
		var ok bool
		if i, ok = r.index[text]; !ok {
			return nil
		}
	}
	r.next = i + 1
	if r.units[i].account == nil {
		return nil
	}
	return &r.units[i]
}
