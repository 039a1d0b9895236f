package upstream

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/failure"
)

// standing returns the standing of a, which must be known.
func (f *fixture) standing(a *account.Account) Standing {
	f.t.Helper()
	st, err := f.relay.Standing(a.ID)
	if err != nil || st == nil {
		f.t.Fatalf("the account is not known: %v", err)
	}
	return *st
}

func TestThrottledAccountHasFewerConnections(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.limits.MaxConnections = 4
		s.relay.ThrottleRecovery = time.Hour
		s.box.Latency.Commands = map[string]sandbox.Duration{"BDAT": sandbox.Duration(5 * time.Millisecond)}
	})
	a := f.accounts[0]
	f.flood(8, a)
	f.waitAccount(a, func(s sandbox.AccountStats) bool { return s.MaxOpen == 4 })
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseData, Action: sandbox.ActionReply, Times: 1, Reply: "432 4.3.2 sender thread limit exceeded"})
	if res := f.send(a, "to@example.com", "a\r\n"); code(res.Reply) != "432 4.3.2" {
		t.Errorf("the reply is not passed on: %v", res.Reply)
	}
	if n := f.standing(a).Connections; n != 2 {
		t.Errorf("%d connections allowed", n)
	}
	f.waitAccount(a, func(s sandbox.AccountStats) bool { return s.Open <= 2 })
	for _, res := range f.flood(20, a) {
		if res.Err != nil {
			t.Error(res.Err)
		}
	}
	if n := f.box.AccountStats(a.Email).Open; n > 2 {
		t.Errorf("%d connections", n)
	}
	if n := f.metric(`upstream_throttle_events_total{action="concurrency"}`); n != "1" {
		t.Errorf("counted %s", n)
	}
	f.sendOK(f.accounts[1], "neighbour\r\n")
	if st := f.standing(f.accounts[1]); st.Connections != 0 {
		t.Errorf("the neighbour: %+v", st)
	}
}

func TestThrottleIsForgotten(t *testing.T) {
	f := newFixture(t, nil)
	a := f.accounts[0]
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Times: 1, Reply: "451 4.7.500 server busy"})
	f.send(a, "to@example.com", "a\r\n")
	f.until(func() bool {
		f.eventually(a)
		return f.standing(a).Connections == 0
	})
}

func TestQuotaRefusalPausesTheAccount(t *testing.T) {
	const gmail, outlook = 0, 1
	for reply, whose := range map[string]int{
		"550 5.4.5 Daily user sending limit exceeded":                              gmail,
		"554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException": outlook,
		"550 5.1.90 Your message can't be sent, you've reached your daily limit":   outlook,
		"550 5.7.232 Your tenant has exceeded its limit of external recipients":    outlook,
		"550 5.7.233 Your tenant has exceeded its limit of external recipients":    outlook,
	} {
		for _, soft := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, temporary %t", reply[:11], soft), func(t *testing.T) {
				f := newFixture(t, func(s *setup) { s.relay.QuotaAsTemporary = soft })
				a, neighbour := f.accounts[whose], f.accounts[1-whose]
				provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Account: a.Email, Action: sandbox.ActionReply, Reply: reply})
				parts := strings.SplitN(reply, " ", 3)
				want := parts[0] + " " + parts[1]
				if soft {
					want = "452 4.7.1"
				}
				res := f.send(a, "to@example.com", "a\r\n")
				if code(res.Reply) != want || res.Reply.Text != parts[2] {
					t.Errorf("reply %v, want %s with the provider's text", res.Reply, want)
				}
				f.refusedFor(a, "452 4.7.1", "quota of the account is used up: "+reply, "; try again in 3")
				st := f.standing(a)
				if left := time.Until(st.Until); st.Stopped != "quota" || left < 59*time.Minute || left > time.Hour {
					t.Errorf("standing %+v", st)
				}
				f.sendOK(neighbour, "neighbour\r\n")
				f.box.ClearFaults()
				f.forgive(a)
				f.sendOK(a, "again\r\n")
			})
		}
	}
}

