package loop

import (
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/zap"
)

// borrower is a Driven that passes on what it is told.
type borrower struct {
	*recorder
	socket DrivenSocket
}

func (b *borrower) Watched(s DrivenSocket) { b.socket = s; b.tell(event{name: "watched"}) }

// tcpPair is two ends of a TCP connection.
func tcpPair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// TestLend: a lent connection is told of octets and of its end, comes back whole, and
// is told of nothing after that.
func TestLend(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	ours, theirs := tcpPair(t)
	for range 3 {
		b := &borrower{recorder: newRecorder(nil)}
		if err := l.Watch(ours, b); err != nil {
			t.Fatal(err)
		}
		b.expect(t, "watched")
		_, _ = io.WriteString(theirs, "over the loop")
		b.receive(t, "over the loop")
		do(t, l, func() {
			if n, err := b.socket.Write([]byte("answer")); n != 6 || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
			var err error
			if ours, err = b.socket.Release(); err != nil {
				t.Error(err)
			}
		})
		got := make([]byte, 6)
		if _, err := io.ReadFull(theirs, got); err != nil || string(got) != "answer" {
			t.Errorf("%q, %v", got, err)
		}
		_, _ = io.WriteString(theirs, "direct")
		if _, err := io.ReadFull(ours, got); err != nil || string(got) != "direct" {
			t.Errorf("after the release: %q, %v", got, err)
		}
		if len(b.events) > 0 {
			t.Errorf("told %+v after the release", <-b.events)
		}
	}
	b := &borrower{recorder: newRecorder(nil)}
	if err := l.Watch(ours, b); err != nil {
		t.Fatal(err)
	}
	b.expect(t, "watched")
	_ = theirs.CloseWrite() // a provider that closes its side is gone
	if e := b.next(t); e.name != "closed" || !errors.Is(e.err, io.EOF) {
		t.Errorf("told %q, %v", e.name, e.err)
	}
	if n := l.Load(); n != 0 {
		t.Errorf("%d connections of clients", n)
	}
}

// TestReleaseUnsent: what the loop has still to send cannot be given back.
func TestReleaseUnsent(t *testing.T) {
	e := startLoops(t, 1, nil)
	l := e.Loops()[0]
	ours, _ := tcpPair(t)
	b := &borrower{recorder: newRecorder(nil)}
	if err := l.Watch(ours, b); err != nil {
		t.Fatal(err)
	}
	b.expect(t, "watched")
	do(t, l, func() {
		if _, err := b.socket.Write(make([]byte, 64<<20)); err != nil {
			t.Error(err)
		}
		if _, err := b.socket.Release(); !errors.Is(err, errUnsent) {
			t.Errorf("released: %v", err)
		}
	})
	b.expect(t, "closed")
}

// TestLendInVain: an ended loop takes no connection, which is closed.
func TestLendInVain(t *testing.T) {
	e, err := Start(Config{Loops: 1, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	ours, theirs := tcpPair(t)
	if err := e.Loops()[0].Watch(ours, &borrower{recorder: newRecorder(nil)}); !errors.Is(err, ErrEnded) {
		t.Errorf("lent: %v", err)
	}
	if _, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
}
