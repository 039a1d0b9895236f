package upstream

import (
	"slices"
	"sync"
)

// gate counts the global slots, one for each connection that is being opened or
// carries a transaction. It is shared by all shards; a nil gate has no limit.
//
// Slots are handed on: while a shard waits none is free, so no shard comes before
// those that wait longer. A shard that gets one gives it to the account that
// waits longest, and waits again at the end of the line for the next.
type gate struct {
	mu      sync.Mutex // guards what follows; a leaf
	free    int
	waiting []*shard // in order, each at most once; empty while free > 0
}

// acquire takes a slot for s. Without one it returns false, and s will be
// handed one by onSlot.
func (g *gate) acquire(s *shard) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return true
	}
	if !slices.Contains(g.waiting, s) {
		g.waiting = append(g.waiting, s)
	}
	return false
}

// enlist has s handed a slot by onSlot.
func (g *gate) enlist(s *shard) {
	if g.acquire(s) {
		s.call(s.onSlot, nil)
	}
}

// release gives a slot back, or on to the shard that waits longest.
func (g *gate) release() {
	if g == nil {
		return
	}
	var s *shard
	g.mu.Lock()
	if len(g.waiting) > 0 {
		s = g.waiting[0]
		g.waiting = slices.Delete(g.waiting, 0, 1)
	} else {
		g.free++
	}
	g.mu.Unlock()
	if s != nil {
		s.call(s.onSlot, nil)
	}
}

// contended reports whether a shard waits for a slot.
func (g *gate) contended() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting) > 0
}

// slot takes a global slot for an account of s: one that was handed to the
// shard, or a free one.
func (s *shard) slot() bool {
	if s.slots > 0 {
		s.slots--
		return true
	}
	return s.relay.gate.acquire(s)
}
