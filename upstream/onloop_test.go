package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/smtpclient"
)

// submitOn submits tx on a loop.
func (f *fixture) submitOn(l *loop.Loop, tx *Transaction) {
	f.t.Helper()
	tx.Loop = l
	if err := f.trySubmit(tx); err != nil {
		f.t.Fatal(err)
	}
}

// TestSplitReplies: replies come in any pieces, of records and of reads.
func TestSplitReplies(t *testing.T) {
	for name, pieces := range map[string]func(c *tls.Conn) bool{
		"a record for each octet": func(c *tls.Conn) bool {
			for _, b := range []byte(threeReplies) {
				if _, err := c.Write([]byte{b}); err != nil {
					return false
				}
			}
			return true
		},
		"a record for each reply": func(c *tls.Conn) bool {
			ok := true
			for line := range strings.Lines(threeReplies) {
				ok = ok && say(c, line)
			}
			return ok
		},
		"replies of many lines": func(c *tls.Conn) bool {
			return say(c, strings.Repeat("250-2.1.0 "+strings.Repeat("a", 60)+"\r\n", 100)+threeReplies[:30]) && say(c, threeReplies[30:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			s := newScript(t, func(c *tls.Conn, _, _ int64) bool { return pieces(c) })
			for range 4 {
				f.sendOK(s.account(f.accounts[0]), "m end\r\n")
			}
			if n := s.logins.Load(); n != 1 {
				t.Errorf("%d connections for four messages, one after the other", n)
			}
		})
	}
}

// TestSplitRecord: the last record of the replies comes in two parts, and the
// message has its answer when it is whole.
func TestSplitRecord(t *testing.T) {
	f := newFixture(t, nil)
	pipe := &tornConn{gate: make(chan struct{}, 1)}
	s := newTornStub(t, pipe)
	a := s.account(f.accounts[0])
	f.carried(a)
	for range 3 {
		pipe.torn.Store(true)
		tx, c := f.message(a, "to@example.com", "torn end\r\n")
		f.submitOn(f.loop, tx)
		pipe.gate <- struct{}{}
		ans := c.next(t)
		if ans.res.Err != nil {
			t.Error(ans.res.Err)
		}
		ans.tx.Release()
	}
}

// tornConn writes the next record, once torn, in two parts; between them the
// gate has to be opened.
type tornConn struct {
	net.Conn
	torn atomic.Bool
	gate chan struct{}
}

func (c *tornConn) Write(b []byte) (int, error) {
	if !c.torn.Swap(false) {
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	<-c.gate
	m, err := c.Conn.Write(b[n:])
	return n + m, err
}

// newTornStub is an upstream of one connection, which writes through c.
func newTornStub(t *testing.T, c *tornConn) *stub {
	return &stub{t: t, addr: testkit.Serve(t, func(_ int, conn net.Conn) {
		c.Conn = conn
		tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{stubCertificate()}})
		for ok := logIn(tc, offerBDAT); ok && oneMessage(tc); ok = say(tc, threeReplies) {
		}
	})}
}

// TestWordsWhileParked: a provider that says something to a parked connection,
// or closes it, costs no message, and the connection is not counted any more.
func TestWordsWhileParked(t *testing.T) {
	for name, last := range map[string]string{"closed": "", "421": "421 4.4.2 idle\r\n", "250": "250 2.0.0 OK\r\n"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			parked := make(chan struct{})
			s := newScript(t, func(c *tls.Conn, k, n int64) bool {
				if !say(c, threeReplies) || k > 0 || n == 0 {
					return k > 0 || n == 0
				}
				<-parked
				say(c, last)
				return false
			})
			a := s.account(f.accounts[0])
			f.carried(a)
			f.until(func() bool { return f.state(a).Parked == 1 })
			close(parked)
			f.until(func() bool { return f.state(a).Open == 0 })
			f.sendOK(a, "after end\r\n")
			if n := f.metric("upstream_retries_total"); n != "0" {
				t.Errorf("%s retries", n)
			}
		})
	}
}

