package smtpclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/testkit"
)

// adopted is the owner of a connection that a real loop serves.
type adopted struct {
	Conn
	told chan string
	err  error // that Closed was told
}

func (a *adopted) Opened()              { a.told <- "opened" }
func (a *adopted) Answered()            { a.told <- "answered" }
func (a *adopted) HoldExpired()         { a.told <- "hold expired" }
func (a *adopted) Ended()               { a.told <- "ended " + outcome(&a.Exchange) }
func (a *adopted) Cleared()             { a.told <- "cleared" }
func (a *adopted) Broken()              { a.told <- "broken" }
func (a *adopted) Closed(err error)     { a.err = err; a.told <- "closed" }
func (a *adopted) Panicked(p any) error { panic(p) }

// expect waits for what the owner is told next.
func (a *adopted) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-a.told:
		if got != want {
			t.Fatalf("the owner was told %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the owner is not told %q", want)
	}
}

// do runs f on the loop of the connection and waits for its end.
func (a *adopted) do(t *testing.T, on *loop.Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !on.Post(onLoop(func() { defer close(done); f() })) {
		t.Fatal("the loop has ended")
	}
	<-done
}

type onLoop func()

func (f onLoop) Run() { f() }

// startLoop starts a loop, which ends with the test, or before by end.
func startLoop(t *testing.T) (on *loop.Loop, end func()) {
	t.Helper()
	e, err := loop.Start(loop.Config{Loops: 1, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(e.Close)
	t.Cleanup(end)
	return e.Loops()[0], end
}

// loggedIn is a login that has ended well, and the provider's side of the connection: the
// socket, TLS over it, and what is read.
func loggedIn(t *testing.T) (l *Login, raw net.Conn, secure *tls.Conn, in *bufio.Reader) {
	t.Helper()
	cert := testkit.Certificate("127.0.0.1")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	type side struct {
		raw    net.Conn
		secure *tls.Conn
		in     *bufio.Reader
	}
	ready := make(chan side, 1)
	go func() {
		defer close(ready)
		raw, err := ln.Accept()
		if err != nil {
			return
		}
		secure := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}})
		in := bufio.NewReader(secure)
		for i, reply := range []string{"220 hi\r\n", "250-host\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH XOAUTH2\r\n", "235 2.7.0 yes\r\n"} {
			if i > 0 {
				if _, err := in.ReadString('\n'); err != nil {
					return
				}
			}
			if _, err := secure.Write([]byte(reply)); err != nil {
				return
			}
		}
		ready <- side{raw, secure, in}
	}()
	tcp, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a := &account.Account{SMTP: account.Endpoint{TLS: account.TLSImplicit}}
	l, lerr := adoptTimeouts.Open(context.Background(), tcp.(*net.TCPConn), a, &tls.Config{RootCAs: testkit.Roots(cert), ServerName: "127.0.0.1"})
	if lerr != nil {
		t.Fatal(lerr)
	}
	if answer, lerr := l.Auth("XOAUTH2", []byte("c2VjcmV0"), FormInitial); lerr != nil || answer.Err() != nil {
		t.Fatal(lerr, answer)
	}
	s, ok := <-ready
	if !ok {
		t.Fatal("the provider's side has failed")
	}
	t.Cleanup(func() { _ = s.raw.Close() })
	return l, s.raw, s.secure, s.in
}

var adoptTimeouts = Config{EhloName: "me", Greeting: time.Minute, TLS: time.Minute, Login: time.Minute, Command: time.Minute,
	Data: time.Minute, Content: time.Minute, Final: time.Minute, Hold: time.Minute, Quit: time.Minute}

// TestAdopt: a loop serves a connection that a goroutine has logged in. A part of a TLS
// record shows that the provider is saying something: the connection is stale then.
func TestAdopt(t *testing.T) {
	l, raw, secure, in := loggedIn(t)
	on, _ := startLoop(t)
	a := &adopted{told: make(chan string, 10)}
	if err := l.Adopt(on, a, &a.Conn); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "opened")
	content := newContent(t, "hi\r\n")
	a.do(t, on, func() {
		a.Exchange = Exchange{Mail: &codec.MailArgs{Path: []byte("from@example.com"), Size: -1}, Until: time.Now().Add(time.Minute),
			Rcpts: []Recipient{{Args: codec.RcptArgs{Path: []byte("a@example.com")}}}, To: 1, Content: content}
		a.Begin()
	})
	var lines []string
	for range 4 {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if got := strings.Join(lines, ""); got != mail+rcptA+"BDAT 4 LAST\r\nhi\r\n" {
		t.Fatalf("the provider got %q", got)
	}
	if _, err := secure.Write([]byte(ok + ok + ok)); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "ended final reply 250 2.0.0 OK left")
	a.do(t, on, func() {
		if ready := a.Look(time.Now()); ready != Ready || a.conn.PartialRecord() {
			t.Errorf("at rest: %v, want %v", ready, Ready)
		}
	})
	// The header of a record, whose rest does not come.
	if _, err := raw.Write([]byte{23, 3, 3, 0, 40, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	for partial := false; !partial; {
		a.do(t, on, func() {
			if partial = a.conn.PartialRecord(); partial {
				if ready := a.Look(time.Now()); ready != Stale {
					t.Errorf("with a part of a record: %v, want %v", ready, Stale)
				}
			}
		})
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "broken")
	a.do(t, on, a.Close)
	a.expect(t, "closed")
}

// TestAdoptByEndedLoop: the connection is closed, and the owner is told nothing.
func TestAdoptByEndedLoop(t *testing.T) {
	l, _, _, in := loggedIn(t)
	on, end := startLoop(t)
	end()
	a := &adopted{told: make(chan string, 10)}
	if err := l.Adopt(on, a, &a.Conn); err == nil {
		t.Error("no error")
	}
	if line, err := in.ReadString('\n'); err == nil {
		t.Errorf("the connection is open: %q", line)
	}
	if len(a.told) > 0 {
		t.Errorf("the owner was told %q", <-a.told)
	}
}
