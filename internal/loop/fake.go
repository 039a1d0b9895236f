package loop

import (
	"context"

	"github.com/panjf2000/gnet/v2"
)

// Fake is a loop without sockets, for tests of handlers. Nothing runs by itself: the test
// gives a connection its input and calls RunPosted, all on one goroutine. Time stands
// still, and a connection cannot be paused.
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
	c := &Conn{loop: f.Loop, handler: h, fd: -1}
	c.open(&fakeConn{conn: c, write: write})
	return c
}

// Receive gives octets of the peer to the handler of c, which borrows them. A panic
// of the handler is not contained.
func (f Fake) Receive(c *Conn, b []byte) {
	f.enter()
	c.handler.Received(b)
	f.leave()
}

// RunPosted runs all that was posted to the loop, and what that posts.
func (f Fake) RunPosted() {
	for f.scheduled {
		f.empty()
	}
}

// fakeLoop is the gnet side of a fake loop.
type fakeLoop struct{ gnet.EventLoop }

// Execute implements gnet.EventLoop.
func (fakeLoop) Execute(context.Context, gnet.Runnable) error { return nil }

// Close implements gnet.EventLoop.
func (fakeLoop) Close(c gnet.Conn) error {
	c.(*fakeConn).conn.end(nil)
	return nil
}

// fakeConn is the gnet side of a connection of a fake loop.
type fakeConn struct {
	gnet.Conn
	conn  *Conn
	write func([]byte)
}

// Write implements gnet.Conn.
func (c *fakeConn) Write(b []byte) (int, error) {
	if c.conn.closed {
		panic("loop: a write to a closed connection, whose descriptor may be another one's by now")
	}
	c.write(b)
	return len(b), nil
}

// OutboundBuffered implements gnet.Conn.
func (*fakeConn) OutboundBuffered() int { return 0 }
