package upstream

import (
	"crypto/tls"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/testkit"
)

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
		if !logIn(c, offerBDAT) {
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
		"behind a full buffer":     exact(2<<10) + threeReplies,
		"behind two full buffers":  exact(4<<10) + threeReplies,
		"part of a reply":          threeReplies + "250 2.1",
		"421 with the last reply":  threeReplies + "421 4.4.2 bye\r\n",
		"421 behind a full buffer": exact(2<<10) + "421 4.4.2 bye\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
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
			f := newFixture(t, nil)
			var logins atomic.Int64
			s := newStub(t, func(c *tls.Conn) {
				if logIn(c, offerBDAT) {
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
	f := newFixture(t, func(s *setup) { s.relay.FinalTimeout = time.Second })
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
	if err := f.relay.Close(testkit.Context(t)); err != nil {
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

func (faultyClient) RecipientsReplied(*Transaction, *loop.Loop) {}
func (faultyClient) Late(*Transaction)                          {}
func (c faultyClient) Complete(*Transaction, *loop.Loop) {
	close(c.told)
	panic("faulty client")
}

// TestPanicOfAClient: the account goes on when a session panics that is told an
// answer on a loop.
func TestPanicOfAClient(t *testing.T) {
	f := newFixture(t, nil)
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
