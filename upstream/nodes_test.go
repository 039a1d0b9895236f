package upstream

import (
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// newNodes starts two relays that share limits through one store, before one sandbox.
func newNodes(t *testing.T, change func(*setup)) (one, two *fixture) {
	t.Helper()
	store := ledger.New(ledger.Config{Epoch: "one"})
	member := func(name string) *share.Member {
		m := share.NewMember(share.Config{Node: name}, store, zap.NewNop(), metrics.NewSet())
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	first, second := member("one"), member("two")
	t.Cleanup(func() { _ = store.Close() })
	one = newFixture(t, func(s *setup) {
		s.relay.Share = first
		s.limits.AcquireTimeout = 5 * time.Minute
		if change != nil {
			change(s)
		}
	})
	node := *one
	cfg := one.relay.cfg
	cfg.Share, cfg.Quota = second, nil
	node.set = metrics.NewSet()
	var err error
	if node.relay, err = New(cfg, one.tokens, zap.NewNop(), node.set); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.close)
	return one, &node
}

// TestNodesShareConnections: two nodes together have no more connections to a mailbox at one time
// than it may have, whatever they send, and each gets all of its messages through.
func TestNodesShareConnections(t *testing.T) {
	const each = 60
	for _, most := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			one, two := newNodes(t, func(s *setup) { s.limits.MaxConnections = most })
			var both sync.WaitGroup
			for _, f := range []*fixture{one, two} {
				both.Go(func() {
					for _, res := range f.flood(each, f.accounts[0]) {
						if res.Err != nil {
							t.Error(res.Err)
						}
					}
				})
			}
			both.Wait()
			provider.Messages(t, one.box, 2*each)
			if n := one.box.AccountStats(one.accounts[0].Email).MaxOpen; n > most {
				t.Errorf("%d connections at one time, of %d", n, most)
			}
		})
	}
}

// TestDemandForParkedConnections: a node gets a connection that the other one does not need.
func TestDemandForParkedConnections(t *testing.T) {
	one, two := newNodes(t, func(s *setup) { s.limits.MaxConnections = 2 })
	a := one.accounts[0]
	for _, res := range one.flood(20, a) {
		if res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	one.until(func() bool { return one.state(a).Busy == 0 })
	began := time.Now()
	two.sendOK(a, "from the other node\r\n")
	t.Logf("after %v", time.Since(began))
	one.sendOK(a, "and back\r\n")
	if n := one.box.AccountStats(a.Email).MaxOpen; n > 2 {
		t.Errorf("%d connections at one time", n)
	}
	provider.Messages(t, one.box, 22)
}

// TestDemandForBusyConnections: a node gets a connection although the other one has a message for
// each of them all the time, and no message is cut.
func TestDemandForBusyConnections(t *testing.T) {
	one, two := newNodes(t, func(s *setup) { s.limits.MaxConnections = 2 })
	h := newScript(t, func(c *tls.Conn, _, _ int64) bool { return say(c, threeReplies) })
	a := h.account(one.accounts[0])
	if _, err := account.NewSnapshot([]*account.Account{a}); err != nil { // computes what both use
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var busy sync.WaitGroup
	sent := make(chan struct{}, 1)
	for range 4 {
		busy.Go(func() {
			for {
				c := one.start(a)
				if got := answered(t, c); got != "250 2.0.0" {
					t.Error(got)
				}
				select {
				case <-stop:
					return
				case sent <- struct{}{}:
				default:
				}
			}
		})
	}
	testkit.Receive(t, "a message of the first node", sent)
	for range 3 {
		if got := answered(t, two.start(a)); got != "250 2.0.0" {
			t.Error(got)
		}
	}
	close(stop)
	busy.Wait()
}

// TestNodesShareRates: two nodes together send no more than the limits of a mailbox allow, and
// all that the limits allow.
func TestNodesShareRates(t *testing.T) {
	const most = 12
	for _, tt := range []struct {
		name string
		set  func(*account.Limits)
		code string
	}{
		{"minute", func(l *account.Limits) { l.MessagesPerMinute = most }, "451 4.7.1"},
		{"hour", func(l *account.Limits) { l.MessagesPerHour = most }, "451 4.7.1"},
		{"day", func(l *account.Limits) { l.MessagesPerDay = most }, "452 4.7.1"},
		{"recipients", func(l *account.Limits) { l.RecipientsPerDay = most }, "452 4.7.1"},
		{"logins", func(l *account.Limits) { l.LoginsPerMinute, l.MaxMessagesPerConnection = most, 1 }, "451 4.7.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one, two := newNodes(t, func(s *setup) { tt.set(&s.limits); s.limits.AcquireTimeout = 300 * time.Millisecond })
			var mu sync.Mutex
			accepted := 0
			var both sync.WaitGroup
			for _, f := range []*fixture{one, two} {
				both.Go(func() {
					for range 2 * most {
						switch res := f.send(f.accounts[0], "to@example.com", "a\r\n"); {
						case res.Err == nil:
							mu.Lock()
							accepted++
							mu.Unlock()
						case code(res.Reply) != tt.code:
							t.Error(res.Reply)
						}
					}
				})
			}
			both.Wait()
			if provider.Messages(t, one.box, accepted); accepted != most {
				t.Errorf("%d messages were accepted, want %d", accepted, most)
			}
			if n := one.box.AccountStats(one.accounts[0].Email).Logins; tt.name == "logins" && n > most {
				t.Errorf("%d logins", n)
			}
		})
	}
}

// TestNodesShareATenant: two nodes together have no more external recipients than the tenant
// may have.
func TestNodesShareATenant(t *testing.T) {
	const most = 12
	one, two := newNodes(t, func(s *setup) { ofTenant(s, most); s.limits.AcquireTimeout = 300 * time.Millisecond })
	var mu sync.Mutex
	accepted := 0
	var all sync.WaitGroup
	for i, f := range []*fixture{one, two} {
		all.Go(func() {
			for range 2 * most {
				switch res := f.flood(1, f.accounts[i])[0]; {
				case res.Reply.Code == 250:
					mu.Lock()
					accepted++
					mu.Unlock()
				case code(res.Reply) != "452 4.7.1":
					t.Error(res.Reply)
				}
			}
		})
	}
	all.Wait()
	if provider.Messages(t, one.box, accepted); accepted != most {
		t.Errorf("%d messages were accepted, want %d", accepted, most)
	}
	provider.NoViolations(t, one.box)
}
