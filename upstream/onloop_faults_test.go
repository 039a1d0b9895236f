package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
)

// newLoopFixture is newFixture with a loop that the messages come from, in both
// runs of the tests.
func newLoopFixture(t testing.TB, change func(*setup)) *fixture {
	f := newFixture(t, change)
	if f.loop == nil {
		f.loop = newTestLoop()
		t.Cleanup(func() {
			f.close() // which needs the loop
			f.loop.stop()
		})
	}
	return f
}

// threeReplies are the answers to a message in one flight.
const threeReplies = "250 2.1.0 OK\r\n250 2.1.5 OK\r\n250 2.0.0 OK\r\n"

// oneMessage reads MAIL, RCPT, BDAT and the content, which ends in "end\r\n". It
// returns false if there is no message.
func oneMessage(c *tls.Conn) bool {
	var all []byte
	buf := make([]byte, 32<<10)
	for !strings.HasSuffix(string(all), "end\r\n") {
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		switch {
		case err != nil, string(all) == "QUIT\r\n":
			return false
		case string(all) == "RSET\r\n":
			if all = nil; !say(c, "250 2.0.0 OK\r\n") {
				return false
			}
		}
	}
	return true
}

// script is an upstream that answers the messages of each connection as told,
// and then closes. The zero value of an answer is to take the message.
type script struct {
	*stub
	logins atomic.Int64
}

// newScript starts such an upstream; answer is called for message n, from 0, of
// connection k, from 0, and returns false to close.
func newScript(t testing.TB, answer func(c *tls.Conn, k, n int64) bool) *script {
	s := &script{}
	s.stub = newStub(t, func(c *tls.Conn) {
		if !login(c, offerBDAT) {
			return
		}
		k := s.logins.Add(1) - 1
		for n := int64(0); oneMessage(c) && answer(c, k, n); n++ {
		}
	})
	return s
}

func say(c io.Writer, text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// carried sends messages that are taken until one goes over the loop: the
// first one of a connection may go over a worker.
func (f *fixture) carried(a *account.Account) {
	f.t.Helper()
	for range 2 {
		f.sendOK(a, "warm end\r\n")
	}
}

// brittleLoop is a loop whose connections break inside a write, once armed, as
// those of an event loop do when the peer has reset them.
type brittleLoop struct {
	*testLoop
	armed atomic.Bool
}

func (l *brittleLoop) Watch(c *net.TCPConn, d Driven) error {
	return l.testLoop.Watch(c, &brittle{d, l})
}

type brittle struct {
	Driven
	loop *brittleLoop
}

func (b *brittle) Watched(s Socket) { b.Driven.Watched(brittleSocket{s, b.loop}) }

type brittleSocket struct {
	Socket
	loop *brittleLoop
}

func (s brittleSocket) Write(b []byte) (int, error) {
	if s.loop.armed.Swap(false) {
		s.Close()
		return 0, os.NewSyscallError("write", syscall.ECONNRESET)
	}
	return s.Socket.Write(b)
}

// TestFlightEndsOnce: the TLS layer answers a broken record by an alert, and
// the connection breaks while that is written.
func TestFlightEndsOnce(t *testing.T) {
	f := newLoopFixture(t, nil)
	loop := &brittleLoop{testLoop: f.loop}
	s := newScript(t, func(c *tls.Conn, k, n int64) bool {
		if k > 0 || n < 2 {
			return say(c, threeReplies)
		}
		loop.armed.Store(true)
		_, err := c.NetConn().Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...))
		return err == nil
	})
	a := s.account(f.accounts[0])
	send := func(body string) Result {
		tx, c := f.message(a, "to@example.com", body)
		tx.Loop = loop
		return f.submit(tx, c)
	}
	for range 2 {
		if res := send("warm end\r\n"); res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	if res := send("broken end\r\n"); code(res.Reply) != "451 4.4.2" || !res.Err.MaybeAccepted() {
		t.Errorf("reply %v, error %v", res.Reply, res.Err)
	}
	for range 2 {
		if res := send("after end\r\n"); res.Err != nil {
			t.Error(res.Err)
		}
	}
	if n := f.metric("upstream_panics_total"); n != "0" {
		t.Errorf("%s panics", n)
	}
}

