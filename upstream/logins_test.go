package upstream

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
)

// oneShard makes turns last for as long as the test, if the logins do.
func oneShard(t *testing.T, endless bool) *fixture {
	f := newFixture(t, func(s *setup) {
		s.relay.Shards = 1
		s.relay.Breaker.Failures = 0
		s.limits.MaxConnections = 100
	})
	if endless {
		f.relay.loginTurn = time.Hour
	}
	return f
}

// copies returns n accounts that log in as a does.
func copies(a *account.Account, n int) (all []*account.Account) {
	for i := range n {
		c := *a
		c.ID += strconv.Itoa(i)
		c.AuthIdentity = c.ID // a mailbox of its own
		all = append(all, &c)
	}
	return all
}

// submitAll submits a message of each account.
func (f *fixture) submitAll(accounts []*account.Account) client {
	f.t.Helper()
	c := make(client, len(accounts))
	for _, a := range accounts {
		tx, _ := f.message(a, "to@example.com", "m end\r\n")
		tx.Done = c
		if err := f.trySubmit(tx); err != nil {
			f.t.Fatal(err)
		}
	}
	return c
}

// taken waits for n answers, all of which say that the message was taken.
func (c client) taken(t *testing.T, n int) {
	t.Helper()
	for range n {
		ans := c.next(t)
		if ans.res.Err != nil {
			t.Error(ans.res.Err)
		}
		ans.tx.Release()
	}
}

// deferred waits for n answers, all of which ask to try again later.
func (c client) deferred(t *testing.T, n int) {
	t.Helper()
	for range n {
		ans := c.next(t)
		if ans.res.Reply.Code/100 != 4 {
			t.Errorf("reply %v", ans.res.Reply)
		}
		ans.tx.Release()
	}
}

// newHeldStub takes every message, but holds up the logins that held names, by
// their number from 1, until release is closed.
func newHeldStub(t *testing.T, held func(n int64) bool) (s *stub, release chan struct{}, logins *atomic.Int64) {
	release, logins = make(chan struct{}), new(atomic.Int64)
	s = newStub(t, func(c *tls.Conn) {
		if held(logins.Add(1)) {
			<-release
		}
		for ok := logIn(c, offerBDAT); ok && oneMessage(c); ok = say(c, threeReplies) {
		}
	})
	return s, release, logins
}

// TestLoginsTakeTurns: there are never more logins at once than have turns, and
// all get theirs.
func TestLoginsTakeTurns(t *testing.T) {
	f := oneShard(t, true)
	var now, most atomic.Int64
	s := newStub(t, func(c *tls.Conn) {
		for n, m := now.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		ok := say(c, "220 stub\r\n")
		buf := make([]byte, 4<<10)
		for _, reply := range []string{"250-stub\r\n250-AUTH XOAUTH2\r\n250-PIPELINING\r\n250 CHUNKING\r\n", "235 2.7.0 ok\r\n"} {
			_, err := c.Read(buf)
			if reply[0] == '2' && reply[1] == '3' {
				now.Add(-1) // before the relay knows
			}
			ok = ok && err == nil && say(c, reply)
		}
		for ok && oneMessage(c) && say(c, threeReplies) {
		}
	})
	accounts := copies(s.account(f.accounts[0]), 3*firstAtOnce)
	c := f.submitAll(accounts)
	c.taken(t, len(accounts))
	if n := most.Load(); n > firstAtOnce {
		t.Errorf("%d logins at once, want at most %d", n, firstAtOnce)
	}
}

// TestPrewarmTakesNoTurns: connections that are opened ahead of mail do not hold
// up the logins that mail waits for.
func TestPrewarmTakesNoTurns(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.relay.Shards = 1
		s.relay.PrewarmConnections, s.relay.PrewarmRate = 1, 1000
		s.relay.Breaker.Failures = 0
	})
	f.relay.loginTurn = time.Hour
	s, release, logins := newHeldStub(t, func(n int64) bool { return n <= firstAtOnce })
	accounts := copies(s.account(f.accounts[0]), firstAtOnce+1)
	for _, a := range accounts {
		a.Email = a.ID + "@example.com"
	}
	f.relay.Prewarm(snapshotOf(t, accounts[:firstAtOnce]...), engine.Loops())
	f.until(func() bool { return logins.Load() == firstAtOnce })
	f.sendOK(accounts[firstAtOnce], "mail end\r\n")
	close(release)
	f.until(func() bool { return f.relay.connections(connParked) == firstAtOnce+1 })
}

// TestConnectionInsteadOfLogin: a message that waits for the turn of a login
// takes a connection that comes free, and the login is not made.
func TestConnectionInsteadOfLogin(t *testing.T) {
	f := oneShard(t, true)
	const messages = 10
	s, release, logins := newHeldStub(t, func(n int64) bool { return n > 1 })
	a := s.account(f.accounts[0])
	same := make([]*account.Account, messages)
	for i := range same {
		same[i] = a
	}
	c := f.submitAll(same)
	c.taken(t, messages)
	close(release)
	f.until(func() bool { return f.relay.connections(connDialing) == 0 })
	f.sendOK(a, "after end\r\n")
	// The first one, those beside it, and one in the place of the one that ended.
	if n := logins.Load(); n > moreAtOnce+2 {
		t.Errorf("%d logins for %d messages, want at most %d", n, messages, moreAtOnce+2)
	}
	f.until(func() bool { return f.lines() == 0 })
}

// lines is how many lines there are.
func (f *fixture) lines() int {
	n := make(chan int, 1)
	f.relay.shards[0].do(func(time.Time) { n <- len(f.relay.shards[0].lines) })
	return <-n
}

