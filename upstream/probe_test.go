package upstream

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
)

const fullMailbox = "550 5.2.251 mailbox full"

// heldBy returns a restraint that the reply at that phase has put in force.
func heldBy(now time.Time, p Phase) *restraint {
	r := &restraint{recovery: 30 * time.Second}
	r.hold(now, microsoftRefusal(p))
	return r
}

func microsoftRefusal(p Phase) *Error {
	reply := codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 2, 251}, Text: "full"}
	if p == PhaseAuth {
		reply = codec.Reply{Code: 535, Enhanced: codec.EnhancedCode{5, 7, 139}, Text: "disabled"}
	}
	return &Error{Phase: p, Reply: reply, Err: ErrRefused, provider: providerMicrosoft}
}

// TestProbeSchedule: the times are exact.
func TestProbeSchedule(t *testing.T) {
	for name, tt := range map[string]struct {
		phase Phase
		hours []time.Duration
	}{
		"message": {PhaseFinal, []time.Duration{1, 4, 12, 24, 24, 24}},
		"MAIL":    {PhaseMail, []time.Duration{1, 4, 12, 24, 24, 24}},
		"login":   {PhaseAuth, []time.Duration{24, 24, 24}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			r := heldBy(now, tt.phase)
			for i, hours := range tt.hours {
				due := now.Add(hours * time.Hour)
				if r.mayProbe(due.Add(-1)) || !r.mayProbe(due) || !r.mayProbe(due.Add(1000*time.Hour)) {
					t.Fatalf("probe %d is due %v after the refusal before, want %v", i, r.probes.due.Sub(now), hours*time.Hour)
				}
				r.probes.out, r.probes.since = true, due
				if r.mayProbe(due.Add(time.Minute)) {
					t.Fatal("two probes at one time")
				}
				r.probes.out = false
				now = due.Add(time.Minute) // it takes a while
				if r.outcome(microsoftRefusal(tt.phase), now) {
					t.Fatal("released by the same refusal")
				}
			}
		})
	}
}

// TestProbeOutcomes: what a probe meets decides on the next one.
func TestProbeOutcomes(t *testing.T) {
	refused := func(p Phase, by provider, text string) *Error {
		return &Error{Phase: p, Reply: parsed(t, text), Err: ErrRefused, provider: by}
	}
	own := refused(PhaseMail, providerMicrosoft, "552 5.3.4 too big")
	own.own = true
	const now, sameAgain = 0, 4 * time.Hour // the hold's first probe was refused before
	tests := []struct {
		name string
		err  *Error
		free bool
		next time.Duration
	}{
		{"the same refusal", microsoftRefusal(PhaseFinal), false, 12 * time.Hour},
		{"another one of the kind", refused(PhaseMail, providerMicrosoft, "550 5.1.8 bad sender"), false, 12 * time.Hour},
		{"the login is held", microsoftRefusal(PhaseAuth), false, 24 * time.Hour},
		{"the recipient is refused", refused(PhaseRcpt, providerMicrosoft, "550 5.1.1 no such user"), true, 0},
		{"the message is refused", refused(PhaseFinal, providerMicrosoft, "554 5.7.1 spam"), true, 0},
		{"the message is deferred", refused(PhaseFinal, providerMicrosoft, "451 4.3.0 later"), true, 0},
		{"the quota is used up", refused(PhaseFinal, providerMicrosoft, "550 5.1.90 of the day"), true, 0},
		{"the account is throttled", refused(PhaseMail, providerMicrosoft, "451 4.7.500 busy"), false, sameAgain},
		{"the login is refused", refused(PhaseAuth, providerMicrosoft, "535 5.7.3 no"), false, sameAgain},
		{"too many logins", refused(PhaseAuth, providerMicrosoft, "454 4.7.0 later"), false, sameAgain},
		{"no connection", &Error{Phase: PhaseConnect, Err: io.EOF}, false, now},
		{"no token", &Error{Phase: PhaseToken, Err: errors.New("no")}, false, now},
		{"no answer", &Error{Phase: PhaseFinal, Err: io.EOF}, false, now},
		{"not understood", &Error{Phase: PhaseMail, Reply: parsed(t, "250 what"), Err: ErrProtocol}, false, now},
		{"the provider was not asked", own, false, now},
		{"given up by the client", nil, false, now},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at := time.Now()
			r := heldBy(at, PhaseFinal)
			at = r.probes.due
			r.outcome(microsoftRefusal(PhaseFinal), at)
			at = r.probes.due
			if free := r.outcome(tt.err, at); free != tt.free {
				t.Fatalf("free %t, want %t", free, tt.free)
			}
			if next := r.probes.due.Sub(at); !tt.free && next != tt.next {
				t.Errorf("the next probe in %v, want %v", next, tt.next)
			}
		})
	}
}

