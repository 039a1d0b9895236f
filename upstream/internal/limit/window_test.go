package limit

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"
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

// withClock is the moment t as it is told by a clock that was set by d.
func withClock(t *testing.T, at time.Time, d time.Duration) time.Time {
	set := at
	// What package time documents of monotonic times: the high bit, 33 bits of seconds.
	(*struct{ wall uint64 })(unsafe.Pointer(&set)).wall += uint64(d/time.Second) << 30
	if !strings.Contains(at.String(), "m=") || set.Sub(at) != 0 || set.Round(0).Sub(at.Round(0)) != d {
		t.Fatalf("the clock cannot be set from %v: %v", at, set)
	}
	return set
}

// TestClockIsSet: no span is longer or shorter because somebody sets the clock.
func TestClockIsSet(t *testing.T) {
	for _, set := range []time.Duration{-1000 * time.Hour, -time.Hour, -90 * time.Second, time.Minute, time.Hour, 1000 * time.Hour} {
		for _, span := range []struct {
			span  time.Duration
			parts int
		}{{time.Minute, 60}, {time.Hour, 60}, {24 * time.Hour, 24}} {
			w := NewWindow(span.span, span.parts)
			start := time.Now()
			w.Advance(start)
			w.Add(1)
			for _, tt := range []struct {
				after time.Duration
				want  int
			}{{0, 1}, {span.span - 1, 1}, {span.span + w.width, 0}} {
				w.Advance(withClock(t, start.Add(tt.after), set))
				if w.Sum() != tt.want {
					t.Errorf("clock set by %v: %d events %v after the only one, in %v", set, w.Sum(), tt.after, span.span)
				}
			}
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
		m, disk := NewMeter(start), make(map[int64][2]uint32)
		for i := range 40 { // quarters of an hour; the clock is set at the tenth
			if now = start.Add(time.Duration(i) * 15 * time.Minute); i >= 10 {
				clock = set
			}
			m.Advance(withClock(t, now, clock))
			m.Take()
			m.Settle(withClock(t, now, clock), 1, 3)
			m.Hours(false, func(n int64, messages, recipients uint32) { disk[n] = [2]uint32{messages, recipients} })
		}
		again := NewMeter(withClock(t, now, clock))
		for n, c := range disk {
			again.Restore(n, c[0], c[1])
		}
		if got := again.used[MessagesPerDay].sum; got != 40 || again.rcpts.sum != 120 {
			t.Errorf("clock set by %v: %d messages and %d recipients are read again, of 40 and 120", set, got, again.rcpts.sum)
		}
	}
}
