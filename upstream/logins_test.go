package upstream

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
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
	for range accounts {
		ans := c.next(t)
		if ans.res.Err != nil {
			t.Error(ans.res.Err)
		}
		ans.tx.Release()
	}
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
	release := make(chan struct{})
	var logins atomic.Int64
	s := newStub(t, func(c *tls.Conn) {
		if logins.Add(1) <= firstAtOnce {
			<-release
		}
		for ok := login(c, offerBDAT); ok && oneMessage(c); ok = say(c, threeReplies) {
		}
	})
	accounts := copies(s.account(f.accounts[0]), firstAtOnce+1)
	for _, a := range accounts {
		a.Email = a.ID + "@example.com"
	}
	f.relay.Prewarm(snapshotOf(t, accounts[:firstAtOnce]...))
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
	release := make(chan struct{})
	var logins atomic.Int64
	s := newStub(t, func(c *tls.Conn) {
		if logins.Add(1) > 1 {
			<-release // a login that takes its time
		}
		for ok := login(c, offerBDAT); ok && oneMessage(c); ok = say(c, threeReplies) {
		}
	})
	a := s.account(f.accounts[0])
	same := make([]*account.Account, messages)
	for i := range same {
		same[i] = a
	}
	c := f.submitAll(same)
	for range same {
		ans := c.next(t)
		if ans.res.Err != nil {
			t.Error(ans.res.Err)
		}
		ans.tx.Release()
	}
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
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mute := &stub{t: t, ln: ln, done: make(chan struct{})}
	var accepted atomic.Int64
	silence := make(chan struct{})
	go func() {
		defer close(mute.done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go func() {
				<-silence
				_ = c.Close()
			}()
		}
	}()
	accounts := copies(mute.account(f.accounts[0]), 3*firstAtOnce)
	c := f.submitAll(accounts)
	f.sendOK(f.accounts[1], "another provider's\r\n")
	if len(c) > 0 {
		t.Errorf("answered for a silent provider: %+v", (<-c).res)
	}
	f.until(func() bool { return accepted.Load() == int64(len(accounts)) })
	close(silence)
	for range accounts {
		ans := c.next(t)
		if ans.res.Reply.Code/100 != 4 {
			t.Errorf("reply %v", ans.res.Reply)
		}
		ans.tx.Release()
	}
	_ = ln.Close()
	<-mute.done
}

// TestPatienceInLineEnds: it does when a client might give up, which would send
// the message again.
func TestPatienceInLineEnds(t *testing.T) {
	f := oneShard(t, true)
	release := make(chan struct{})
	s := newStub(t, func(c *tls.Conn) {
		<-release
		for ok := login(c, offerBDAT); ok && oneMessage(c); ok = say(c, threeReplies) {
		}
	})
	accounts := copies(s.account(f.accounts[0]), firstAtOnce+1)
	for _, a := range accounts {
		a.Limits.AcquireTimeout = time.Millisecond
	}
	c := f.submitAll(accounts)
	sh, last := f.relay.shards[0], accounts[firstAtOnce]
	looked := make(chan error, 1)
	sh.do(func(now time.Time) {
		st := sh.accounts[last.ID]
		begun := st.waiting.head.submitted
		sh.expire(st, begun.Add(linePatience-1))
		var err error
		if due := st.nextDue(now).Sub(begun); st.waiting.n != 1 || due != linePatience {
			err = fmt.Errorf("%d wait, to be looked at behind %v", st.waiting.n, due)
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
	for range firstAtOnce {
		ans := c.next(t)
		if ans.res.Err != nil {
			t.Error(ans.res.Err)
		}
		ans.tx.Release()
	}
}

// TestCloseEndsTheLine: what waits for the turn of a login when the relay closes
// is answered.
func TestCloseEndsTheLine(t *testing.T) {
	f := oneShard(t, true)
	release := make(chan struct{})
	s := newStub(t, func(c *tls.Conn) {
		<-release
		for ok := login(c, offerBDAT); ok && oneMessage(c); ok = say(c, threeReplies) {
		}
	})
	accounts := copies(s.account(f.accounts[0]), 2*firstAtOnce)
	c := f.submitAll(accounts)
	f.until(func() bool { return f.relay.connections(connDialing) == firstAtOnce })
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.close()
	}()
	for range accounts {
		ans := c.next(t)
		if ans.res.Reply.Code/100 != 4 {
			t.Errorf("reply %v", ans.res.Reply)
		}
		ans.tx.Release()
	}
	close(release)
	<-done
}

// TestPatienceInLine: a message that waits for the turn of a login is not
// refused because it waits for longer than the acquire timeout, one that waits
// for others to end is.
func TestPatienceInLine(t *testing.T) {
	f := oneShard(t, true)
	release := make(chan struct{})
	s := newStub(t, func(c *tls.Conn) {
		<-release
		for ok := login(c, offerBDAT); ok && oneMessage(c); ok = say(c, threeReplies) {
		}
	})
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
	for range accounts {
		ans := c.next(t)
		if ans.res.Err != nil {
			t.Error(ans.res.Err)
		}
		ans.tx.Release()
	}
}

// TestTurnWithoutASlot: whose turn comes while all global slots are taken waits
// for others to end, and no longer than the acquire timeout.
func TestTurnWithoutASlot(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.relay.Shards = 1
		s.relay.GlobalConcurrency = firstAtOnce
		s.relay.Breaker.Failures = 0
	})
	release := make(chan struct{})
	s := newStub(t, func(c *tls.Conn) {
		<-release
		for ok := login(c, offerBDAT); ok && oneMessage(c); ok = say(c, threeReplies) {
		}
	})
	accounts := copies(s.account(f.accounts[0]), firstAtOnce+1)
	c := f.submitAll(accounts[:firstAtOnce])
	last := accounts[firstAtOnce]
	last.Limits.AcquireTimeout = time.Millisecond
	tx, its := f.message(last, "to@example.com", "m end\r\n")
	if res := f.submit(tx, its); code(res.Reply) != "451 4.3.2" {
		t.Errorf("reply %v", res.Reply)
	}
	close(release)
	for range firstAtOnce {
		ans := c.next(t)
		if ans.res.Err != nil {
			t.Error(ans.res.Err)
		}
		ans.tx.Release()
	}
}
