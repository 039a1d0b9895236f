package upstream

import (
	"testing"
	"time"

	"xoauth2-proxy/codec"
)

func refusal(code int, enhanced codec.EnhancedCode) *Error {
	return &Error{Phase: PhaseFinal, Reply: codec.Reply{Code: code, Enhanced: enhanced, Text: "no"}, Err: ErrRefused}
}

func TestThrottleHalvesAndRecovers(t *testing.T) {
	const recovery = 30 * time.Second
	now := time.Unix(1_700_000_000, 0)
	r := &restraint{recovery: recovery}
	cause := refusal(432, codec.EnhancedCode{4, 3, 2})
	slow := func(open int) bool { return r.slow(now, open, 10, cause, time.Second, time.Minute) }
	want := func(limit int) {
		t.Helper()
		if got := r.cap(now); got != limit {
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
	if r.stopped(now) != nil || !r.over(now) {
		t.Error("not over")
	}
}

func TestThrottleAtOneConnectionPauses(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := &restraint{recovery: 30 * time.Second}
	cause := refusal(421, codec.EnhancedCode{4, 7, 0})
	r.slow(now, 1, 3, cause, time.Second, 10*time.Second)
	if r.cap(now) != 1 || r.stopped(now) != nil {
		t.Fatal("the first refusal pauses")
	}
	for _, pause := range []time.Duration{1, 2, 4, 8, 10, 10} {
		now = now.Add(10 * time.Second)
		r.slow(now, 1, 3, cause, time.Second, 10*time.Second)
		s := r.stopped(now)
		if s == nil || s.until.Sub(now) != pause*time.Second {
			t.Fatalf("stop %+v, want %d s", s, pause)
		}
	}
	r.success()
	now = now.Add(20 * time.Second)
	if r.slow(now, 1, 3, cause, time.Second, 10*time.Second); r.stopped(now).until.Sub(now) != time.Second {
		t.Error("a success does not begin anew")
	}
}

func TestQuotaPausesForHours(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := &restraint{recovery: 30 * time.Second}
	cause := refusal(550, codec.EnhancedCode{5, 4, 5})
	for strike := 1; strike <= 30; strike++ {
		if !r.quota(now, 10, cause) || r.quota(now, 10, cause) {
			t.Fatal("a refusal during the pause counts")
		}
		pause := min(time.Duration(strike)*time.Hour, 24*time.Hour)
		if s := r.stopped(now); s == nil || s.until.Sub(now) != pause || r.cap(now) != 1 {
			t.Fatalf("strike %d: %+v, want %v", strike, s, pause)
		}
		if now = now.Add(pause); r.stopped(now) != nil || r.cap(now) != 1 {
			t.Fatal("the first message after the pause does not go alone")
		}
	}
	r.success()
	if now = now.Add(time.Hour); !r.over(now) {
		t.Error("not over")
	}
}

func TestHoldWinsOverAllAndStays(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := &restraint{recovery: 30 * time.Second, order: stop{stopOrder, now.Add(time.Hour), "maintenance"}}
	if r.stopped(now).kind != stopOrder {
		t.Fatal("not paused")
	}
	r.hold(now, refusal(550, codec.EnhancedCode{5, 2, 251}))
	r.quota(now, 3, refusal(550, codec.EnhancedCode{5, 4, 5}))
	now = now.Add(1000 * time.Hour)
	s := r.stopped(now)
	if s == nil || s.kind != stopHold || r.over(now) {
		t.Fatalf("stop %+v", s)
	}
	if got := code(ClientReply(s.err(now))); got != "451 4.7.0" {
		t.Error(got)
	}
}
