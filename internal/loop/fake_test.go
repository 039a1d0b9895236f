package loop

import (
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
