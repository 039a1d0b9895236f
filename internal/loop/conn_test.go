package loop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/testkit"
)

// echo writes back what comes.
func echo(r *recorder, e event) {
	if e.name == "received" {
		_ = r.conn.Write([]byte(e.data))
	}
}

// TestEcho: octets go both ways, over each version of TLS, small and large.
func TestEcho(t *testing.T) {
	e := startLoops(t, 1, nil)
	for _, v := range versions {
		t.Run(versionName(v), func(t *testing.T) {
			r := newRecorder(echo)
			p := serveOver(t, e.Loops()[0], v, r)
			for _, n := range []int{1, 100, 16 << 10, 300 << 10} {
				want := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
				done := make(chan error, 1)
				go func() { _, err := p.Write(want); done <- err }()
				got := make([]byte, n)
				if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d octets: %v, equal %v", n, err, bytes.Equal(got, want))
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestEndOfInput: each way in which a peer ends its input, with octets before it, is
// told once and after them; what is written then still reaches the peer.
func TestEndOfInput(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	for _, v := range versions {
		ends := map[string]func(*peer) error{"FIN": func(p *peer) error { return p.tcp.CloseWrite() }}
		if v != 0 {
			ends["close_notify"] = func(p *peer) error { return p.Conn.(*tls.Conn).CloseWrite() }
			ends["close_notify and FIN"] = func(p *peer) error {
				if err := p.Conn.(*tls.Conn).CloseWrite(); err != nil {
					return err
				}
				return p.tcp.CloseWrite()
			}
		}
		for name, end := range ends {
			for _, text := range []string{"", "x", strings.Repeat("text ", 60000)} {
				t.Run(versionName(v)+"/"+name, func(t *testing.T) {
					r := newRecorder(nil)
					p := serveOver(t, l, v, r)
					if _, err := io.WriteString(p, text); err != nil {
						t.Fatal(err)
					}
					if err := end(p); err != nil {
						t.Fatal(err)
					}
					if got := r.expect(t, "end of input"); got != text {
						t.Fatalf("%d octets before the end, want %d", len(got), len(text))
					}
					do(t, l, func() { _ = r.conn.Write([]byte("farewell")) })
					got := make([]byte, len("farewell"))
					if _, err := io.ReadFull(p, got); err != nil {
						t.Fatalf("%q, %v", got, err)
					}
					do(t, l, func() { r.conn.Close() })
					if e := r.next(t); e.name != "closed" || e.err != nil {
						t.Fatalf("told %q, %v", e.name, e.err)
					}
					if n, err := p.Read(got); n > 0 || err == nil {
						t.Errorf("%d octets after the end", n)
					}
				})
			}
		}
	}
}

// TestEndOfInputRests: a connection whose peer has ended its input, or that is paused,
// does not keep its loop busy: the loop has only what the test and the clock give it.
func TestEndOfInputRests(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	r, paused := newRecorder(nil), newRecorder(nil)
	p := serveOver(t, l, 0, r)
	q := serveOver(t, l, 0, paused)
	do(t, l, func() { paused.conn.Pause() })
	if _, err := q.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{p, q} {
		if err := p.tcp.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	r.expect(t, "end of input")
	var before, after uint64
	var from, to int64
	do(t, l, func() { before, from = l.callbacks, l.Now() })
	ticks := &countdown{l: l, left: 5, done: make(chan struct{})}
	ticks.Expirer = ticks
	do(t, l, func() { l.SetTimer(&ticks.Timer, l.Now()+1) })
	<-ticks.done
	do(t, l, func() { after, to = l.callbacks, l.Now() })
	if most := uint64(to-from) + 4; after-before > most {
		t.Errorf("%d callbacks in %d ticks, want %d at most", after-before, to-from, most)
	}
	do(t, l, paused.conn.Resume)
	if got := paused.expect(t, "end of input"); got != "unread" {
		t.Errorf("%q was read after the pause", got)
	}
}

// countdown expires a number of times.
type countdown struct {
	Timer
	l    *Loop
	left int
	done chan struct{}
}

func (c *countdown) Expired() {
	if c.left--; c.left == 0 {
		close(c.done)
		return
	}
	c.l.SetTimer(&c.Timer, c.l.Now()+1)
}

// resetOn has a peer reset the connection while it is read, is paused, or has seen the end of
// input.
func resetOn(t *testing.T, l *Loop, before string) *recorder {
	t.Helper()
	r := newRecorder(nil)
	p := serveOver(t, l, 0, r)
	switch before {
	case "paused":
		do(t, l, func() { r.conn.Pause() })
	case "ended":
		_ = p.tcp.CloseWrite()
		r.expect(t, "end of input")
	}
	_ = p.tcp.SetLinger(0)
	_ = p.tcp.Close()
	return r
}

// TestReset: a peer that resets is told as closed, once, with an error, also where
// its input had ended or was paused.
func TestReset(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	for _, before := range []string{"reading", "paused", "ended"} {
		t.Run(before, func(t *testing.T) {
			r := resetOn(t, l, before)
			r.expect(t, "closed")
			do(t, l, func() {
				if err := r.conn.Write([]byte("x")); err == nil {
					t.Error("a closed connection takes a write")
				}
				r.conn.Close()
				r.conn.CloseWrite()
				r.conn.Resume()
			})
			if len(r.events) > 0 {
				t.Errorf("told %+v after the end", <-r.events)
			}
		})
	}
}

// TestPause: nothing is received while a connection is paused, and all of it after,
// also when the connection has octets to send in the meantime.
func TestPause(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	for _, v := range versions {
		t.Run(versionName(v), func(t *testing.T) {
			r := newRecorder(nil)
			p := serveOver(t, l, v, r)
			big := bytes.Repeat([]byte("0123456789"), 1<<20)
			do(t, l, func() {
				if !r.conn.Pause() || !r.conn.Paused() {
					t.Error("not paused")
				}
				if err := r.conn.Write(big); err != nil {
					t.Error(err)
				}
				if r.conn.Buffered() == 0 {
					t.Error("all of it has left")
				}
			})
			if _, err := p.Write([]byte("while it is paused")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(big))
			if _, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, big) {
				t.Fatal("what was kept arrives altered", err)
			}
			if e := r.next(t); e.name != "drained" {
				t.Fatalf("told %q of a paused connection", e.name)
			}
			do(t, l, func() {
				if len(r.events) > 0 {
					t.Errorf("told %+v while it is paused", <-r.events)
				}
				r.conn.Resume()
			})
			r.receive(t, "while it is paused")
		})
	}
}

// TestCloseInsideWrite: a write that fails closes, and the handler is told inside.
func TestCloseInsideWrite(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	for _, v := range versions {
		t.Run(versionName(v), func(t *testing.T) {
			r := newRecorder(nil)
			p := serveOver(t, l, v, r)
			do(t, l, func() {
				if err := unix.Shutdown(r.conn.fd, unix.SHUT_WR); err != nil {
					t.Error(err)
				}
				if err := r.conn.Write([]byte("x")); err == nil {
					t.Error("the write does not fail")
				}
				if len(r.events) != 1 {
					t.Errorf("%d events inside the write", len(r.events))
				}
				if err := r.conn.Write([]byte("y")); err == nil {
					t.Error("the second write does not fail")
				}
			})
			r.expect(t, "closed")
			_ = p.Close()
		})
	}
}

// TestPanics: one costs its connection, or its errand, and nothing else.
func TestPanics(t *testing.T) {
	panics := make(chan any, 10)
	e := startLoops(t, 1, func(c *Config) { c.Panicked = func(_ Place, p any, _ []byte) { panics <- p } })
	l := e.Loops()[0]
	other := newRecorder(echo)
	q := serveOver(t, l, 0, other)
	for _, in := range []string{"opened", "received", "end of input", "closed"} {
		r := newRecorder(nil)
		r.on = func(_ *recorder, e event) {
			if e.name == in {
				r.events <- e
				panic(in)
			}
		}
		p := connect(t, l, r)
		if in != "opened" {
			_, _ = p.Write([]byte("x"))
			_ = p.CloseWrite()
		}
		if in == "closed" {
			r.expect(t, "opened", "received", "end of input")
			do(t, l, r.conn.Close)
		}
		if got := <-panics; got != in {
			t.Errorf("panic %v, want %v", got, in)
		}
		if _, err := p.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the connection goes on", in)
		}
	}
	l.Post(runnerFunc(func() { panic("errand") }))
	<-panics
	if _, err := q.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	other.receive(t, "still here")
}

// TestUnread tells what has come in before it is read.
func TestUnread(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	r := newRecorder(nil)
	p := serveOver(t, l, 0, r)
	see := func(want Unread) {
		t.Helper()
		testkit.Eventually(t, fmt.Sprint("unread is ", want), func() bool {
			var got Unread
			do(t, l, func() { got = r.conn.Unread() })
			return got == want
		})
	}
	do(t, l, func() { r.conn.Pause() })
	see(NothingUnread)
	_, _ = p.Write([]byte("x"))
	see(InputUnread)
	do(t, l, r.conn.Resume)
	r.receive(t, "x")
	see(NothingUnread)
	do(t, l, func() { r.conn.Pause() })
	_ = p.Close()
	see(Ended)
}