// TestProbeTimeIsMonotonic: a clock that is set changes nothing of the schedule,
// and the time that is told is that of the clock then.
func TestProbeTimeIsMonotonic(t *testing.T) {
	start := time.Now()
	st := &accountState{account: &account.Account{}, restraint: heldBy(start, PhaseFinal)}
	if due := st.restraint.probes.due; !strings.Contains(due.String(), "m=") {
		t.Errorf("due at %v, without a monotonic reading", due)
	}
	later := start.Add(30 * time.Minute)
	if got := st.standing(later).NextProbe.Sub(later); got != 30*time.Minute {
		t.Errorf("the next probe is due in %v", got)
	}
}

// submitAt submits tx as if it were that time.
func (f *fixture) submitAt(tx *Transaction, at time.Time) {
	f.t.Helper()
	submit := func() {
		f.relay.waiting.Add(1)
		tx.submitted = time.Now()
		tx.deadline = tx.submitted.Add(f.relay.cfg.TransactionTimeout)
		f.relay.shardOf(tx.Account.ID).postOn(event{kind: evSubmit, tx: tx, now: at}, tx.Loop)
	}
	if tx.Loop == nil {
		submit()
		return
	}
	done, _ := f.loop.start(submit)
	<-done
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
	f.faults(rule)
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
				if res := f.sendAt(a, "to@example.com", due.Add(-time.Second)); code(res.Reply) != "451 4.7.0" || res.Phase != PhaseQueue {
					t.Fatalf("before probe %d: %v", i, res.Reply)
				}
				fired++
				if res := f.sendAt(a, "to@example.com", due); code(res.Reply) != tt.told || res.Phase == PhaseQueue {
					t.Fatalf("probe %d: %v", i, res.Reply)
				}
				if res := f.sendAt(a, "to@example.com", due); code(res.Reply) != "451 4.7.0" || res.Phase != PhaseQueue {
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
			if res := f.sendAt(a, "to@example.com", due.Add(time.Minute)); code(res.Reply) != "451 4.7.0" || res.Phase != PhaseQueue {
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
	f.faults(sandbox.Rule{Name: "lost", Phase: sandbox.PhaseMail, Action: sandbox.ActionClose, Times: 1})
	tx, c := f.envelope(a, "one@example.com", "two@example.com")
	f.submitAt(tx, f.standing(a).NextProbe)
	if c.next(t); tx.Rcpts[0].Reply.Code != 250 {
		t.Errorf("told %v", tx.Rcpts[0].Reply)
	}
	f.fired("lost", 1)
	tx.Release()
}

// TestProbeRefusedForItsOwnSake releases the account.
func TestProbeRefusedForItsOwnSake(t *testing.T) {
	f, a, _ := newHeld(t, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Reply: fullMailbox, Times: 1})
	f.faults(sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "bad@example.com", Action: sandbox.ActionReply, Reply: "550 5.1.1 no such user"})
	if res := f.sendAt(a, "bad@example.com", f.standing(a).NextProbe); code(res.Reply) != "550 5.1.1" {
		t.Fatal(res.Reply)
	}
	f.sendOK(a, "free\r\n")
}

// TestNoProbeAgainstAnOrder: what an operator has stopped is not tried.
func TestNoProbeAgainstAnOrder(t *testing.T) {
	f, a, _ := newHeld(t, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Reply: fullMailbox, Times: 1})
	due := f.standing(a).NextProbe
	f.relay.Pause(a, time.Time{}, "")
	if res := f.sendAt(a, "to@example.com", due); res.Phase != PhaseQueue {
		t.Errorf("an account that an operator has paused is tried: %v", res.Reply)
	}
	f.relay.ReleaseHold(a.ID)
	if res := f.sendAt(a, "to@example.com", due); !strings.Contains(res.Reply.Text, "paused by an operator") {
		t.Errorf("paused: %v", res.Reply)
	}
	f.relay.Resume(a.ID)
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
	if err := f.relay.Continue(tx); err != nil {
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
