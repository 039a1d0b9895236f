package sharetest

import (
	"math/rand/v2"
	"testing"
	"time"

	"xoauth2-proxy/internal/share/ledger"
)

// A node that has none gets one of the parked connections of others within 500 ms.
func TestParkedIsFreed(t *testing.T) {
	for seed := range uint64(50) {
		c := NewClock()
		store := ledger.New(ledger.Config{Now: c.Now})
		s := &sim{History: History{Nodes: 3, Limit: 1 + int(seed%3), BusyFor: time.Minute}, dice: rand.New(rand.NewPCG(seed, 3)), clock: c, store: store, quiet: true, reset: c.now.Add(-time.Hour)}
		s.truth.start = c.now
		stop := store.Watch(s.tell)
		defer stop()
		until := func(what string, most time.Duration, done func() bool) {
			t.Helper()
			for end := c.now.Add(most); !done(); s.step() {
				if s.failed != nil || c.now.After(end) {
					t.Fatalf("seed %d: not within %v: %s; %v", seed, most, what, s.failed)
				}
			}
		}
		for i := range s.Nodes {
			s.nodes = append(s.nodes, s.node(i))
		}
		holder, asks := s.nodes[0], s.nodes[1]
		holder.waiting = s.Limit
		until("the first has all", 10*time.Second, func() bool { return len(holder.conns) == s.Limit })
		until("its messages have ended", 10*time.Second, func() bool { return holder.in(parked) == s.Limit })
		until("some time passed", 20*time.Second, func() bool { return c.now.Sub(s.truth.start) > 4*time.Second })
		asks.waiting = 1
		asks.act()
		asks.renewIn(0)
		until("another one may open one", 500*time.Millisecond, func() bool { return asks.cap > 0 })
	}
}
