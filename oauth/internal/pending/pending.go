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
// methods are safe for concurrent use.
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

	mu      sync.Mutex // guards what follows; not held during I/O
	turn    sync.Cond  // a write has ended
	writing map[K]bool
	records map[K]R // that could not be written, the newest of each key
}

// New returns an empty store over below.
func New[K comparable, R any](below Below[K, R]) *Store[K, R] {
	p := &Store[K, R]{below: below, writing: make(map[K]bool), records: make(map[K]R)}
	p.turn.L = &p.mu
	return p
}

// Load returns the record of key, as it could not be written or as it was.
func (p *Store[K, R]) Load(key K) (r R, ok bool, err error) {
	p.mu.Lock()
	r, ok = p.records[key]
	p.mu.Unlock()
	if ok {
		return r, true, nil
	}
	return p.below.Load(key)
}

// Save writes r as the record of key. After an error r is kept until a later try writes it.
func (p *Store[K, R]) Save(key K, r R) error {
	p.begin(key)
	err := p.below.Save(key, r)
	p.end(key, r, err)
	return err
}

// begin waits for the turn to write a record of key: an older one must not be written
// last.
func (p *Store[K, R]) begin(key K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.writing[key] {
		p.turn.Wait()
	}
	p.writing[key] = true
}

func (p *Store[K, R]) end(key K, r R, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.writing, key)
	if err != nil {
		p.records[key] = r
	} else {
		delete(p.records, key)
	}
	p.turn.Broadcast()
}

// again writes the record of key that could not be written, if there still is one.
func (p *Store[K, R]) again(key K) error {
	p.begin(key)
	p.mu.Lock()
	r, ok := p.records[key]
	if !ok {
		delete(p.writing, key)
		p.turn.Broadcast()
	}
	p.mu.Unlock()
	if !ok {
		return nil
	}
	err := p.below.Save(key, r)
	p.end(key, r, err)
	return err
}

// unwritten returns the keys with a record that could not be written.
func (p *Store[K, R]) unwritten() []K {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.records))
}

// Has reports whether a record of key could not be written.
func (p *Store[K, R]) Has(key K) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.records[key]
	return ok
}

// Len is the number of keys with a record that could not be written.
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
	keys := p.unwritten()
	for before := -1; len(keys) > 0 && saved > before; {
		before = saved
		n := min(len(keys), atOnce)
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i, key := range keys[:n] {
			wg.Go(func() { errs[i] = p.again(key) })
		}
		wg.Wait()
		for _, e := range errs {
			if e != nil {
				err = e
			} else {
				saved++
			}
		}
		keys = keys[n:]
	}
	return saved, err
}
