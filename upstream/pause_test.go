package upstream

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestShortPauseIsWaitedOut: after one attempt to connect that nothing has answered, the next
// message waits for the end of the pause if its acquire timeout lets it.
func TestShortPauseIsWaitedOut(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rule   sandbox.Rule
		pause  time.Duration
		accept bool
	}{
		{"no connection", sandbox.Rule{Phase: sandbox.PhaseConnect, Action: sandbox.ActionReset}, 200 * time.Millisecond, true},
		{"no greeting", sandbox.Rule{Phase: sandbox.PhaseBanner, Action: sandbox.ActionClose}, 200 * time.Millisecond, true},
		{"no reply to EHLO", sandbox.Rule{Phase: sandbox.PhaseEHLO, Action: sandbox.ActionClose}, 200 * time.Millisecond, true},
		{"a pause too long", sandbox.Rule{Phase: sandbox.PhaseConnect, Action: sandbox.ActionReset}, 2 * time.Minute, false},
		{"a greeting that refuses", sandbox.Rule{Phase: sandbox.PhaseBanner, Action: sandbox.ActionReply, Reply: "554 no"}, 2 * time.Second, false},
		{"a login refused", sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "454 4.3.0 later"}, 2 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) {
				s.relay.BackoffMin, s.relay.BackoffMax = tt.pause, tt.pause
				s.limits.AcquireTimeout = 30 * time.Second
			})
			tt.rule.Times = 1
			provider.Faults(f.t, f.box, tt.rule)
			a := f.accounts[0]
			if res := f.send(a, "to@example.com", "first\r\n"); res.Reply.Code/100 != 4 {
				t.Fatalf("reply %v", res.Reply)
			}
			for range 3 {
				if res := f.send(a, "to@example.com", "next\r\n"); (res.Err == nil) != tt.accept {
					t.Errorf("reply %v", res.Reply)
				}
			}
		})
	}
}
