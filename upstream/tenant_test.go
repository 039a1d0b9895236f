package upstream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

const tenantName = "contoso.example"

// tenants is the configuration of one tenant.
func tenants(most int) map[string]Tenant {
	return map[string]Tenant{tenantName: {ExternalRecipients: most, Domains: []string{"contoso.com"}}}
}

// ofTenant has all accounts be of one tenant, whose limit the sandbox keeps too.
func ofTenant(s *setup, most int) {
	s.relay.Tenants = tenants(most)
	s.box.Tenants = []sandbox.Tenant{{Name: tenantName, ExternalRecipients: most, Domains: []string{"contoso.com"}}}
}

// tenantUsed is how much of the limit of the tenant is used.
func (f *fixture) tenantUsed() int { return f.relay.Tenants().Uses()[0].Used }

// TestTenantLimit: the accounts of a tenant share its limit. What is beyond is refused before
// the provider hears of it, recipients inside the tenant are not.
func TestTenantLimit(t *testing.T) {
	f := newFixture(t, func(s *setup) { ofTenant(s, 3); s.accounts, s.relay.Shards = 4, 3 })
	f.sendOK(f.accounts[0], "1\r\n")
	f.sendOK(f.accounts[1], "2\r\n")
	f.sendOK(f.accounts[2], "3\r\n")
	for _, a := range f.accounts {
		f.tenantRefuses(a, "Limit of 3 external recipients a day for the tenant contoso.example; try again in 8")
	}
	for _, own := range []string{"a@contoso.com", "b@Contoso.example"} {
		if res := f.send(f.accounts[3], own, "inside\r\n"); res.Err != nil {
			t.Errorf("%s: %v", own, res.Err)
		}
	}
	neighbour := *f.accounts[0]
	neighbour.ID, neighbour.Tenant = "neighbour", "fabrikam.example"
	if f.relay.Tenants().Of(&neighbour) != nil {
		t.Error("another tenant has the limit")
	}
	if n := f.metric(`upstream_limit_refusals_total{limit="tenant_recipients_day"}`); n != "4" {
		t.Errorf("counted %s refusals", n)
	}
	for name, want := range map[string]string{"upstream_tenant_recipients": "3", "upstream_tenant_recipients_limit": "3"} {
		if n := f.metric(name + `{tenant="contoso.example"}`); n != want {
			t.Errorf("%s is %s", name, n)
		}
	}
	provider.Messages(t, f.box, 5)
	provider.NoViolations(t, f.box)
}

// TestTenantLimitByRecipient: each recipient of a transaction has its own answer.
func TestTenantLimitByRecipient(t *testing.T) {
	const ok, full, later = "250", "452 4.7.1", "452 4.5.3"
	tests := []struct {
		name     string
		most     int
		promised bool
		groups   [][]string
		want     []string // begins of the replies
		final    string
		arrived  int // recipients
		used     int
	}{
		{"some", 2, false, [][]string{{"a@x.test", "b@contoso.com", "c@x.test", "d@x.test", "e@contoso.com"}}, []string{ok, ok, ok, full, ok}, ok, 4, 2},
		{"later ones", 1, true, [][]string{{"a@x.test", "b@contoso.com"}, {"c@x.test", "d@contoso.com"}, {"e@x.test"}}, []string{ok, ok, full, ok, full}, ok, 3, 1},
		{"the first one", 0, false, [][]string{{"a@x.test", "b@contoso.com"}}, []string{full, ok}, ok, 1, 0},
		{"the first one, which was promised", 0, true, [][]string{{"a@x.test", "b@contoso.com"}}, []string{full, later}, full, 0, 0},
		{"all, one of which was promised", 0, true, [][]string{{"a@x.test", "b@x.test"}}, nil, full, 0, 0},
		{"all", 0, false, [][]string{{"a@x.test", "b@x.test"}}, []string{full, full}, full, 0, 0},
		{"none that needs a place", 0, true, [][]string{{"a@contoso.com", "b@contoso.com"}}, []string{ok, ok}, ok, 2, 0},
	}
	for _, tt := range tests {
		for _, offer := range offers {
			t.Run(tt.name+", "+offer.name, func(t *testing.T) {
				f := newFixture(t, func(s *setup) { ofTenant(s, tt.most+1); s.keywords = offer.keywords })
				f.sendOK(f.accounts[1], "uses one place\r\n")
				rcpts, final := f.conversation(f.accounts[0], tt.promised, tt.groups)
				if len(rcpts) != len(tt.want) {
					t.Fatalf("recipients %v", rcpts)
				}
				for i, r := range rcpts {
					if !strings.HasPrefix(code(r), tt.want[i]) {
						t.Errorf("recipient %d: %v, want %s", i, r, tt.want[i])
					}
				}
				if !strings.HasPrefix(code(final), tt.final) {
					t.Errorf("final reply %v, want %s", final, tt.final)
				}
				want := 1
				if tt.arrived > 0 {
					want = 2
				}
				m := provider.Messages(t, f.box, want)[want-1]
				if tt.arrived > 0 && len(m.Recipients) != tt.arrived {
					t.Errorf("arrived for %v", provider.Paths(m))
				}
				if n := f.tenantUsed(); n != tt.used+1 {
					t.Errorf("%d places are used, want %d", n, tt.used+1)
				}
				f.sendInside(f.accounts[0]) // the connection is in step
				provider.NoViolations(t, f.box)
			})
		}
	}
}

