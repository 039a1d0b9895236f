package upstream

import (
	"context"
	"errors"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

func (f *fixture) verifier() *Verifier {
	f.t.Helper()
	v, err := NewVerifier(f.relay.cfg, f.tokens)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		f := newFixture(t, func(s *setup) { s.implicit = implicit })
		v := f.verifier()
		for _, a := range f.accounts {
			if err := v.Verify(t.Context(), a); err != nil {
				t.Errorf("%s: %v", a.ID, err)
			}
		}
		if st := f.box.Stats(); st.Logins != 2 || st.Quits != 2 || st.Messages != 0 {
			t.Errorf("%d logins, %d QUITs, %d messages", st.Logins, st.Quits, st.Messages)
		}
		provider.NoViolations(f.t, f.box)
	}
}

func TestVerifyTellsWhatFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rule  sandbox.Rule
		phase Phase
		reply int
		is    error
	}{
		{"grant revoked", sandbox.Rule{Phase: sandbox.PhaseToken, Action: sandbox.ActionInvalidGrant}, throttle.PhaseToken, 0, oauth.ErrInvalidGrant},
		{"token endpoint down", sandbox.Rule{Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Status: 503}, throttle.PhaseToken, 0, oauth.ErrUnavailable},
		{"wrong certificate", sandbox.Rule{Phase: sandbox.PhaseTLS, Action: sandbox.ActionWrongCertificate, Certificate: "expired"}, throttle.PhaseTLS, 0, nil},
		{"refused", sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "535 5.7.139 disabled"}, throttle.PhaseAuth, 535, failure.ErrRefused},
		{"busy", sandbox.Rule{Phase: sandbox.PhaseBanner, Action: sandbox.ActionReply, Reply: "421 4.7.0 later"}, throttle.PhaseGreeting, 421, failure.ErrRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, nil)
			provider.Faults(f.t, f.box, tt.rule)
			err := f.verifier().Verify(t.Context(), f.accounts[0])
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Phase != tt.phase || e.Reply.Code != tt.reply || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestVerifyReplacesRefusedToken(t *testing.T) {
	f := newFixture(t, nil)
	v := f.verifier()
	if err := v.Verify(t.Context(), f.accounts[0]); err != nil {
		t.Fatal(err)
	}
	f.box.ExpireTokens(f.accounts[0].Email)
	if err := v.Verify(t.Context(), f.accounts[0]); err != nil {
		t.Error(err)
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "silent", Phase: sandbox.PhaseBanner, Action: sandbox.ActionStall})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	done := make(chan error, 1)
	go func() { done <- f.verifier().Verify(ctx, f.accounts[0]) }()
	provider.Fired(f.t, f.box, "silent", 1)
	cancel(why)
	if err := testkit.Receive(t, "the check ends", done); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// waitAccount waits until the sandbox's counters of the account say so.
func (f *fixture) waitAccount(a *account.Account, cond func(sandbox.AccountStats) bool) {
	f.t.Helper()
	if err := f.box.WaitAccount(testkit.Context(f.t), a.Email, cond); err != nil {
		f.t.Fatal(err)
	}
}

func noneOpen(s sandbox.AccountStats) bool { return s.Open == 0 }

func TestRetainClosesConnectionsOfRemovedAccounts(t *testing.T) {
	f := newFixture(t, nil)
	for _, a := range f.accounts {
		f.sendOK(a, "a\r\n")
		if st := f.state(a); st.Parked != 1 || st.Open != 1 {
			t.Fatalf("%s: %+v", a.ID, st)
		}
	}
	// A message that is under way is finished.
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "slow", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, Times: 1,
		For: sandbox.Duration(200 * time.Millisecond)})
	running, c := f.message(f.accounts[0], "to@example.com", "running\r\n")
	if err := f.trySubmit(running); err != nil {
		t.Fatal(err)
	}
	provider.Fired(f.t, f.box, "slow", 1)
	f.relay.Retain(snapshotOf(t, f.accounts[1]))
	if a := c.next(t); a.res.Reply.Code != 250 {
		t.Errorf("the running message: %v", a.res.Reply)
	} else {
		a.tx.Release()
	}
	f.waitAccount(f.accounts[0], noneOpen)
	if st := f.state(f.accounts[1]); st.Parked != 1 {
		t.Errorf("the account that stays: %+v", st)
	}
	provider.NoViolations(f.t, f.box)
}

func TestRetainClosesConnectionsOfChangedAccounts(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.accounts[0], *f.accounts[1]
	f.sendOK(a, "a\r\n")
	f.sendOK(f.accounts[1], "a\r\n")
	b.AuthIdentity = "other@example.com"
	f.relay.Retain(snapshotOf(t, a, &b))
	f.waitAccount(f.accounts[1], noneOpen)
	if st := f.state(a); st.Parked != 1 {
		t.Errorf("the account that stays: %+v", st)
	}
}

// TestRetainDeliversWhatWaits has a message wait for its account's only
// connection while the account's credentials are changed, or it is removed: it is delivered
// all the same, and the connection is not opened again and again.
func TestRetainDeliversWhatWaits(t *testing.T) {
	for _, removed := range []bool{false, true} {
		f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
		a, changed := f.accounts[0], *f.accounts[0]
		provider.Faults(f.t, f.box, sandbox.Rule{Name: "slow", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, Times: 1,
			For: sandbox.Duration(200 * time.Millisecond)})
		running, c := f.message(a, "to@example.com", "running\r\n")
		waiting, c2 := f.message(a, "to@example.com", "waiting\r\n")
		for _, tx := range []*Transaction{running, waiting} {
			if err := f.trySubmit(tx); err != nil {
				t.Fatal(err)
			}
		}
		provider.Fired(f.t, f.box, "slow", 1)
		changed.Scope += " other"
		if removed {
			f.relay.Retain(snapshotOf(t, f.accounts[1]))
		} else {
			f.relay.Retain(snapshotOf(t, &changed, f.accounts[1]))
		}
		for _, c := range []client{c, c2} {
			ans := c.next(t)
			if ans.res.Reply.Code != 250 {
				t.Errorf("removed %t: %v, %v", removed, ans.res.Reply, ans.res.Err)
			}
			ans.tx.Release()
		}
		f.waitAccount(a, noneOpen)
		if n := f.box.AccountStats(a.Email).Logins; n > 2 {
			t.Errorf("removed %t: %d logins", removed, n)
		}
	}
}

func TestDrain(t *testing.T) {
	f := newFixture(t, nil)
	f.sendOK(f.accounts[0], "a\r\n")
	f.sendOK(f.accounts[1], "a\r\n")
	f.relay.Drain(f.accounts[0].ID)
	f.waitAccount(f.accounts[0], noneOpen)
	if st := f.state(f.accounts[1]); st.Parked != 1 {
		t.Errorf("the other account: %+v", st)
	}
	f.sendOK(f.accounts[0], "b\r\n")
}

func TestStateTellsFailures(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "454 4.7.0 too many logins"})
	if res := f.send(f.accounts[0], "to@example.com", "a\r\n"); res.Err == nil {
		t.Fatal("the message was delivered")
	}
	st := f.state(f.accounts[0])
	if st.Failures != 1 || st.RetryAt.IsZero() || st.LastError == nil || st.LastError.Reply.Enhanced != (codec.EnhancedCode{4, 7, 0}) {
		t.Errorf("%+v", st)
	}
}

func snapshotOf(t *testing.T, all ...*account.Account) *account.Snapshot {
	t.Helper()
	s, err := account.NewSnapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