// TestWriteBreaks: nothing has left when the write fails, so the message goes
// over another connection.
func TestWriteBreaks(t *testing.T) {
	for _, body := range []string{"small end\r\n", strings.Repeat("x", 100<<10) + " end\r\n"} {
		f := newLoopFixture(t, nil)
		loop := &brittleLoop{testLoop: f.loop}
		s := newScript(t, func(c *tls.Conn, _, _ int64) bool { return say(c, threeReplies) })
		a := s.account(f.accounts[0])
		for i := range 4 {
			loop.armed.Store(i == 2)
			tx, c := f.message(a, "to@example.com", body)
			tx.Loop = loop
			if res := f.submit(tx, c); res.Err != nil {
				t.Errorf("message %d: %v", i, res.Err)
			}
		}
		if n := f.metric("upstream_retries_total"); n != "1" || s.logins.Load() != 2 {
			t.Errorf("%s retries, %d logins", n, s.logins.Load())
		}
	}
}

// TestRepliesBehindTheLast: what a provider says beyond what it was asked for
// is not taken for the replies to the next message.
func TestRepliesBehindTheLast(t *testing.T) {
	filler := strings.Repeat("250-2.0.0 "+strings.Repeat("x", 86)+"\r\n", 20)
	exact := func(total int) string { // three replies of that length
		s := "250 2.1.0 OK\r\n250 2.1.5 OK\r\n" + filler
		return s + "250 2.0.0 " + strings.Repeat("y", total-len(s)-len("250 2.0.0 \r\n")) + "\r\n"
	}
	for name, text := range map[string]string{
		"same record":              threeReplies + threeReplies,
		"behind a full buffer":     exact(readerSize) + threeReplies,
		"behind two full buffers":  exact(2*readerSize) + threeReplies,
		"part of a reply":          threeReplies + "250 2.1",
		"421 with the last reply":  threeReplies + "421 4.4.2 bye\r\n",
		"421 behind a full buffer": exact(readerSize) + "421 4.4.2 bye\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newLoopFixture(t, nil)
			s := newScript(t, func(c *tls.Conn, k, n int64) bool {
				switch {
				case n == 0:
					return say(c, threeReplies)
				case k == 0 && n == 1:
					return say(c, text)
				case n == 1:
					return say(c, "550 5.1.1 no\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n")
				}
				return false
			})
			a := s.account(f.accounts[0])
			for i, want := range []string{"250 2.0.0", "250 2.0.0", "250 2.0.0", "550 5.1.1"} {
				if res := f.send(a, "to@example.com", "m end\r\n"); code(res.Reply) != want {
					t.Errorf("message %d: %v, want %s", i, code(res.Reply), want)
				}
			}
		})
	}
}

// TestProviderClosesBehindLogin: a connection that is gone before its first
// message is no reason to log in again and again.
func TestProviderClosesBehindLogin(t *testing.T) {
	for name, last := range map[string]string{"closed": "", "421": "421 4.7.0 go away\r\n"} {
		t.Run(name, func(t *testing.T) {
			f := newLoopFixture(t, nil)
			var logins atomic.Int64
			s := newStub(t, func(c *tls.Conn) {
				if login(c, offerBDAT) {
					logins.Add(1)
					say(c, last)
				}
			})
			res := f.send(s.account(f.accounts[0]), "to@example.com", "m end\r\n")
			if res.Err == nil || !res.Reply.Transient() {
				t.Errorf("reply %v", res.Reply)
			}
			if n := logins.Load(); n > 2 {
				t.Errorf("%d logins for one message", n)
			}
		})
	}
}

// TestSilenceDuringClose: Close waits for a provider that says nothing no
// longer than a message may take.
func TestSilenceDuringClose(t *testing.T) {
	f := newLoopFixture(t, func(s *setup) { s.relay.FinalTimeout = time.Second })
	silent := make(chan struct{})
	s := newScript(t, func(c *tls.Conn, _, n int64) bool {
		if n < 2 {
			return say(c, threeReplies)
		}
		close(silent)
		return true
	})
	a := s.account(f.accounts[0])
	f.carried(a)
	tx, c := f.message(a, "to@example.com", "m end\r\n")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	<-silent
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := f.relay.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	ans := c.next(t)
	if code(ans.res.Reply) != "451 4.4.2" || !ans.res.Err.MaybeAccepted() {
		t.Errorf("reply %v, error %v", ans.res.Reply, ans.res.Err)
	}
	ans.tx.Release()
	f.checkIdle()
}

