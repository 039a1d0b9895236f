package limit

import (
	"math/rand/v2"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
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
	if w.Advance(now.Add(1000 * time.Hour)); w.sum != 0 {
		t.Errorf("%d events after a long time", w.sum)
	}
	w.addAt(60, 3)
	w.addAt(61, 3) // too old
	w.addAt(-1, 3) // not yet
	if w.sum != 3 || w.at(60) != 3 || w.at(61) != 0 || w.at(-1) != 0 {
		t.Errorf("%d events of before", w.sum)
	}
	if got, want := w.Dropped(4), now.Add(1000*time.Hour).Truncate(time.Minute).Add(61*time.Minute); !got.Equal(want) {
		t.Errorf("more than there are drop at %v, want %v", got, want)
	}
}

// TestClockIsSet: a window keeps time by what the clock of the machine does not change.
func TestClockIsSet(t *testing.T) {
	monotonic := func(at time.Time) bool { return at != at.Round(0) }
	for _, span := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
		w := NewWindow(span, 24)
		now := time.Now()
		for range 3 { // a moment, and others long after it
			w.Advance(now)
			w.Add(1)
			if next := w.Dropped(1); !monotonic(w.base) || !monotonic(next) || next.Sub(now) <= 0 {
				t.Errorf("%v: slots begin at %v, a place is free at %v", span, w.base, next)
			}
			now = now.Add(7 * span)
		}
	}
}

// TestHoursOnDisk: the hours of a meter are numbered by the clock, whatever it is set to, and
// are the counts of the day when they are read again.
func TestHoursOnDisk(t *testing.T) {
	for _, set := range []time.Duration{0, -time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour, 5 * time.Hour} {
		start := time.Now()
		clock := time.Duration(0)
		now := start
		told := func(now time.Time) int64 { return hourOf(now.Add(clock)) }
		m, disk := newMeter(start, told), make(map[int64][2]uint32)
		for i := range 40 { // quarters of an hour; the clock is set at the tenth
			if now = start.Add(time.Duration(i) * 15 * time.Minute); i >= 10 {
				clock = set
			}
			m.Advance(now)
			m.Take(&account.Limits{}, 1)
			m.Settle(now, 1, 3)
			m.Hours(false, func(n int64, messages, recipients uint32) { disk[n] = [2]uint32{messages, recipients} })
		}
		again := newMeter(now, told)
		for n, c := range disk {
			again.Restore(n, c[0], c[1])
		}
		if got := again.used[MessagesPerDay].sum; got != 40 || again.rcpts.sum != 120 {
			t.Errorf("clock set by %v: %d messages and %d recipients are read again, of 40 and 120", set, got, again.rcpts.sum)
		}
	}
}