// tenantRefuses fails the test unless the next message of a gets 452 with that text, and
// needs no connection.
func (f *fixture) tenantRefuses(a *account.Account, text string) {
	f.t.Helper()
	asked := func() (n int64) {
		for _, command := range f.commands() {
			if command == "MAIL" {
				n++
			}
		}
		return n + f.box.Stats().Connections
	}
	before := asked()
	tx, _ := f.message(a, "to@example.com", "refused\r\n")
	err := f.trySubmit(tx)
	if err == nil {
		f.t.Fatal("the relay has taken the message")
	}
	tx.Release()
	if r := ClientReply(err); code(r) != "452 4.7.1" || !strings.HasPrefix(r.Text, "Limit of ") || !strings.Contains(r.Text, text) || r.Hint != hint.LimitTenantRecipientsPerDay {
		f.t.Errorf("reply %v, want 452 4.7.1 with %q", r, text)
	}
	if asked() != before {
		f.t.Error("the provider was asked")
	}
}

// sendInside sends to a recipient that needs no place.
func (f *fixture) sendInside(a *account.Account) {
	f.t.Helper()
	if res := f.send(a, "in@contoso.com", "inside\r\n"); res.Err != nil {
		f.t.Error(res.Err)
	}
}

// conversation sends a transaction as a session does, with recipients in groups. It returns
// the replies to the recipients, none if the relay did not take them, and the last reply.
func (f *fixture) conversation(a *account.Account, promised bool, groups [][]string) (rcpts []codec.Reply, final codec.Reply) {
	tx, c := f.envelope(a, groups[0]...)
	tx.FirstAnswered = promised
	if err := f.trySubmit(tx); err != nil {
		tx.Release()
		return nil, ClientReply(err)
	}
	c.next(f.t)
	for _, g := range groups[1:] {
		if tx.Over() != nil {
			break
		}
		for _, p := range g {
			tx.AddRcpt(codec.RcptArgs{Path: []byte(p)})
		}
		if err := f.goOn(tx); err != nil {
			tx.Release()
			return nil, ClientReply(err)
		}
		c.next(f.t)
	}
	accepted := false
	for i := range tx.Rcpts {
		rcpts = append(rcpts, tx.Rcpts[i].Reply)
		accepted = accepted || tx.Rcpts[i].Reply.Positive()
	}
	if cause := tx.Over(); cause != nil || !accepted {
		tx.Release()
		if cause == nil {
			return rcpts, rcpts[0]
		}
		return rcpts, cause.ClientReply()
	}
	tx.Content = content(f.t, "to several\r\n")
	if err := f.goOn(tx); err != nil {
		tx.Release()
		return rcpts, ClientReply(err)
	}
	ans := c.next(f.t)
	final = ans.res.Reply
	ans.tx.Release()
	return rcpts, final
}