// TestQuotaRefusalByDefault: the client keeps the message where the table calls the code a
// quota, and only there.
func TestQuotaRefusalByDefault(t *testing.T) {
	const gmail, outlook = 0, 1
	for _, tt := range []struct {
		whose       int
		reply, want string
	}{
		{gmail, "550 5.4.5 Daily user sending limit exceeded", "452 4.7.1 Daily user sending limit exceeded"},
		{outlook, "550 5.1.90 reached your daily limit", "452 4.7.1 reached your daily limit"},
		{outlook, "550 5.4.5 Daily user sending limit exceeded", ""},
		{gmail, "550 5.1.90 reached your daily limit", ""},
		{outlook, "554 5.2.0 STOREDRV.Submission.Exception:Other", ""},
		{gmail, "552 5.2.2 quota exceeded, mailbox full", ""},
	} {
		f := newFixture(t, nil)
		a := f.accounts[tt.whose]
		provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Account: a.Email, Action: sandbox.ActionReply, Reply: tt.reply})
		if got := f.send(a, "to@example.com", "a\r\n").Reply.String(); got != cmp.Or(tt.want, tt.reply) {
			t.Errorf("%s: the client is told %s", tt.reply, got)
		}
	}
}

func TestHarmfulRefusalHoldsTheAccount(t *testing.T) {
	tests := []struct {
		name, reply string
		changed     bool // credentials release it
	}{
		{"at the content", "550 5.2.251 mailbox full", false},
		{"new credentials", "550 5.1.8 bad outbound sender", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, nil)
			a := f.accounts[1]
			provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: tt.reply, Times: 1})
			if got := code(f.send(a, "a@x.test", "a\r\n").Reply); got != tt.reply[:len(got)] {
				t.Errorf("%v, want the refusal as it is", got)
			}
			f.refusedFor(a, "451 4.7.0", "held until an operator acts", tt.reply)
			if n := f.metric("upstream_accounts_held"); n != "1" {
				t.Errorf("%s held", n)
			}
			f.waitAccount(a, noneOpen)
			f.sendOK(f.accounts[0], "neighbour\r\n")
			if tt.changed {
				changed := *a
				changed.AuthIdentity, changed.Scope = a.Email, "other"
				f.sendOK(&changed, "b\r\n")
			} else {
				f.relay.ReleaseHold(a.ID)
				f.sendOK(a, "b\r\n")
			}
			if n := f.metric("upstream_accounts_held"); n != "0" {
				t.Errorf("%s held", n)
			}
		})
	}
}

// forgive ends what the provider's replies have brought the account.
func (f *fixture) forgive(a *account.Account) {
	f.relay.change(a.ID, func(s *shard, st *accountState) { s.absolve(st) })
}

// deadPort returns an address of this host where nobody listens.
func deadPort(t *testing.T) int {
	t.Helper()
	ln := testkit.Listen(t)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func TestDeadEndpointAnswersAtOnce(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.relay.Breaker.Recovery = time.Hour
		s.accounts = 20
		s.relay.Shards = 3
	})
	port := deadPort(t)
	for i, a := range f.accounts[:19] {
		dead := *a
		dead.SMTP.Port = port
		res := f.send(&dead, "to@example.com", "a\r\n")
		if code(res.Reply) != "451 4.4.1" {
			t.Errorf("account %d: %v", i, res.Reply)
		}
		if down := strings.Contains(res.Reply.Text, failure.ErrEndpointDown.Error()); down != (i >= 5) {
			t.Errorf("account %d: %v", i, res.Reply)
		}
	}
	f.sendOK(f.accounts[19], "of another endpoint\r\n")
	if n := f.metric("upstream_breakers_open"); n != "1" {
		t.Errorf("%s breakers open", n)
	}
}

// TestDeadEndpointIsProbed: when it lives again, one connection finds out.
func TestDeadEndpointIsProbed(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.Breaker.Recovery = 5 * time.Millisecond })
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseConnect, Action: sandbox.ActionReset})
	f.until(func() bool {
		f.send(f.accounts[0], "to@example.com", "a\r\n")
		return f.metric(`upstream_breaker_changes_total{to="half_open"}`) != "0"
	})
	f.box.ClearFaults()
	f.eventually(f.accounts[1])
	f.eventually(f.accounts[0])
	if n := f.metric("upstream_breakers_open"); n != "0" {
		t.Errorf("%s breakers open", n)
	}
}