// TestProviderDoesNotRead: what the socket does not take cannot have its answer,
// and nothing is retried, as nobody knows how much has left.
func TestProviderDoesNotRead(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.FinalTimeout = time.Second })
	stuck := make(chan struct{})
	s := newScript(t, func(c *tls.Conn, k, n int64) bool {
		if k == 0 && n == 1 {
			defer func() { <-stuck }()
		}
		return say(c, threeReplies)
	})
	defer close(stuck)
	a := s.account(f.accounts[0])
	f.carried(a)
	res := f.send(a, "to@example.com", strings.Repeat("x", (smtpclient.TurnSize/2)-10)+" end\r\n")
	if code(res.Reply) != "451 4.4.2" || !res.Err.MaybeAccepted() {
		t.Errorf("reply %v, error %v", res.Reply, res.Err)
	}
	f.sendOK(a, "after end\r\n")
	if n := f.metric("upstream_retries_total"); n != "0" {
		t.Errorf("%s retries", n)
	}
}

// TestTwoLoopsOneAccount: messages from two loops share the connections of an
// account, whichever loop drives them.
func TestTwoLoopsOneAccount(t *testing.T) {
	const perLoop = 100
	for _, connections := range []int{1, 3} {
		f := newFixture(t, func(s *setup) { s.limits.MaxConnections = connections })
		_, other := loops()
		var wg sync.WaitGroup
		for i := range 2 * perLoop {
			l := f.loop
			if i%2 == 1 {
				l = other
			}
			tx, c := f.message(f.accounts[0], "to@example.com", fmt.Sprintf("message %d\r\n", i))
			f.submitOn(l, tx)
			wg.Go(func() {
				a := c.next(t)
				if a.res.Err != nil {
					t.Error(a.res.Err)
				}
				a.tx.Release()
			})
		}
		wg.Wait()
		f.once(2 * perLoop)
	}
}

// once checks that there are n messages at the provider, all of them different.
func (f *fixture) once(n int) {
	f.t.Helper()
	seen := make(map[string]bool)
	for _, m := range provider.Messages(f.t, f.box, n) {
		if seen[string(m.Body)] {
			f.t.Errorf("%q came twice", m.Body)
		}
		seen[string(m.Body)] = true
	}
	provider.NoViolations(f.t, f.box)
}

// TestGlobalSlotsOnLoops: flights take their turns at the global slots, between
// accounts and shards, and give them back.
func TestGlobalSlotsOnLoops(t *testing.T) {
	const each = 30
	f := newFixture(t, func(s *setup) {
		s.accounts = 4
		s.relay.GlobalConcurrency = 1
		s.relay.Shards = 2
	})
	_, other := loops()
	var clients []client
	for i := range each {
		for j, a := range f.accounts {
			tx, c := f.message(a, "to@example.com", fmt.Sprintf("message %d of %d\r\n", i, j))
			l := f.loop
			if (i+j)%2 == 1 {
				l = other
			}
			f.submitOn(l, tx)
			clients = append(clients, c)
		}
	}
	for _, c := range clients {
		a := c.next(t)
		if a.res.Err != nil {
			t.Error(a.res.Err)
		}
		a.tx.Release()
	}
	f.once(each * len(f.accounts))
	f.until(func() bool {
		return f.relay.gate.Free() == 1 && !f.relay.gate.Contended()
	})
}

// TestAccountChangesAmidFlight: a message that is under way when its account
// goes, or gets other credentials, has its answer, and its connection is closed
// behind it.
func TestAccountChangesAmidFlight(t *testing.T) {
	for name, change := range map[string]func(a account.Account) []*account.Account{
		"removed":           func(account.Account) []*account.Account { return nil },
		"other credentials": func(a account.Account) []*account.Account { a.ClientID += "2"; return []*account.Account{&a} },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			under, goOn := make(chan struct{}), make(chan struct{})
			s := newScript(t, func(c *tls.Conn, k, n int64) bool {
				if k == 0 && n == 2 {
					close(under)
					<-goOn
				}
				return say(c, threeReplies)
			})
			a := s.account(f.accounts[0])
			f.carried(a)
			tx, c := f.message(a, "to@example.com", "amid end\r\n")
			f.submitOn(f.loop, tx)
			<-under
			snap, err := account.NewSnapshot(change(*a))
			if err != nil {
				t.Fatal(err)
			}
			f.relay.Retain(snap)
			f.state(a) // behind Retain
			close(goOn)
			ans := c.next(t)
			if ans.res.Err != nil {
				t.Error(ans.res.Err)
			}
			ans.tx.Release()
			f.until(func() bool { return f.state(a).Open == 0 })
		})
	}
}

