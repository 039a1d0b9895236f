package upstream

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/throttle"
)

const fullMailbox = "550 5.2.251 mailbox full"

// poolAt is a shard to which all that is submitted comes at that time.
type poolAt struct {
	*shard
	at time.Time
}

func (p poolAt) Enqueue(e carry.Event) bool {
	e.Now = p.at
	return p.shard.Enqueue(e)
}

// submitAt submits tx as if it were that time.
func (f *fixture) submitAt(tx *Transaction, at time.Time) {
	f.t.Helper()
	onLoop(tx.Loop, func() {
		if err := f.relay.desk.Submit(tx, poolAt{f.relay.shardOf(tx.Account), at}); err != nil {
			f.t.Error(err)
		}
	})
}

// sendAt relays one message as if it were that time.
func (f *fixture) sendAt(a *account.Account, to string, at time.Time) Result {
	f.t.Helper()
	tx, c := f.message(a, to, "probe\r\n")
	f.submitAt(tx, at)
	ans := c.next(f.t)
	ans.tx.Release()
	return ans.res
}

// newHeld returns a fixture and an account of it that is held, whose log is
// observed.
func newHeld(t *testing.T, rule sandbox.Rule) (*fixture, *account.Account, *observer.ObservedLogs) {
	f := newFixture(t, nil)
	core, logs := observer.New(zap.InfoLevel)
	f.relay.log = zap.New(core)
	a := f.accounts[1]
	rule.Action, rule.Account = sandbox.ActionReply, a.Email
	provider.Faults(f.t, f.box, rule)
	if res := f.send(a, "to@example.com", "refused\r\n"); res.Err == nil {
		t.Fatal("accepted")
	}
	f.refusedFor(a, "451 4.7.0", "held until an operator acts")
	return f, a, logs
}

// TestHeldAccountIsProbed: over the whole schedule, with mail of clients only.
func TestHeldAccountIsProbed(t *testing.T) {
	for _, tt := range []struct {
		name, reply, told string
		phase             sandbox.Phase
		hours             []time.Duration
	}{
		{"message", fullMailbox, "550 5.2.251", sandbox.PhaseAfterEOD, []time.Duration{1, 4, 12, 24, 24}},
		{"MAIL", "550 5.1.8 bad outbound sender", "550 5.1.8", sandbox.PhaseMail, []time.Duration{1, 4, 12, 24}},
		{"login", "535 5.7.139 disabled", "451 4.7.0", sandbox.PhaseAuth, []time.Duration{24, 24}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, a, logs := newHeld(t, sandbox.Rule{Phase: tt.phase, Reply: tt.reply})
			fired := int64(1)
			for i, hours := range tt.hours {
				due := f.standing(a).NextProbe
				if in := time.Until(due); in > hours*time.Hour || in < hours*time.Hour-time.Minute {
					t.Fatalf("probe %d is due in %v, want %v", i, in, hours*time.Hour)
				}
				if res := f.sendAt(a, "to@example.com", due.Add(-time.Second)); code(res.Reply) != "451 4.7.0" || res.Phase != throttle.PhaseQueue {
					t.Fatalf("before probe %d: %v", i, res.Reply)
				}
				fired++
				if res := f.sendAt(a, "to@example.com", due); code(res.Reply) != tt.told || res.Phase == throttle.PhaseQueue {
					t.Fatalf("probe %d: %v", i, res.Reply)
				}
				if res := f.sendAt(a, "to@example.com", due); code(res.Reply) != "451 4.7.0" || res.Phase != throttle.PhaseQueue {
					t.Fatalf("after probe %d: %v", i, res.Reply)
				}
				f.until(func() bool { return f.state(a).Open == 0 })
			}
			if got := f.box.Faults()[0].Fired; got != fired {
				t.Errorf("the provider was asked %d times, want %d", got, fired)
			}
			f.box.ClearFaults()
			if res := f.sendAt(a, "to@example.com", f.standing(a).NextProbe); res.Err != nil {
				t.Fatalf("the provider takes mail again: %v", res.Reply)
			}
			f.sendOK(a, "free\r\n")
			if n := f.metric("upstream_accounts_held"); n != "0" {
				t.Errorf("%s held", n)
			}
			for text, n := range map[string]int{"account held until an operator acts": 1, "account is held, one message tries": len(tt.hours) + 1, "account released": 1} {
				got := 0
				for _, e := range logs.All() {
					if strings.HasPrefix(e.Message, text) {
						got++
					}
				}
				if got != n {
					t.Errorf("%q is logged %d times, want %d", text, got, n)
				}
			}
		})
	}
}

