package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestOpenPacer: tickets come when they are due, and those that no worker took in time
// still say when that was.
func TestOpenPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newOpenPacer(newSchedule(buildPhases([]rate{10}, time.Second, 0), false, 1), time.Sleep)
		p.start()
		for seq := range 5 {
			got, ok := p.take(t.Context())
			due := start.Add(time.Duration(seq+1) * 100 * time.Millisecond)
			if !ok || got.seq != seq || !got.due.Equal(due) || !time.Now().Equal(due) {
				t.Errorf("ticket %d, %v: due %v, taken at %v", got.seq, ok, got.due.Sub(start), time.Since(start))
			}
		}
		time.Sleep(10 * time.Second) // a server that answers no client
		for seq := 5; seq < 10; seq++ {
			got, ok := p.take(t.Context())
			if due := start.Add(time.Duration(seq+1) * 100 * time.Millisecond); !ok || !got.due.Equal(due) {
				t.Errorf("ticket %d, %v: due %v", got.seq, ok, got.due.Sub(start))
			}
		}
		if got, ok := p.take(t.Context()); ok {
			t.Errorf("a ticket more: %+v", got)
		}
	})
}

// TestOpenPacerTurns: many workers get each ticket once, and in time.
func TestOpenPacerTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		p := newOpenPacer(newSchedule(buildPhases([]rate{n}, time.Second, 0), true, 1), time.Sleep)
		want := countArrivals(buildPhases([]rate{n}, time.Second, 0), true, 1)
		p.start()
		taken := make(chan ticket, 2*n)
		var workers sync.WaitGroup
		for range 20 {
			workers.Go(func() {
				for got, ok := p.take(t.Context()); ok; got, ok = p.take(t.Context()) {
					if late := time.Since(got.due); late != 0 {
						t.Errorf("ticket %d is %v late", got.seq, late)
					}
					taken <- got
					time.Sleep(50 * time.Millisecond) // its message
				}
			})
		}
		workers.Wait()
		close(taken)
		seen := make(map[int]bool)
		for got := range taken {
			seen[got.seq] = true
		}
		if len(seen) != want {
			t.Errorf("%d tickets, want %d", len(seen), want)
		}
	})
}

func TestOpenPacerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := newOpenPacer(newSchedule(buildPhases([]rate{1. / 3600}, 2*time.Hour, 0), false, 1), time.Sleep)
		p.start()
		start := time.Now()
		for range 2 { // the second finds the turn free
			if got, ok := p.take(ctx); ok {
				t.Errorf("a ticket after the end: %+v", got)
			}
		}
		if d := time.Since(start); d > time.Second+maxNap {
			t.Errorf("went on for %v", d)
		}
	})
}

func TestClosedPacer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &closedPacer{n: 3}
	for seq := range 2 {
		if got, ok := p.take(ctx); !ok || got.seq != seq || time.Since(got.due) > time.Minute {
			t.Errorf("ticket %d: %+v, %v", seq, got, ok)
		}
	}
	cancel()
	if _, ok := p.take(ctx); ok {
		t.Error("a ticket after the end")
	}
	if got, ok := p.take(t.Context()); !ok || got.seq != 2 {
		t.Errorf("the refused call took a number: %+v, %v", got, ok)
	}
	if _, ok := p.take(t.Context()); ok {
		t.Error("a fourth ticket of three")
	}
}
