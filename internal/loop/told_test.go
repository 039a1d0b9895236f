package loop

import (
	"crypto/tls"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"time"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/testkit"
)

// progressing is a recorder that is told of progress too.
type progressing struct{ *recorder }

func (p progressing) Progressed() { p.tell(event{name: "progressed"}) }

// TestProgress: a handler is told while the peer reads, and at last that all has left.
func TestProgress(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	r := newRecorder(nil)
	p := connect(t, l, progressing{r})
	r.expect(t, "opened")
	// Little fits the socket's buffers, so that some of it is still kept when the
	// first part has been read.
	const size, buffer, part = 16 << 20, 256 << 10, 4 << 20
	if err := p.SetReadBuffer(buffer); err != nil {
		t.Fatal(err)
	}
	do(t, l, func() {
		if err := unix.SetsockoptInt(r.conn.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, buffer); err != nil {
			t.Error(err)
		}
		if err := r.conn.Write(make([]byte, size)); err != nil {
			t.Error(err)
		}
	})
	if _, err := io.CopyN(io.Discard, p, part); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "progressed")
	if _, err := io.CopyN(io.Discard, p, size-part); err != nil {
		t.Fatal(err)
	}
	for e := r.next(t); e.name != "drained"; e = r.next(t) {
		if e.name != "progressed" {
			t.Fatalf("told %q", e.name)
		}
	}
}

// TestClosedTellsWhy: nil after Close, an error for a connection that broke.
func TestClosedTellsWhy(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	for _, before := range []string{"reading", "paused", "ended"} {
		r := resetOn(t, l, before)
		if e := r.next(t); e.name != "closed" || e.err == nil {
			t.Errorf("%s: told %q, %v", before, e.name, e.err)
		}
	}
	r := newRecorder(nil)
	serveOver(t, l, 0, r)
	do(t, l, r.conn.Close)
	if e := r.next(t); e.name != "closed" || e.err != nil {
		t.Errorf("told %q, %v", e.name, e.err)
	}
}

// TestNoHandshake: a peer that leaves before its first whole record has begun none,
// which is told apart from one that failed.
func TestNoHandshake(t *testing.T) {
	e := startLoops(t, 1, nil)
	for in, began := range map[string]bool{"": false, "\x16\x03\x01\x00\x50\x01": false, "EHLO x\r\n": true} {
		r := newRecorder(nil)
		r.on = func(r *recorder, e event) {
			if e.name == "opened" {
				r.conn.StartTLS(serverTLS())
			}
		}
		p := connect(t, e.Loops()[0], r)
		_, _ = io.WriteString(p, in)
		_ = p.CloseWrite()
		r.expect(t, "opened")
		if e := r.next(t); e.name != "secured" || e.err == nil || (e.err != ErrNoHandshake) != began {
			t.Errorf("%q: told %q, %v", in, e.name, e.err)
		}
		r.expect(t, "closed")
	}
}

// TestGatheredStaysWithItsConnection: what crypto/tls had to say on a connection that
// ends never leaves by another one.
func TestGatheredStaysWithItsConnection(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	for _, closes := range []bool{true, false} {
		r := newRecorder(nil)
		r.on = func(r *recorder, e event) {
			if e.name == "received" {
				_ = r.conn.Gather([]byte("as a KeyUpdate is"))
				if closes {
					r.conn.Close()
				}
			}
		}
		p := serveOver(t, l, tls.VersionTLS13, r)
		_, _ = io.WriteString(p, "x")
		_ = p.Conn.(*tls.Conn).CloseWrite()
		if closes {
			r.expect(t, "closed", "received") // inside
		} else {
			r.expect(t, "received", "end of input")
		}
		do(t, l, func() {
			if n := len(l.cipher); n > 0 {
				t.Errorf("closes %v: %d octets wait for the next connection", closes, n)
			}
			r.conn.Close()
		})
	}
}

// beat is a Heartbeat.
type beat struct{ told chan string }

func (b beat) Begin()  { b.told <- "begin" }
func (b beat) End()    { b.told <- "end" }
func (b beat) Remove() { b.told <- "remove" }

// TestHeartbeat: a loop is given work by each tick and tells when it has come to it;
// one that is caught is given no more until it comes back.
func TestHeartbeat(t *testing.T) {
	b := beat{make(chan string, 1<<10)}
	e := startLoops(t, 1, func(c *Config) { c.Heartbeat = func(int, *Loop) Heartbeat { return b } })
	next := func(want string) {
		t.Helper()
		if got := testkit.Receive(t, want, b.told); got != want {
			t.Fatalf("told %q, want %q", got, want)
		}
	}
	next("begin")
	next("end")
	caught, back := make(chan struct{}), make(chan struct{})
	e.Loops()[0].Post(runnerFunc(func() { close(caught); <-back }))
	<-caught
	for len(b.told) > 0 {
		<-b.told
	}
	e.Loops()[0].tick.post(time.Now())
	e.Loops()[0].tick.post(time.Now())
	n := len(b.told)
	close(back)
	if n > 1 {
		t.Errorf("a caught loop was given work %d times", n)
	}
}

// TestRunning: the stack of a loop that is at work shows the method that Running names,
// called on that loop.
func TestRunning(t *testing.T) {
	e := startLoops(t, 2, nil)
	for _, l := range e.Loops() {
		stack := make([]byte, 1<<16)
		do(t, l, func() { stack = stack[:runtime.Stack(stack, false)] })
		if call := fmt.Sprintf("%s(%p", Running, l); !strings.Contains(string(stack), call) {
			t.Errorf("no %s in\n%s", call, stack)
		}
	}
}