// TestDeadAccountsDoNotStopTheOthers: logins that are refused say nothing about
// the endpoint.
func TestDeadAccountsDoNotStopTheOthers(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.accounts = 8; s.limits.MaxMessagesPerConnection = 1 })
	var rules []sandbox.Rule
	for _, a := range f.accounts[:5] {
		rules = append(rules, sandbox.Rule{Phase: sandbox.PhaseAuth, Account: a.Email, Action: sandbox.ActionReply, Reply: "535 5.7.3 no"})
	}
	provider.Faults(f.t, f.box, rules...)
	for i := range 10 {
		for _, a := range f.accounts[:5] {
			if res := f.send(a, "to@example.com", "a\r\n"); !res.Reply.Transient() {
				t.Errorf("dead account: %v", res.Reply)
			}
		}
		f.sendOK(f.accounts[5+i%3], "healthy\r\n")
	}
	if n := f.metric(`upstream_breaker_changes_total{to="open"}`); n != "0" {
		t.Errorf("the breaker opened %s times", n)
	}
}

// TestMissingSourceAddressIsTheAccountsFault: it refuses, and takes no other.
func TestMissingSourceAddressIsTheAccountsFault(t *testing.T) {
	f := newFixture(t, nil)
	a := *f.accounts[0]
	a.SourceIP = netip.MustParseAddr("192.0.2.1") // TEST-NET-1: not of this host
	for range 10 {
		if res := f.send(&a, "to@example.com", "a\r\n"); code(res.Reply) != "451 4.4.1" {
			t.Errorf("reply %v", res.Reply)
		}
	}
	f.sendOK(f.accounts[1], "neighbour\r\n")
	provider.Messages(f.t, f.box, 1)
}

func TestPrewarm(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.relay.PrewarmConnections, s.relay.PrewarmRate = 3, 1000
		s.accounts = 4
		s.limits.LoginsPerMinute = 2
	})
	f.relay.Prewarm(snapshotOf(t, f.accounts...), engine.Loops())
	f.until(func() bool { return f.relay.connections(connParked) == 8 })
	for _, a := range f.accounts {
		f.sendOK(a, "a\r\n")
	}
	f.relay.Prewarm(snapshotOf(t, f.accounts...), engine.Loops()) // a reload opens no more than that
	f.relay.warmer.Wait()
	if n := f.box.Stats().Logins; n != 8 {
		t.Errorf("%d logins, limit is 2 for each of 4 accounts", n)
	}
	if n := f.metric("upstream_prewarm_connections_total"); n != "8" {
		t.Errorf("%s counted", n)
	}
}

// TestHotAccountDoesNotStarveTheOthers: with two slots for all, the messages of
// quiet accounts go before those of a hot one that wait already.
func TestHotAccountDoesNotStarveTheOthers(t *testing.T) {
	for _, shards := range []int{1, 3} {
		t.Run(strconv.Itoa(shards), func(t *testing.T) {
			const hot, quiet = 300, 20
			f := newFixture(t, func(s *setup) {
				s.relay.GlobalConcurrency, s.relay.Shards = 2, shards
				s.relay.MaxWaitingPerAccount = hot
				s.accounts = 1 + quiet
				// The hot ones must not all be done before the quiet ones come.
				s.box.Latency.Final = sandbox.Duration(5 * time.Millisecond)
			})
			c := make(client, hot+quiet)
			submit := func(a *account.Account) {
				tx, _ := f.message(a, "to@example.com", a.ID+"\r\n")
				tx.Done = c
				if err := f.trySubmit(tx); err != nil {
					t.Fatal(err)
				}
			}
			for range hot {
				submit(f.accounts[0])
			}
			for _, a := range f.accounts[1:] {
				submit(a)
			}
			// Some of the hot ones went before the quiet ones came; from then on
			// they take turns.
			before, after := 0, 0
			for n := 0; n < hot+quiet; n++ {
				a := c.next(t)
				if a.res.Err != nil {
					t.Error(a.res.Err)
				}
				if a.tx.Account == f.accounts[0] {
					before++
				} else {
					after = before
				}
				a.tx.Release()
			}
			if hot-after < hot/4 {
				t.Errorf("the last quiet message came behind %d of %d hot ones", after, hot)
			}
		})
	}
}
