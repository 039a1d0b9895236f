package limit

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWindowIsStrict adds events at random, never more than a limit allows, and
// checks against a plain list that no span has more, and that the moment told
// for the next place is right and not too late.
func TestWindowIsStrict(t *testing.T) {
	const limit, span = 7, time.Minute
	rng := rand.New(rand.NewPCG(1, 2))
	w := NewWindow(span, 60)
	now := time.Unix(1_700_000_000, 0)
	var events []time.Time
	within := func(t time.Time) (n int) {
		for _, e := range events {
			if t.Sub(e) <= span {
				n++
			}
		}
		return n
	}
	for range 5000 {
		now = now.Add(time.Duration(rng.Int64N(int64(12 * time.Second))))
		w.Advance(now)
		if w.sum < limit {
			w.Add(1)
			events = append(events, now)
			if n := within(now); n > limit {
				t.Fatalf("%d events in a minute", n)
			}
			continue
		}
		next := w.Dropped(1)
		if late := next.Sub(now); late <= 0 || late > span+time.Second {
			t.Fatalf("a place is free in %v", late)
		}
		if w.Advance(next.Add(-1)); w.sum < limit {
			t.Fatal("a place is free before the moment that was told")
		}
		if w.Advance(next); w.sum >= limit {
			t.Fatal("no place is free at the moment that was told")
		}
		now = next
	}
}

func TestWindowAfterALongTime(t *testing.T) {
	w := NewWindow(time.Hour, 60)
	now := time.Unix(1_700_000_000, 0)
	w.Advance(now)
	w.Add(5)
	w.Advance(now.Add(-time.Hour)) // the clock was set back
	if w.Add(1); w.sum != 6 {
		t.Errorf("%d events", w.sum)
	}
	if w.Advance(now.Add(1000 * time.Hour)); w.sum != 0 {
		t.Errorf("%d events after a long time", w.sum)
	}
	w.restore(w.last-60, 3)
	w.restore(w.last-61, 3) // too old
	w.restore(w.last+1, 3)  // not yet
	if w.sum != 3 || w.at(w.last-60) != 3 || w.at(w.last-61) != 0 {
		t.Errorf("%d events restored", w.sum)
	}
	if got := w.Dropped(4); got != time.Unix(0, (w.last+61)*w.width) {
		t.Errorf("more than there are drop at %v", got)
	}
}
