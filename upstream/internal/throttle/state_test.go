package throttle

import (
	"testing"
	"time"
)

func TestThrottleHalvesAndRecovers(t *testing.T) {
	const recovery = 30 * time.Second
	now := time.Unix(1_700_000_000, 0)
	r := New(recovery)
	slow := func(open int) bool { return r.Slow(now, open, 10, "no", time.Second, time.Minute) > 0 }
	want := func(limit int) {
		t.Helper()
		if got := r.Limit(now); got != limit {
			t.Fatalf("%d connections, want %d", got, limit)
		}
	}
	want(0)
	slow(10)
	want(5)
	if slow(9) {
		t.Error("a refusal of the same wave counted")
	}
	now = now.Add(recovery/wavesPerRecovery + 1)
	slow(4)
	want(2)
	now = now.Add(2 * recovery)
	want(4)
	now = now.Add(5 * recovery)
	want(9)
	now = now.Add(recovery)
	want(0)
	if r.Suspended(now) != nil || !r.Over(now) {
		t.Error("not over")
	}
}

func TestThrottleAtOneConnectionPauses(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := New(30 * time.Second)
	r.Slow(now, 1, 3, "no", time.Second, 10*time.Second)
	if r.Limit(now) != 1 || r.Suspended(now) != nil {
		t.Fatal("the first refusal pauses")
	}
	for _, pause := range []time.Duration{1, 2, 4, 8, 10, 10} {
		now = now.Add(10 * time.Second)
		r.Slow(now, 1, 3, "no", time.Second, 10*time.Second)
		s := r.Suspended(now)
		if s == nil || s.Until.Sub(now) != pause*time.Second {
			t.Fatalf("stop %+v, want %d s", s, pause)
		}
	}
	r.Success()
	now = now.Add(20 * time.Second)
	if r.Slow(now, 1, 3, "no", time.Second, 10*time.Second); r.Suspended(now).Until.Sub(now) != time.Second {
		t.Error("a success does not begin anew")
	}
}

func TestQuotaPausesForHours(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := New(30 * time.Second)
	for strike := 1; strike <= 30; strike++ {
		if !r.Quota(now, 10, "no") || r.Quota(now, 10, "no") {
			t.Fatal("a refusal during the pause counts")
		}
		pause := min(time.Duration(strike)*time.Hour, 24*time.Hour)
		if s := r.Suspended(now); s == nil || s.Until.Sub(now) != pause || r.Limit(now) != 1 {
			t.Fatalf("strike %d: %+v, want %v", strike, s, pause)
		}
		if now = now.Add(pause); r.Suspended(now) != nil || r.Limit(now) != 1 {
			t.Fatal("the first message after the pause does not go alone")
		}
	}
	r.Success()
	if now = now.Add(time.Hour); !r.Over(now) {
		t.Error("not over")
	}
}

func TestHoldWinsOverAllAndStays(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := New(30 * time.Second)
	r.Hold(now, Refusal{Phase: PhaseFinal, Account: AccountHold, Reason: "full"})
	r.Quota(now, 3, "used up")
	now = now.Add(1000 * time.Hour)
	s := r.Suspended(now)
	if s == nil || s.Kind != Held || r.Over(now) {
		t.Fatalf("stop %+v", s)
	}
}
