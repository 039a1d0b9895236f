package loop

import (
	"context"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// Fake is a loop without sockets, for tests of handlers. Nothing runs by itself: the test
// gives a connection its input, calls RunPosted and moves the clock, all on one
// goroutine. A connection cannot be paused.
type Fake struct{ *Loop }

// NewFake makes a fake loop.
func NewFake(cfg Config) Fake {
	l := newLoop(fakeLoop{}, poller{epoll: -1})
	l.engine = &Engine{cfg: cfg, loops: []*Loop{l}}
	return Fake{l}
}

// Open has h serve a connection. What is written to it is given to write, which
// borrows it.
func (f Fake) Open(h Handler, write func(b []byte)) *Conn {
	return f.connect(h, func(b []byte) error { write(b); return nil }, [2]int{-1, -1}).Conn
}

// Receive gives octets of the peer to the handler of c, which borrows them. A panic
// of the handler is not contained.
func (f Fake) Receive(c *Conn, b []byte) {
	f.enter()
	c.handler.Received(b)
	f.leave()
}

// Do runs what a test has to do on the loop, as a callback: what that gives to Later
// runs after it.
func (f Fake) Do(what func()) {
	f.enter()
	f.runOne(call(what))
	f.leave()
}

// call is a function to run.
type call func()

// Run implements Runner.
func (c call) Run() { c() }

// RunPosted runs all that was given to Post and Next, and what that gives them.
func (f Fake) RunPosted() {
	for f.RunOnce() {
	}
}

// RunOnce runs what was given to Post, then what was given to Next, and not what that gives
// Next. It reports whether there was anything.
func (f Fake) RunOnce() bool {
	if !f.scheduled && len(f.next) == 0 {
		return false
	}
	if f.scheduled {
		f.empty()
	}
	f.runNext()
	return true
}

// Advance moves the clock on by d, in ticks: timers expire.
func (f Fake) Advance(d time.Duration) {
	f.enter()
	for range d / Tick {
		f.wheel.advance(f.expire)
	}
	f.leave()
}

// SetPolled sets what Polled returns.
func (f Fake) SetPolled(at time.Time) { f.polled = at }

// End has the loop take nothing more, as Engine.Close does.
func (f Fake) End() { f.stopped = true }

// fakeLoop is the gnet side of a fake loop.
type fakeLoop struct{ gnet.EventLoop }

// Execute implements gnet.EventLoop.
func (fakeLoop) Execute(context.Context, gnet.Runnable) error { return nil }

// Close implements gnet.EventLoop.
func (fakeLoop) Close(c gnet.Conn) error {
	c.(*fakeConn).s.shut(nil)
	return nil
}
