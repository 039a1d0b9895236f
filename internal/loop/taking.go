package loop

import (
	"cmp"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// mayExceed is how many connections more than the loop with the fewest one may have
// and still serve itself those that it accepts.
func mayExceed(fewest int64) int64 { return fewest / 16 }

// place is the loop for a connection that l has accepted: l, unless another one
// has clearly fewer.
func (l *Loop) place() *Loop {
	least := slices.MinFunc(l.engine.loops, func(a, b *Loop) int { return cmp.Compare(a.load.Load(), b.load.Load()) })
	if fewest := least.load.Load(); l.load.Load() > fewest+mayExceed(fewest) {
		return least
	}
	return l
}

// ErrNotTaken is what Closed is told for a socket that epoll did not take.
var ErrNotTaken = errors.New("epoll did not take the socket")

// ErrEnded is what Closed is told for a connection whose loop had ended before.
var ErrEnded = errors.New("the event loop has ended")

// Serve has this loop, or another one that has clearly fewer connections, serve an
// accepted socket. It takes fd. h is told by Opened, or by Closed alone.
func (l *Loop) Serve(fd int, h Handler) {
	next := l.place()
	next.load.Add(1)
	t := &taking{conn: Conn{loop: next, handler: h}, fd: fd}
	if next == l {
		l.enter()
		l.runOne(t)
		l.leave()
	} else if !next.Post(t) {
		t.Dropped()
	}
}

// taking is the taking of a socket by a loop.
type taking struct {
	conn Conn
	fd   int
}

// Run implements Runner.
func (t *taking) Run() {
	c := &t.conn
	if s := c.tls; s != nil { // of a stream: TLS is the loop's from now on
		s.c, s.wire.tcp, s.established = c, nil, true
		reclaim(s.conn) // what the handshake needed
	}
	err := c.loop.register(c, t.fd)
	if c.gnet == nil { // else an error is one of the connection, which is closed, or soon will be
		t.failed(errors.Join(ErrNotTaken, err))
	}
}

// Dropped implements Dropper.
func (t *taking) Dropped() {
	_ = unix.Close(t.fd)
	t.failed(ErrEnded)
}

// failed tells the handler that its connection was not opened.
func (t *taking) failed(err error) {
	c := &t.conn
	c.closed = true
	if !c.first {
		c.loop.load.Add(-1)
	}
	c.handler.Closed(err)
}