// TestTenantPlacesAreFree again after what the provider has not taken, and count after what
// it may have.
func TestTenantPlacesAreFree(t *testing.T) {
	reply := func(phase sandbox.Phase, text string) sandbox.Rule {
		return sandbox.Rule{Phase: phase, Action: sandbox.ActionReply, Reply: text}
	}
	tests := []struct {
		name     string
		rule     sandbox.Rule
		one, two int // places that count after a message with one recipient, and one with two
	}{
		{"MAIL refused", reply(sandbox.PhaseMail, "550 5.7.60 no"), 0, 0},
		{"recipients refused", reply(sandbox.PhaseRcpt, "550 5.1.1 no"), 0, 0},
		{"content refused", reply(sandbox.PhaseAfterEOD, "554 5.6.0 no"), 0, 0},
		{"no answer", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionClose}, 1, 2},
		{"lost once", sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionClose, Times: 1}, 1, 2},
		{"accepted", sandbox.Rule{Phase: sandbox.PhaseNoop, Action: sandbox.ActionClose}, 1, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { ofTenant(s, 100) })
			f.sendInside(f.accounts[0])
			provider.Faults(t, f.box, tt.rule)
			f.send(f.accounts[0], "to@x.test", "one\r\n")
			if n := f.tenantUsed(); n != tt.one {
				t.Errorf("one recipient: %d places count, want %d", n, tt.one)
			}
			provider.Faults(t, f.box, tt.rule)
			f.conversation(f.accounts[1], false, [][]string{{"a@x.test", "in@contoso.com"}, {"b@x.test"}})
			f.until(func() bool { return f.tenantUsed() == tt.one+tt.two })
		})
	}
	t.Run("given up", func(t *testing.T) {
		f := newFixture(t, func(s *setup) { ofTenant(s, 3) })
		for range 3 {
			tx, c := f.envelope(f.accounts[0], "a@x.test", "b@x.test", "c@x.test")
			if err := f.trySubmit(tx); err != nil {
				t.Fatal(err)
			}
			if ans := c.next(t); ans.tx.Rcpts[2].Reply.Code != 250 || f.tenantUsed() != 3 {
				t.Fatal(ans.tx.Rcpts[2].Reply, f.tenantUsed())
			}
			tx.Release()
			f.until(func() bool { return f.tenantUsed() == 0 })
		}
	})
	t.Run("held for long", func(t *testing.T) { // the places stay with the recipients that were promised
		f := newFixture(t, func(s *setup) { ofTenant(s, 2); s.relay.HoldTimeout = time.Millisecond })
		tx, c := f.envelope(f.accounts[0], "a@x.test", "b@x.test")
		if err := f.trySubmit(tx); err != nil {
			t.Fatal(err)
		}
		c.next(t)
		f.until(func() bool { return f.metric("upstream_hold_expired_total") == "1" })
		f.tenantRefuses(f.accounts[1], "2 external recipients")
		tx.Content = content(t, "late\r\n")
		if err := f.goOn(tx); err != nil {
			t.Fatal(err)
		}
		ans := c.next(t)
		if ans.res.Err != nil || f.tenantUsed() != 2 {
			t.Errorf("%v, %d places", ans.res.Err, f.tenantUsed())
		}
		ans.tx.Release()
	})
	t.Run("dry run", func(t *testing.T) {
		f := newFixture(t, func(s *setup) { ofTenant(s, 2); s.relay.DryRun = true })
		for range 3 {
			f.sendOK(f.accounts[0], "a\r\n")
			f.conversation(f.accounts[0], false, [][]string{{"a@x.test", "b@x.test"}})
		}
		if n := f.tenantUsed(); n != 0 {
			t.Errorf("%d places count", n)
		}
	})
}

