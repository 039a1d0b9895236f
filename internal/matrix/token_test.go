package matrix

import (
	"errors"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// tokenFaults are what can happen at the token endpoint. atLogin is what a
// client is told that logs in meanwhile, atMessage what one is told that had
// logged in before the token ended.
var tokenFaults = []struct {
	name               string
	rule               sandbox.Rule
	atLogin, atMessage string
	reload             bool // it takes an operator
}{
	{"timeout", sandbox.Rule{Action: sandbox.ActionStall}, tempAuth, tempAuth, false},
	{"429 with Retry-After", sandbox.Rule{Action: sandbox.ActionReply, Status: 429, RetryAfter: "1"}, tempAuth, tempAuth, false},
	{"500", sandbox.Rule{Action: sandbox.ActionReply, Status: 500, Body: "oops"}, tempAuth, tempAuth, false},
	{"503", sandbox.Rule{Action: sandbox.ActionReply, Status: 503, Error: "temporarily_unavailable"}, tempAuth, tempAuth, false},
	{"garbage", sandbox.Rule{Action: sandbox.ActionGarbage}, tempAuth, tempAuth, false},
	{"huge", sandbox.Rule{Action: sandbox.ActionHuge}, tempAuth, tempAuth, false},
	{"close", sandbox.Rule{Action: sandbox.ActionClose}, tempAuth, tempAuth, false},
	{"reset", sandbox.Rule{Action: sandbox.ActionReset}, tempAuth, tempAuth, false},
	{"slow", sandbox.Rule{Action: sandbox.ActionSlow, Interval: sandbox.Duration(100 * time.Microsecond)}, delivered, delivered, false},
	{"invalid_grant", sandbox.Rule{Action: sandbox.ActionInvalidGrant}, "535 5.7.8", permAuth, true},
	{"interaction_required", sandbox.Rule{Action: sandbox.ActionReply, Error: "interaction_required"}, "535 5.7.8", permAuth, true},
	{"wrong scope", sandbox.Rule{Action: sandbox.ActionWrongScope}, permAuth, permAuth, false},
	{"revoked at once", sandbox.Rule{Action: sandbox.ActionRevoke}, permAuth, permAuth, false},
}

// TestTokenFaultAtLogin has the token endpoint fail when a client logs in.
func TestTokenFaultAtLogin(t *testing.T) {
	for _, f := range tokenFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			k := newTokenStack(t, f.rule.Action)
			f.rule.Name, f.rule.Phase, f.rule.Account = "fault", sandbox.PhaseToken, victim
			provider.Faults(t, k.sandbox, f.rule)
			l := newLetter(victim, 1, contentSize)
			var c *client
			o, err := k.try(&c, l, style{})
			told := o.told(0)
			if r, refused := errors.AsType[refusal](err); refused {
				told = string(r)
			}
			checkTold(t, k, l, told, f.atLogin)
			k.afterToken(t, c, f.reload)
		})
	}
}

// TestTokenFaultAtMessage has the token of a client end that has logged in,
// and its replacement fail.
func TestTokenFaultAtMessage(t *testing.T) {
	for _, f := range tokenFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			k := newTokenStack(t, f.rule.Action)
			c, err := k.login(victim)
			if err != nil {
				t.Fatal(err)
			}
			k.sandbox.ExpireTokens(victim)
			f.rule.Name, f.rule.Phase, f.rule.Account = "fault", sandbox.PhaseToken, victim
			provider.Faults(t, k.sandbox, f.rule)
			l := newLetter(victim, 1, contentSize)
			o := c.send(l, style{})
			checkTold(t, k, l, o.told(0), f.atMessage)
			if o.closing() {
				c.close()
				c = nil
			}
			k.afterToken(t, c, f.reload)
		})
	}
}

// newTokenStack is one whose token requests end soon if they stall.
func newTokenStack(t *testing.T, action sandbox.Action) *stack {
	t.Helper()
	s := defaults(sandbox.PresetGmail)
	if action == sandbox.ActionStall {
		s.oauth.Timeout, s.upstream.TokenTimeout = brief, 2*brief
	}
	return newStack(t, s)
}

// checkTold compares what a client was told with want, and with what the
// provider has.
func checkTold(t *testing.T, k *stack, l letter, told, want string) {
	t.Helper()
	if !strings.HasPrefix(told, want+" ") {
		t.Errorf("the client was told %q, want %q", told, want)
	}
	copies := 0
	if want == delivered {
		copies = 1
	}
	if got := k.arrived(l); len(got) != copies {
		t.Errorf("the provider has %d copies, want %d", len(got), copies)
	}
}

// afterToken checks that neighbours are not touched while the fault lasts, and
// that the account goes on when it is over: by itself, or once its credentials
// were changed.
func (k *stack) afterToken(t *testing.T, c *client, reload bool) {
	t.Helper()
	k.deliver(t, nil, neighbour, 1, style{}, false)
	k.sandbox.ClearFaults()
	if reload {
		if c != nil {
			c.close()
			c = nil
		}
		k.account = func(a *account.Account) { a.Scope = "https://mail.google.com/" }
		k.reload(t, k.users)
	}
	k.deliver(t, c, victim, 1, style{}, true)
	k.Settled(t)
	k.Stop()
}

// reload publishes the accounts anew, in the order in which the proxy does.
func (k *stack) reload(t testing.TB, users []string) {
	t.Helper()
	snap := k.Snapshot(t, users...)
	k.Tokens.Retain(snap)
	k.Store.Swap(snap)
	k.Relay.Retain(snap)
}

// TestRetryAfterIsObeyed checks that a token endpoint that asks for time is
// given it, however many clients come.
func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	k := newTokenStack(t, sandbox.ActionReply)
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "fault", Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Status: 429, RetryAfter: "3600"})
	for range 5 {
		_, err := k.login(victim)
		if r, refused := errors.AsType[refusal](err); !refused || !strings.HasPrefix(string(r), tempAuth+" ") {
			t.Fatalf("the login was answered by %v, want %s", err, tempAuth)
		}
	}
	if n := k.sandbox.Fired("fault"); n != 1 {
		t.Errorf("the token endpoint was asked %d times in spite of Retry-After", n)
	}
}

// TestRotation has each token request give a new refresh token and take the
// old one away.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := defaults(sandbox.PresetGmail)
	s.sandbox.Tokens = sandbox.TokenConfig{Rotation: "on", InvalidateOld: true}
	k := newStack(t, s)
	configured := k.sandbox.RefreshToken(victim)
	for range 3 {
		k.deliver(t, nil, victim, 1, style{}, true)
		k.Settled(t)
		k.sandbox.ExpireTokens(victim)
		k.reconnect(t)
	}
	if k.sandbox.UsedRefreshToken(victim) == configured {
		t.Error("the configured refresh token was used again after it had been replaced")
	}
	k.deliver(t, nil, neighbour, 1, style{}, false)
}

// reconnect has the relay give up its parked connections, by taking the
// accounts away and putting them back.
func (k *stack) reconnect(t testing.TB) {
	t.Helper()
	snap := k.Store.Load()
	empty, err := account.NewSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	k.Relay.Retain(empty)
	k.Relay.Retain(snap)
	testkit.Eventually(t, "no connection is open", func() bool { return k.sandbox.Stats().Open == 0 })
}
