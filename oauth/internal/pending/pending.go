// Package pending keeps the records that a store could not write, until it can.
package pending

import (
	"maps"
	"slices"
	"sync"
)

// atOnce is how many records are written at one time; stores write them together.
const atOnce = 256

// Below is the store that records of type R are written to, each under its key. Its
// methods are safe for concurrent use. Each key has an owner: when a record is saved, the
// other keys of its owner may be forgotten.
type Below[K comparable, R any] interface {
	// Load returns the record of a key; ok is false if there is none.
	Load(key K) (r R, ok bool, err error)
	// Save makes r the record of a key, durably.
	Save(key K, r R) error
}

// Store is a store over another one. It keeps the records that could not be written and
// gives them back; SaveAll writes them later. Its methods are safe for concurrent use. A
// nil Store is empty.
type Store[K comparable, R any] struct {
	below Below[K, R]
	owner func(K) string

	mu      sync.Mutex // guards what follows; not held during I/O
	turn    sync.Cond  // a write has ended
	writing map[string]bool
	records map[string]record[K, R] // that could not be written, the newest of each owner
}

// record is a record with its key.
type record[K comparable, R any] struct {
	key K
	r   R
}

// New returns an empty store over below, with keys of these owners.
func New[K comparable, R any](below Below[K, R], owner func(K) string) *Store[K, R] {
	p := &Store[K, R]{below: below, owner: owner, writing: make(map[string]bool), records: make(map[string]record[K, R])}
	p.turn.L = &p.mu
	return p
}

// Load returns the record of key, as it could not be written or as it was.
func (p *Store[K, R]) Load(key K) (r R, ok bool, err error) {
	if r, ok = p.unwritten(key); ok {
		return r, true, nil
	}
	return p.below.Load(key)
}

// Save writes r as the record of key. After an error r is kept until a later try writes it,
// or another record of its owner is saved.
func (p *Store[K, R]) Save(key K, r R) error {
	owner := p.owner(key)
	p.begin(owner)
	return p.write(owner, record[K, R]{key, r})
}

// begin waits for the turn to write a record of an owner: an older one must not be written
// last.
func (p *Store[K, R]) begin(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.writing[owner] {
		p.turn.Wait()
	}
	p.writing[owner] = true
}

// write writes a record, and ends the turn.
func (p *Store[K, R]) write(owner string, is record[K, R]) error {
	defer p.end(owner)
	err := p.below.Save(is.key, is.r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.records[owner] = is
	} else {
		delete(p.records, owner)
	}
	return err
}

// end ends the turn.
func (p *Store[K, R]) end(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.writing, owner)
	p.turn.Broadcast()
}

// again writes the record of an owner that could not be written, if there still is one.
func (p *Store[K, R]) again(owner string) error {
	p.begin(owner)
	p.mu.Lock()
	is, ok := p.records[owner]
	p.mu.Unlock()
	if !ok {
		p.end(owner)
		return nil
	}
	return p.write(owner, is)
}

// unwritten returns the record of key that could not be written.
func (p *Store[K, R]) unwritten(key K) (r R, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	is, ok := p.records[p.owner(key)]
	if !ok || is.key != key {
		return r, false
	}
	return is.r, true
}

// owners returns the owners of records that could not be written.
func (p *Store[K, R]) owners() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.records))
}

// Has reports whether a record of key could not be written.
func (p *Store[K, R]) Has(key K) bool {
	if p == nil {
		return false
	}
	_, ok := p.unwritten(key)
	return ok
}

// Len is the number of owners with a record that could not be written.
func (p *Store[K, R]) Len() int {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.records)
}

// SaveAll tries once to write all records that could not be written. It gives up after
// as many failures as it writes at one time. It returns how many records were written,
// and an error if one was not.
func (p *Store[K, R]) SaveAll() (saved int, err error) {
	owners := p.owners()
	for before := -1; len(owners) > 0 && saved > before; {
		before = saved
		n := min(len(owners), atOnce)
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i, owner := range owners[:n] {
			wg.Go(func() { errs[i] = p.again(owner) })
		}
		wg.Wait()
		for _, e := range errs {
			if e != nil {
				err = e
			} else {
				saved++
			}
		}
		owners = owners[n:]
	}
	return saved, err
}