// TestTenantNeverBounces is the proof: with a provider that bounces what is beyond the limit
// of the tenant, many accounts send more than it allows, at once, to one or several
// recipients, with connections that are lost and refusals, over days, over restarts and
// reloads. Nothing is ever bounced. Without the limit here, the provider bounces.
func TestTenantNeverBounces(t *testing.T) {
	const most, rounds = 60, 24
	for _, limited := range []bool{true, false} {
		t.Run(fmt.Sprintf("limited %v", limited), func(t *testing.T) {
			var ahead atomic.Int64 // of the clock, a time.Duration
			now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			dir := t.TempDir()
			var store *quota.Store
			f := newFixture(t, func(s *setup) {
				ofTenant(s, most)
				s.accounts, s.relay.Shards, s.relay.Tenants, s.box.Now = 6, 3, nil, now
				s.box.Tokens.Lifetime = sandbox.Duration(1000 * time.Hour)
			})
			start := func() {
				var err error
				if store, _, err = quota.Open(dir); err != nil {
					t.Fatal(err)
				}
				cfg := f.relay.cfg
				cfg.Quota = store
				f.set = metrics.NewSet()
				if f.relay, err = New(cfg, f.tokens, zap.NewNop(), f.set); err != nil {
					t.Fatal(err)
				}
				f.relay.Tenants().Now = now
				if limited {
					f.relay.Tenants().Put(tenants(most))
				}
			}
			stop := func() {
				f.close()
				if err := store.Close(); err != nil {
					t.Fatal(err)
				}
			}
			f.close()
			start()
			rng := rand.New(rand.NewPCG(5, 6))
			full := 0
			for round := range rounds {
				provider.Faults(t, f.box)
				if round%3 == 1 {
					provider.Faults(t, f.box,
						sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionClose, Times: 3},
						sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionAcceptThenClose, Times: 3},
						sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "bad@x.test", Action: sandbox.ActionReply, Reply: "550 5.1.1 no"})
				}
				full += f.rush(rng, 1)
				if limited && round%4 == 2 {
					f.relay.Tenants().Put(tenants(most / 2))
					full += f.rush(rng, 1)
					f.relay.Tenants().Put(tenants(most))
				}
				if round%2 == 1 {
					stop()
					start()
				}
				ahead.Add(rng.Int64N(int64(7 * time.Hour)))
			}
			stop()
			st, beyond := f.box.TenantStats(tenantName), f.box.Stats().Violations[sandbox.ViolationTenantLimit]
			if !limited {
				if beyond == 0 || st.Beyond == 0 || full != 0 {
					t.Errorf("without a limit the provider bounced %d messages, and %d were refused here: %+v", beyond, full, st)
				}
				return
			}
			provider.NoViolations(t, f.box)
			if st.MaxRecipients != most || st.Beyond != 0 || f.box.Stats().Bounced != 0 || full < rounds {
				t.Errorf("%+v, %d bounced, %d refused here", st, f.box.Stats().Bounced, full)
			}
		})
	}
}

// rush has each account send n messages at once to one recipient, and n to several. It
// returns how often the limit of the tenant was the answer.
func (f *fixture) rush(rng *rand.Rand, n int) (full int) {
	type result = []codec.Reply
	results := make(chan result, 2*n*len(f.accounts))
	var senders sync.WaitGroup
	for _, a := range f.accounts {
		for range n {
			bad := "good@x.test"
			if rng.IntN(4) == 0 {
				bad = "bad@x.test"
			}
			promised := rng.IntN(2) == 0
			senders.Go(func() {
				tx, c := f.message(a, bad, "one\r\n")
				if err := f.trySubmit(tx); err != nil {
					tx.Release()
					results <- result{ClientReply(err)}
					return
				}
				ans := c.next(f.t)
				results <- result{ans.res.Reply}
				ans.tx.Release()
			})
			senders.Go(func() {
				rcpts, final := f.conversation(a, promised, [][]string{{"a@x.test", "in@contoso.com", bad}, {"b@x.test"}})
				results <- append(rcpts, final)
			})
		}
	}
	senders.Wait()
	close(results)
	for r := range results {
		if slices.ContainsFunc(r, func(r codec.Reply) bool { return strings.Contains(r.Text, "external recipients a day") }) {
			full++
		}
	}
	return full
}