// TestSilentProvider: one that accepts connections and says nothing holds up
// neither the accounts of others nor, for longer than a turn, its own.
func TestSilentProvider(t *testing.T) {
	f := oneShard(t, false)
	var accepted atomic.Int64
	silence := make(chan struct{})
	mute := &stub{t: t, addr: testkit.Serve(t, func(int, net.Conn) {
		accepted.Add(1)
		<-silence
	})}
	accounts := copies(mute.account(f.accounts[0]), 3*firstAtOnce)
	c := f.submitAll(accounts)
	f.sendOK(f.accounts[1], "another provider's\r\n")
	if len(c) > 0 {
		t.Errorf("answered for a silent provider: %+v", (<-c).res)
	}
	f.until(func() bool { return accepted.Load() == int64(len(accounts)) })
	close(silence)
	c.deferred(t, len(accounts))
}

// TestPatienceInLineEnds: it does when a client might give up, which would send
// the message again.
func TestPatienceInLineEnds(t *testing.T) {
	f := oneShard(t, true)
	s, release, _ := newHeldStub(t, func(int64) bool { return true })
	accounts := copies(s.account(f.accounts[0]), firstAtOnce+1)
	for _, a := range accounts {
		a.Limits.AcquireTimeout = time.Millisecond
	}
	c := f.submitAll(accounts)
	sh, last := f.relay.shards[0], accounts[firstAtOnce]
	looked := make(chan error, 1)
	sh.do(func(now time.Time) {
		st := sh.accounts[keyOf(last)]
		begun := st.waiting.Head().Place.Submitted
		sh.expire(st, begun.Add(linePatience-1))
		var err error
		if due := st.nextDue(now).Sub(begun); st.waiting.Len() != 1 || due != linePatience {
			err = fmt.Errorf("%d wait, to be looked at behind %v", st.waiting.Len(), due)
		}
		sh.expire(st, begun.Add(linePatience))
		looked <- err
	})
	if err := <-looked; err != nil {
		t.Error(err)
	}
	if ans := c.next(t); ans.tx.Account != last || code(ans.res.Reply) != "451 4.4.5" {
		t.Errorf("%v for %s", ans.res.Reply, ans.tx.Account.ID)
	} else {
		ans.tx.Release()
	}
	close(release)
	c.taken(t, firstAtOnce)
}

// TestCloseEndsTheLine: what waits for the turn of a login when the relay closes
// is answered.
func TestCloseEndsTheLine(t *testing.T) {
	f := oneShard(t, true)
	s, release, _ := newHeldStub(t, func(int64) bool { return true })
	accounts := copies(s.account(f.accounts[0]), 2*firstAtOnce)
	c := f.submitAll(accounts)
	f.until(func() bool { return f.relay.connections(connDialing) == firstAtOnce })
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.close()
	}()
	c.deferred(t, len(accounts))
	close(release)
	<-done
}

// TestPatienceInLine: a message that waits for the turn of a login is not
// refused because it waits for longer than the acquire timeout, one that waits
// for others to end is.
func TestPatienceInLine(t *testing.T) {
	f := oneShard(t, true)
	s, release, _ := newHeldStub(t, func(int64) bool { return true })
	accounts := copies(s.account(f.accounts[0]), 2*firstAtOnce)
	for _, a := range accounts {
		a.Limits.MaxConnections, a.Limits.AcquireTimeout = 1, time.Millisecond
	}
	last := accounts[len(accounts)-1]
	c := f.submitAll(append(accounts, last)) // one more than its connections
	if ans := c.next(t); ans.res.Reply.Code != 451 || ans.tx.Account != last {
		t.Errorf("%v for %s", ans.res.Reply, ans.tx.Account.ID)
	} else {
		ans.tx.Release()
	}
	close(release)
	c.taken(t, len(accounts))
}

// TestTurnWithoutASlot: whose turn comes while all global slots are taken waits
// for others to end, and no longer than the acquire timeout.
func TestTurnWithoutASlot(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.relay.Shards = 1
		s.relay.GlobalConcurrency = firstAtOnce
		s.relay.Breaker.Failures = 0
	})
	s, release, _ := newHeldStub(t, func(int64) bool { return true })
	accounts := copies(s.account(f.accounts[0]), firstAtOnce+1)
	c := f.submitAll(accounts[:firstAtOnce])
	last := accounts[firstAtOnce]
	last.Limits.AcquireTimeout = time.Millisecond
	tx, its := f.message(last, "to@example.com", "m end\r\n")
	if res := f.submit(tx, its); code(res.Reply) != "451 4.3.2" {
		t.Errorf("reply %v", res.Reply)
	}
	close(release)
	c.taken(t, firstAtOnce)
}

// TestMessagesFromBeforeAChange: messages of sessions from before the way to log in
// changed are delivered too, though connections that are opened for the new way are
// of no use to them.
func TestMessagesFromBeforeAChange(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.relay.Shards = 1
		s.limits.MaxConnections = 2
	})
	s, release, logins := newHeldStub(t, func(n int64) bool { return n == 2 })
	before := s.account(f.accounts[0])
	after := *before
	after.SourceIP = netip.MustParseAddr("127.0.0.1")
	begun, submitted := make(chan struct{}), make(chan struct{})
	go f.relay.shards[0].do(func(time.Time) { // what comes now is handled before any login has ended
		close(begun)
		<-submitted
	})
	<-begun
	c := f.submitAll([]*account.Account{&after, &after, before, before})
	f.relay.Retain(snapshotOf(t, &after))
	close(submitted)
	c.taken(t, 4)
	if n := logins.Load(); n > 4 {
		t.Errorf("%d logins for four messages", n)
	}
	close(release)
}
