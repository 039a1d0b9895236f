package loop

import (
	"strings"
	"testing"

	"go.uber.org/zap"
)

// TestFake: a handler on a fake loop is told what a real one is, and what it posts
// runs when the test says so.
func TestFake(t *testing.T) {
	f := NewFake(Config{Log: zap.NewNop()})
	out, ran := "", 0
	r := newRecorder(nil)
	r.on = func(r *recorder, e event) {
		if e.name != "received" {
			return
		}
		_ = r.conn.Write([]byte("you said " + e.data))
		f.Later(runnerFunc(func() { ran++ }))
		f.Post(runnerFunc(func() { f.Post(runnerFunc(func() { ran += 10 })) }))
	}
	c := f.Open(r, func(b []byte) { out += string(b) })
	r.expect(t, "opened")
	f.Receive(c, []byte("hello"))
	r.expect(t, "received")
	if out != "you said hello" || ran != 1 {
		t.Errorf("wrote %q, ran %d", out, ran)
	}
	f.RunPosted()
	if ran != 11 {
		t.Errorf("ran %d", ran)
	}
	c.Close()
	r.expect(t, "closed")
	if err := c.Write([]byte("x")); err == nil || out != "you said hello" {
		t.Errorf("after the end: %v, wrote %q", err, out)
	}
}

// TestFakeSocket: a socket that is full, a write that fails, and the ends of a
// connection are told as on a real loop.
func TestFakeSocket(t *testing.T) {
	f := NewFake(Config{Log: zap.NewNop()})
	out, fails := "", error(nil)
	r := newRecorder(nil)
	s := f.Connect(r, func(b []byte) error {
		if fails == nil {
			out += string(b)
		}
		return fails
	})
	r.expect(t, "opened")
	s.Room = 3
	for _, part := range []string{"he", "llo"} {
		if err := s.Conn.Gather([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Conn.Flush(); err != nil || out != "hel" || s.Conn.Buffered() != 2 {
		t.Errorf("%v, the socket took %q, %d are kept", err, out, s.Conn.Buffered())
	}
	s.Take(1)
	if out != "hell" || s.Conn.Buffered() != 1 {
		t.Errorf("the socket took %q, %d are kept", out, s.Conn.Buffered())
	}
	s.Take(-1)
	r.expect(t, "drained")
	for _, u := range []Unread{NothingUnread, InputUnread, NothingUnread, Ended} {
		if s.SetUnread(u); s.Conn.Unread() != u {
			t.Errorf("unread %v, want %v", s.Conn.Unread(), u)
		}
	}
	s.Conn.CloseWrite()
	if !s.WriteClosed() {
		t.Error("our side is not closed")
	}
	s.EndInput()
	r.expect(t, "end of input")
	fails = errHangUp
	if err := s.Conn.Write([]byte("x")); err != errHangUp || out != "hello" {
		t.Errorf("a failing write: %v, the socket took %q", err, out)
	}
	r.expect(t, "closed")
	s.Receive([]byte("too late"))
	if err := s.Conn.Write([]byte("x")); err == nil || len(r.events) > 0 {
		t.Errorf("after the end: %v, %d events", err, len(r.events))
	}
}

// TestNext: what is given to Next runs after what was posted, and what it gives Next only
// in the next round.
func TestNext(t *testing.T) {
	f := NewFake(Config{})
	var got []string
	note := func(what string) call { return func() { got = append(got, what) } }
	f.Do(func() {
		f.Next(call(func() { note("first")(); f.Next(note("again")) }))
		f.Next(call(func() { f.Later(note("later")); note("second")() }))
	})
	f.Post(note("posted"))
	for _, want := range []string{"posted first second later", "again"} {
		if got = nil; !f.RunOnce() || strings.Join(got, " ") != want {
			t.Errorf("ran %q, want %q", got, want)
		}
	}
	if f.RunOnce() {
		t.Error("something was left")
	}
}
