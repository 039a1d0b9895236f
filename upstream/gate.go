package upstream

import (
	"slices"
	"sync"
	"time"
)

// gate counts the global slots, one for each worker that opens a connection or
// carries a transaction. It is shared by all shards; a nil gate has no limit.
type gate struct {
	mu      sync.Mutex // guards what follows; a leaf
	free    int
	waiting []*shard // in order, each at most once
}

// acquire takes a slot for s. Without one it returns false, and s gets an
// evSlot when there may be one.
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

// enlist has s get an evSlot as soon as there may be a slot.
func (g *gate) enlist(s *shard) {
	if g.acquire(s) {
		g.mu.Lock()
		g.free++
		g.mu.Unlock()
		s.post(event{kind: evSlot, now: time.Now()})
	}
}

// release gives a slot back and tells the shard that waits longest.
func (g *gate) release() {
	if g == nil {
		return
	}
	var s *shard
	g.mu.Lock()
	g.free++
	if len(g.waiting) > 0 {
		s = g.waiting[0]
		g.waiting = slices.Delete(g.waiting, 0, 1)
	}
	g.mu.Unlock()
	if s != nil {
		s.post(event{kind: evSlot, now: time.Now()})
	}
}

// contended reports whether somebody waits for a slot.
func (g *gate) contended() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting) > 0
}