// TestProbeIsOneMessage: all others are refused as before while it is out, and
// the next one tries if it comes to nothing.
func TestProbeIsOneMessage(t *testing.T) {
	f, a, _ := newHeld(t, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Reply: fullMailbox, Times: 1})
	due := f.standing(a).NextProbe
	for range 2 {
		tx, c := f.envelope(a, "one@example.com", "two@example.com")
		f.submitAt(tx, due)
		if c.next(t); tx.Rcpts[0].Reply.Code != 250 {
			t.Fatalf("the probe: %v", tx.Rcpts[0].Reply)
		}
		for range 3 {
			if res := f.sendAt(a, "to@example.com", due.Add(time.Minute)); code(res.Reply) != "451 4.7.0" || res.Phase != throttle.PhaseQueue {
				t.Errorf("beside the probe: %v", res.Reply)
			}
		}
		tx.Release() // the client gives up
		f.until(func() bool { return f.state(a).Open == 0 })
		if got := f.standing(a); got.Stopped != "held" || got.NextProbe.Sub(due).Abs() > time.Second {
			t.Fatalf("after a probe that was given up: %+v", got)
		}
	}
	if res := f.sendAt(a, "to@example.com", due); res.Err != nil {
		t.Error(res.Reply)
	}
	f.sendOK(a, "free\r\n")
}

// TestProbeIsRetried: a probe whose connection is lost before anything was told
// goes over another one, like other messages.
func TestProbeIsRetried(t *testing.T) {
	f, a, _ := newHeld(t, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Reply: fullMailbox, Times: 1})
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "lost", Phase: sandbox.PhaseMail, Action: sandbox.ActionClose, Times: 1})
	tx, c := f.envelope(a, "one@example.com", "two@example.com")
	f.submitAt(tx, f.standing(a).NextProbe)
	if c.next(t); tx.Rcpts[0].Reply.Code != 250 {
		t.Errorf("told %v", tx.Rcpts[0].Reply)
	}
	provider.Fired(f.t, f.box, "lost", 1)
	tx.Release()
}

// TestProbeRefusedForItsOwnSake releases the account.
func TestProbeRefusedForItsOwnSake(t *testing.T) {
	f, a, _ := newHeld(t, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Reply: fullMailbox, Times: 1})
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "bad@example.com", Action: sandbox.ActionReply, Reply: "550 5.1.1 no such user"})
	if res := f.sendAt(a, "bad@example.com", f.standing(a).NextProbe); code(res.Reply) != "550 5.1.1" {
		t.Fatal(res.Reply)
	}
	f.sendOK(a, "free\r\n")
}

// TestReleaseDuringAProbe: what the probe meets concerns nothing any more.
func TestReleaseDuringAProbe(t *testing.T) {
	f, a, logs := newHeld(t, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Reply: fullMailbox, Times: 1})
	tx, c := f.envelope(a, "one@example.com", "two@example.com")
	f.submitAt(tx, f.standing(a).NextProbe)
	c.next(t)
	f.relay.ReleaseHold(a.ID)
	f.sendOK(a, "beside the probe\r\n")
	tx.Content = content(t, "probe\r\n")
	if err := f.goOn(tx); err != nil {
		t.Fatal(err)
	}
	ans := c.next(t)
	if ans.tx.Release(); ans.res.Err != nil {
		t.Error(ans.res.Reply)
	}
	f.sendOK(a, "free\r\n")
	if n := logs.FilterMessageSnippet("account released").Len(); n != 0 {
		t.Errorf("%d releases by a probe", n)
	}
	if n := f.metric("upstream_accounts_held"); n != "0" {
		t.Errorf("%s held", n)
	}
}
