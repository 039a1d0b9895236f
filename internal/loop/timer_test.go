package loop

import (
	"slices"
	"testing"
	"time"
)

// FuzzWheel compares the wheel with a list of deadlines. Each octet pair is an
// operation: on which timer, and what.
func FuzzWheel(f *testing.F) {
	f.Add([]byte{0, 3, 1, 200, 0, 1, 255, 255, 255, 10, 2, 254, 255, 250})
	f.Add([]byte{0, 1, 255, 0, 0, 251, 255, 200, 0, 2, 255, 5})
	f.Add([]byte{3, 249, 3, 4, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		l := &Loop{wheel: newWheel()}
		timers := make([]*Timer, 8)
		want := map[*Timer]int64{} // deadlines
		for i := range timers {
			timers[i] = new(Timer)
		}
		advance := func() {
			now := l.Now() + 1
			var due, got []*Timer
			for _, x := range timers {
				if d, ok := want[x]; ok && d <= now {
					due = append(due, x)
					delete(want, x)
				}
			}
			l.wheel.advance(func(x *Timer) { got = append(got, x) })
			for _, x := range due {
				if !slices.Contains(got, x) {
					t.Fatalf("tick %d: a timer is due and does not expire", now)
				}
			}
			if len(got) != len(due) {
				t.Fatalf("tick %d: %d timers expire, want %d", now, len(got), len(due))
			}
		}
		for ; len(ops) >= 2; ops = ops[2:] {
			x := timers[int(ops[0])%len(timers)]
			switch n := int64(ops[1]); {
			case ops[0] == 255: // time passes
				for range n * 3 {
					advance()
				}
			case n == 255:
				l.StopTimer(x)
				delete(want, x)
			case n == 254:
				l.SuspendTimer(x)
				delete(want, x)
			case n == 250: // more than one turn of the wheel
				l.SetTimer(x, l.Now()+1700)
				want[x] = l.Now() + 1700
			default:
				l.SetTimer(x, l.Now()+1+n*3)
				want[x] = l.Now() + 1 + n*3
			}
		}
		for range 1701 {
			advance()
		}
		for i := range l.wheel.slots {
			if s := &l.wheel.slots[i]; s.next != s && s.next.deadline != never {
				t.Fatal("a timer is left in the wheel")
			}
		}
	})
}

// TestExpiredMoves has timers be set and stopped from within an expiry: their own,
// and those of others that are due at the same time.
func TestExpiredMoves(t *testing.T) {
	l := &Loop{wheel: newWheel()}
	timers := make([]Timer, 5)
	var fired [5]int
	for i := range timers {
		l.SetTimer(&timers[i], 5)
	}
	for l.Now() < 3*wheelSlots {
		l.wheel.advance(func(x *Timer) {
			i := 0
			for k := range timers {
				if x == &timers[k] {
					i = k
				}
			}
			fired[i]++
			switch {
			case i == 0 && fired[0] == 1:
				l.SetTimer(x, l.Now()+wheelSlots) // the slot that is being looked at
				l.StopTimer(&timers[1])           // due too
				l.SetTimer(&timers[2], l.Now()+7) // due too
			case i == 3:
				l.SetTimer(x, l.Now()-3) // in the past: the next tick
				if fired[3] == 10 {
					l.StopTimer(x)
				}
			}
		})
	}
	if want := [5]int{2, 0, 1, 10, 1}; fired != want {
		t.Errorf("fired %v times, want %v", fired, want)
	}
}

// TestTicks: a timeout never comes early, also when set just before a tick.
func TestTicks(t *testing.T) {
	for d, want := range map[time.Duration]int64{time.Millisecond: 2, Tick: 2, Tick + 1: 3, time.Minute: 601} {
		if got := Ticks(d); got != want {
			t.Errorf("Ticks(%v) = %d, want %d", d, got, want)
		}
	}
}