// TestChangeOfHands: small messages, which a loop carries, alternate with large
// ones and with those to several recipients, which a worker does, over one
// connection.
func TestChangeOfHands(t *testing.T) {
	const rounds = 15
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
	a := f.accounts[0]
	for i := range rounds {
		f.sendOK(a, fmt.Sprintf("small %d\r\n", i))
		f.sendOK(a, fmt.Sprintf("small too %d\r\n", i))
		tx, c := f.envelope(a, "one@example.com", "two@example.com")
		f.submitOn(f.loop, tx)
		if c.next(t); tx.Rcpts[1].Reply.Code != 250 {
			t.Fatal(tx.Rcpts[1].Reply)
		}
		if i%3 == 0 {
			tx.Release() // the client has changed its mind
		} else {
			tx.Content = content(t, fmt.Sprintf("two recipients %d\r\n", i))
			if err := f.goOn(tx); err != nil {
				t.Fatal(err)
			}
			ans := c.next(t)
			if ans.res.Err != nil {
				t.Error(ans.res.Err)
			}
			ans.tx.Release()
		}
		f.sendOK(a, fmt.Sprintf("large %d %s\r\n", i, strings.Repeat("x", (smtpclient.TurnSize/2))))
	}
	f.once(3*rounds + rounds*2/3)
	if n := f.box.Stats().Logins; n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

// TestCloseBreaksFlights: when Close loses patience, what is under way on loops
// fails, at whatever point it is, and is answered once.
func TestCloseBreaksFlights(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 20 })
	_, other := loops()
	a := f.accounts[0]
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "silent", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, After: 20})
	var clients []client
	for i := range 100 {
		l := f.loop
		if i%2 == 1 {
			l = other
		}
		tx, c := f.message(a, "to@example.com", fmt.Sprintf("message %d\r\n", i))
		f.submitOn(l, tx)
		clients = append(clients, c)
	}
	provider.Fired(f.t, f.box, "silent", 10)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.relay.Close(gone); err == nil {
		t.Error("Close has not lost patience")
	}
	accepted := 0
	for _, c := range clients {
		ans := c.next(t)
		switch {
		case ans.res.Err == nil:
			accepted++
		case !ans.res.Reply.Transient():
			t.Errorf("reply %v", ans.res.Reply)
		}
		ans.tx.Release()
	}
	f.checkIdle()
	if n := len(f.box.Messages()); n < accepted {
		t.Errorf("%d accepted, %d arrived", accepted, n)
	}
	for _, c := range clients {
		select {
		case ans := <-c:
			t.Errorf("a second answer: %v", ans.res.Reply)
		default:
		}
	}
}

// TestRefusalOnLoop: a refusal is passed on as it is, and the connection goes on
// behind RSET.
func TestRefusalOnLoop(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
	a := f.accounts[0]
	f.carriedBySandbox()
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "*@bad.test", Action: sandbox.ActionReply, Reply: "550 5.1.1 no such user"})
	for i := range 5 {
		if res := f.send(a, "x@bad.test", "no\r\n"); res.Reply.Code != 550 || res.Reply.Enhanced != (codec.EnhancedCode{5, 1, 1}) {
			t.Errorf("reply %v", res.Reply)
		}
		f.sendOK(a, fmt.Sprintf("yes %d\r\n", i))
	}
	provider.Messages(f.t, f.box, 7)
	provider.NoViolations(f.t, f.box)
	if n := f.box.Stats().Logins; n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}
