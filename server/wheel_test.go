package server

import (
	"slices"
	"testing"
	"time"
)

// FuzzWheel compares the wheel with a list of deadlines. Each octet pair is an
// operation: on which session, and what.
func FuzzWheel(f *testing.F) {
	f.Add([]byte{0, 3, 1, 200, 0, 1, 255, 255, 255, 10, 2, 254, 255, 250})
	f.Add([]byte{0, 1, 255, 0, 0, 251, 255, 200, 0, 2, 255, 5})
	f.Add([]byte{3, 249, 3, 4, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const numSessions = 8
		var w wheel
		sessions := make([]*session, numSessions)
		want := map[*session]int64{} // deadlines
		for i := range sessions {
			sessions[i] = &session{}
		}
		now := int64(0)
		advance := func() {
			now++
			var due, got []*session
			for _, s := range sessions {
				if d, ok := want[s]; ok && d <= now {
					due = append(due, s)
					delete(want, s)
				}
			}
			w.advance(now, func(s *session) { got = append(got, s) })
			for _, s := range due {
				if !slices.Contains(got, s) {
					t.Fatalf("tick %d: a session is due and does not expire", now)
				}
			}
			if len(got) != len(due) {
				t.Fatalf("tick %d: %d sessions expire, want %d", now, len(got), len(due))
			}
		}
		for ; len(ops) >= 2; ops = ops[2:] {
			s := sessions[ops[0]%numSessions]
			switch n := int64(ops[1]); {
			case ops[0] == 255: // time passes
				for range n * 3 {
					advance()
				}
			case n == 255:
				w.remove(s)
				delete(want, s)
			case n == 254: // as the await states do
				s.deadline = noDeadline
				delete(want, s)
			case n == 250: // more than one turn of the wheel
				w.set(s, now+1700)
				want[s] = now + 1700
			default:
				w.set(s, now+1+n*3)
				want[s] = now + 1 + n*3
			}
		}
		for range 1701 {
			advance()
		}
		for _, slot := range w.slots {
			if slot != nil && slot.deadline != noDeadline {
				t.Fatal("a session is left in the wheel")
			}
		}
	})
}

// TestWheelExpiredMoves has sessions be moved and removed from within their own
// expiry, as a session does that goes on to linger, or closes.
func TestWheelExpiredMoves(t *testing.T) {
	var w wheel
	a, b, c := &session{}, &session{}, &session{}
	for _, s := range []*session{a, b, c} {
		w.set(s, 5)
	}
	var order []string
	expired := func(now int64) func(*session) {
		return func(s *session) {
			switch s {
			case a:
				order = append(order, "a")
				if now == 5 {
					w.set(a, now+wheelSlots) // the slot that is being looked at
				}
			case b:
				order = append(order, "b")
				w.remove(b)
			case c:
				order = append(order, "c")
			}
		}
	}
	for now := int64(1); now <= 3*wheelSlots; now++ {
		w.advance(now, expired(now))
	}
	slices.Sort(order)
	if !slices.Equal(order, []string{"a", "a", "b", "c"}) {
		t.Errorf("expired: %q", order)
	}
}

// TestTicksOf: a timeout never comes early, also when set just before a tick.
func TestTicksOf(t *testing.T) {
	for d, want := range map[time.Duration]int64{time.Millisecond: 2, time.Second: 2, 1001 * time.Millisecond: 3, 5 * time.Minute: 301} {
		if got := ticksOf(d); got != want {
			t.Errorf("ticksOf(%v) = %d, want %d", d, got, want)
		}
	}
}
