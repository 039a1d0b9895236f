package limit

import (
	"slices"
	"sync"
)

// Waiter is handed a slot of a Gate.
type Waiter interface{ Slot() }

// Gate counts slots, which are handed on: while one waits none is free, so no other comes
// before those that wait longer. A nil Gate has no limit. Its methods are safe for
// concurrent use.
type Gate struct {
	mu      sync.Mutex // guards what follows; a leaf
	free    int
	waiting []Waiter // in order, each at most once; empty while free > 0
}

// NewGate makes a gate of n slots.
func NewGate(n int) *Gate { return &Gate{free: n} }

// Acquire takes a slot for w. Without one it returns false, and w will be handed one.
func (g *Gate) Acquire(w Waiter) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return true
	}
	if !slices.Contains(g.waiting, w) {
		g.waiting = append(g.waiting, w)
	}
	return false
}

// Enlist has w handed a slot.
func (g *Gate) Enlist(w Waiter) {
	if g.Acquire(w) {
		w.Slot()
	}
}

// Release gives a slot back, or on to the one that waits longest.
func (g *Gate) Release() {
	if g == nil {
		return
	}
	var w Waiter
	g.mu.Lock()
	if len(g.waiting) > 0 {
		w = g.waiting[0]
		g.waiting = slices.Delete(g.waiting, 0, 1)
	} else {
		g.free++
	}
	g.mu.Unlock()
	if w != nil {
		w.Slot()
	}
}

// Contended reports whether anyone waits for a slot.
func (g *Gate) Contended() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting) > 0
}

// Free is the number of free slots.
func (g *Gate) Free() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.free
}