// faultyClient panics when it is told the answer.
type faultyClient struct{ told chan struct{} }

func (faultyClient) RecipientsReplied(*Transaction) {}
func (c faultyClient) Complete(*Transaction, Loop) {
	close(c.told)
	panic("faulty client")
}

// TestPanicOfAClient: the account goes on when a session panics that is told an
// answer on a loop.
func TestPanicOfAClient(t *testing.T) {
	f := newLoopFixture(t, nil)
	f.carriedBySandbox()
	tx, _ := f.message(f.accounts[0], "to@example.com", "m\r\n")
	c := faultyClient{make(chan struct{})}
	tx.Done = c
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	<-c.told
	f.sendOK(f.accounts[0], "after\r\n")
	if n := f.metric("upstream_panics_total"); n != "1" {
		t.Errorf("%s panics", n)
	}
}

// carriedBySandbox is carried for the sandbox.
func (f *fixture) carriedBySandbox() {
	f.t.Helper()
	for range 2 {
		f.sendOK(f.accounts[0], "warm\r\n")
	}
}

// failingLoop refuses to watch, as without file descriptors.
type failingLoop struct {
	*testLoop
	mu   sync.Mutex
	fail bool
	seen int
}

func (l *failingLoop) Watch(c *net.TCPConn, d Driven) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen++
	if l.fail {
		_ = c.Close()
		return os.NewSyscallError("dup", syscall.EMFILE)
	}
	return l.testLoop.Watch(c, d)
}

func (l *failingLoop) set(fail bool) (seen int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = fail
	return l.seen
}

// TestWatchFails: a loop that cannot take a connection costs no message that was
// accepted, and nothing is left of the connection.
func TestWatchFails(t *testing.T) {
	f := newLoopFixture(t, nil)
	loop := &failingLoop{testLoop: f.loop, fail: true}
	accepted := 0
	send := func() {
		tx, c := f.message(f.accounts[0], "to@example.com", "m\r\n")
		tx.Loop = loop
		switch res := f.submit(tx, c); {
		case res.Err == nil:
			accepted++
		case !res.Reply.Transient() || res.Err.MaybeAccepted():
			t.Errorf("reply %v, error %v", res.Reply, res.Err)
		}
	}
	for range 5 {
		send()
	}
	if loop.set(false) == 0 {
		t.Fatal("no connection was handed over")
	}
	before := accepted
	f.until(func() bool { // behind the back-off
		send()
		return accepted >= before+3
	})
	f.messages(accepted)
	f.noViolations()
}

// TestStoppedLoop: connections of a loop that has ended are lost, and the
// messages of another one are carried all the same.
func TestStoppedLoop(t *testing.T) {
	f := newLoopFixture(t, nil)
	ended := newTestLoop()
	f.loop, ended = ended, f.loop
	f.carriedBySandbox()
	f.loop, ended = ended, f.loop
	ended.stop()
	for range 3 {
		f.sendOK(f.accounts[0], "after\r\n")
	}
	f.messages(5)
	if errors.Is(f.relay.TrySubmit(&Transaction{}), ErrClosed) {
		t.Error("the relay is closed")
	}
}

// hastyLoop is a loop on which connections break before Watch has returned.
type hastyLoop struct{ *testLoop }

func (l hastyLoop) Watch(c *net.TCPConn, d Driven) error {
	return l.testLoop.Watch(c, hasty{d})
}

type hasty struct{ Driven }

func (h hasty) Watched(s Socket) {
	h.Driven.Watched(s)
	s.Close()
}

// TestGoneBeforeParked: a connection that is lost while it is handed over is not
// kept.
func TestGoneBeforeParked(t *testing.T) {
	f := newLoopFixture(t, nil)
	a := f.accounts[0]
	tx, c := f.message(a, "to@example.com", "m\r\n")
	f.submit(tx, c) // over a worker, as it comes from no loop that drives
	f.until(func() bool { return f.state(a).Parked == 1 })
	f.relay.Drain(a.ID)
	f.until(func() bool { return f.state(a).Open == 0 })
	tx, c = f.message(a, "to@example.com", "m\r\n")
	tx.Loop = hastyLoop{f.loop}
	f.submit(tx, c)
	f.until(func() bool { return f.state(a).Open == 0 })
}
