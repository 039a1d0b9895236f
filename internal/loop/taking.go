package loop

import (
	"cmp"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// mayExceed is how many connections more than the emptiest loop a loop may have and still
// serve the connections that it accepts.
func mayExceed(fewest int64) int64 { return fewest / 16 }

// place returns the loop for a connection that l has accepted: l, or the loop with the
// fewest connections if that has clearly fewer.
func (l *Loop) place() *Loop {
	least := slices.MinFunc(l.engine.loops, func(a, b *Loop) int { return cmp.Compare(a.load.Load(), b.load.Load()) })
	if fewest := least.load.Load(); l.load.Load() > fewest+mayExceed(fewest) {
		return least
	}
	return l
}

// ErrNotTaken is the error of Closed for a socket that epoll has refused.
var ErrNotTaken = errors.New("epoll did not take the socket")

// ErrEnded is the error of Closed for a connection whose loop had ended before.
var ErrEnded = errors.New("the event loop has ended")

// Serve gives an accepted socket to this loop, or to another one that has clearly fewer
// connections. It owns fd. It calls Opened of h, or Closed alone.
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

// taking is a socket on its way to the loop that will serve it.
type taking struct {
	conn Conn
	fd   int
}

// Run implements Runner.
func (t *taking) Run() {
	c := &t.conn
	if s := c.tls; s != nil { // of a stream: TLS is the loop's from now on
		s.c, s.wire.tcp, s.established = c, nil, true
		reclaim(s.conn) // the memory of the handshake
	}
	err := c.loop.register(c, t.fd)
	if c.gnet == nil { // else the connection is open, or was closed with a call of Closed
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
	if !c.toProvider {
		c.loop.load.Add(-1)
	}
	c.handler.Closed(err)
}