// TestRefusedSubmissionsCount: where the provider counts what it refuses, that counts here.
func TestRefusedSubmissionsCount(t *testing.T) {
	reply := func(phase sandbox.Phase, rcpt, text string) sandbox.Rule {
		return sandbox.Rule{Phase: phase, Recipient: rcpt, Action: sandbox.ActionReply, Reply: text}
	}
	several := [][]string{{"a@x.test", "bad@x.test"}, {"b@x.test", "bad@x.test"}}
	tests := []struct {
		name            string
		rule            sandbox.Rule
		groups          [][]string // nil: a message to bad@x.test
		plain, counting [2]int     // messages and recipients that count
	}{
		{"MAIL", reply(sandbox.PhaseMail, "", "550 5.7.60 no"), nil, [2]int{}, [2]int{}},
		{"the only recipient", reply(sandbox.PhaseRcpt, "bad@x.test", "550 5.1.1 no"), nil, [2]int{}, [2]int{1, 1}},
		{"the only recipient, for now", reply(sandbox.PhaseRcpt, "bad@x.test", "450 4.2.1 no"), nil, [2]int{}, [2]int{1, 1}},
		{"the content", reply(sandbox.PhaseAfterEOD, "", "554 5.2.252 no"), nil, [2]int{}, [2]int{1, 1}},
		{"no answer", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionClose}, nil, [2]int{1, 1}, [2]int{1, 1}},
		{"nothing", reply(sandbox.PhaseNoop, "", "450 4.0.0 no"), nil, [2]int{1, 1}, [2]int{1, 1}},
		{"some recipients", reply(sandbox.PhaseRcpt, "bad@x.test", "550 5.1.1 no"), several, [2]int{1, 2}, [2]int{1, 4}},
		{"all recipients", reply(sandbox.PhaseRcpt, "", "550 5.1.1 no"), [][]string{{"a@x.test", "b@x.test"}}, [2]int{}, [2]int{1, 2}},
		{"the content for several", reply(sandbox.PhaseAfterEOD, "", "554 5.6.0 no"), several, [2]int{}, [2]int{1, 4}},
		{"recipients and content", reply(sandbox.PhaseAfterEOD, "", "554 5.6.0 no"), [][]string{{"a@x.test", "b@x.test"}}, [2]int{}, [2]int{1, 2}},
	}
	for _, tt := range tests {
		for _, counting := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, counting %v", tt.name, counting), func(t *testing.T) {
				f := newFixture(t, func(s *setup) {
					s.limits.MessagesPerMinute, s.limits.RecipientsPerDay, s.limits.CountRefused = 50, 100, counting
				})
				provider.Faults(t, f.box, tt.rule)
				a, want := f.accounts[0], tt.plain
				if counting {
					want = tt.counting
				}
				if tt.groups == nil {
					f.send(a, "bad@x.test", "a\r\n")
				} else {
					f.conversation(a, false, tt.groups)
				}
				want0 := Use{Limit: "messages a minute", Used: want[0], Max: 50}
				f.until(func() bool { return f.state(a).Busy == 0 })
				uses := f.standing(a).Uses
				if !slices.Contains(uses, want0) || !slices.Contains(uses, Use{Limit: "recipients a day", Used: want[1], Max: 100}) {
					t.Errorf("uses %v, want %v", uses, want)
				}
			})
		}
	}
}

// TestRefusedSubmissionsUseUpTheLimit: an account whose messages are all refused is held to
// its limit.
func TestRefusedSubmissionsUseUpTheLimit(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.limits.MessagesPerMinute, s.limits.CountRefused, s.limits.AcquireTimeout = 3, true, time.Second
	})
	provider.Faults(t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "550 5.1.1 no"})
	for range 3 {
		if res := f.send(f.accounts[0], "to@x.test", "a\r\n"); code(res.Reply) != "550 5.1.1" {
			t.Fatal(res.Reply)
		}
	}
	f.refusedFor(f.accounts[0], "451 4.7.1", "3 messages a minute")
}
