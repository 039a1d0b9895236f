package loop

import (
	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// FakeSocket is the socket of a connection of a fake loop, for a test that plays the
// kernel and the peer.
type FakeSocket struct {
	// Conn is the connection. It has no TLS.
	Conn *Conn
	// Room is how many octets the socket takes before it is full; negative: any number.
	Room int

	write func(b []byte) error
	kept  []byte // was written and is not taken
	peer  int    // the other end of Conn.fd, which is there for Unread and CloseWrite
}

// Connect has h serve a connection. What the socket takes is given to write, which
// borrows it. On its error nothing has left, and the connection is closed inside the
// write, as gnet does. The test must have the connection closed in the end.
func (f Fake) Connect(h Handler, write func(b []byte) error) *FakeSocket {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		panic(err)
	}
	return f.connect(h, write, pair)
}

// connect has h serve a connection, whose socket is one of the pair, if that is one.
func (f Fake) connect(h Handler, write func(b []byte) error, pair [2]int) *FakeSocket {
	s := &FakeSocket{Conn: &Conn{loop: f.Loop, handler: h, fd: pair[0]}, Room: -1, write: write, peer: pair[1]}
	s.Conn.open(&fakeConn{s: s})
	return s
}

// Receive gives octets of the peer to the handler, which borrows them.
func (s *FakeSocket) Receive(b []byte) {
	s.do(func() { s.Conn.handler.Received(b) })
}

// EndInput has the peer send nothing more.
func (s *FakeSocket) EndInput() { s.do(s.Conn.endOfInput) }

// Break has the connection break, as by a reset of the peer.
func (s *FakeSocket) Break(err error) {
	s.do(func() { s.Conn.fail(err) })
}

// Take has a full socket take n octets more, or any number if n is negative. The handler
// is told as after EPOLLOUT.
func (s *FakeSocket) Take(n int) {
	s.do(func() {
		if len(s.kept) == 0 {
			s.Room = n
			return
		}
		b := s.kept
		s.kept, s.Room = nil, n
		if err := s.put(b); err != nil {
			s.shut(err)
			return
		}
		s.Conn.progressed()
	})
}

// SetUnread sets what Conn.Unread returns. Ended is for good.
func (s *FakeSocket) SetUnread(u Unread) {
	if s.Conn.closed {
		return
	}
	var octet [1]byte
	var err error
	switch now := s.Conn.Unread(); {
	case now == u || now == Ended:
	case u == InputUnread:
		_, err = unix.Write(s.peer, octet[:])
	default:
		if now == InputUnread {
			_, err = unix.Read(s.Conn.fd, octet[:])
		}
		if u == Ended && err == nil {
			err = unix.Shutdown(s.peer, unix.SHUT_WR)
		}
	}
	if err != nil {
		panic(err)
	}
}

// WriteClosed reports whether CloseWrite was called on the open connection.
func (s *FakeSocket) WriteClosed() bool {
	if s.Conn.closed {
		return false
	}
	var octet [1]byte
	n, err := unix.Read(s.peer, octet[:])
	return n == 0 && err == nil
}

// do runs one callback of the loop, unless the connection is closed.
func (s *FakeSocket) do(what func()) {
	if s.Conn.closed {
		return
	}
	l := s.Conn.loop
	l.enter()
	defer l.leave()
	defer l.contain(s.Conn)
	what()
}

// put gives b to the socket, as far as that has room, and keeps the rest.
func (s *FakeSocket) put(b []byte) error {
	n := len(b)
	if s.Room >= 0 {
		n = min(n, s.Room)
		s.Room -= n
	}
	if n > 0 {
		if err := s.write(b[:n]); err != nil {
			return err
		}
	}
	s.kept = append(s.kept, b[n:]...)
	return nil
}

// shut closes the connection.
func (s *FakeSocket) shut(err error) {
	if s.Conn.closed {
		return
	}
	for _, fd := range []int{s.Conn.fd, s.peer} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	s.Conn.fd, s.peer = -1, -1
	s.Conn.end(err)
}

// fakeConn is the gnet side of a connection of a fake loop.
type fakeConn struct {
	gnet.Conn
	s *FakeSocket
}

// Write implements gnet.Conn.
func (c *fakeConn) Write(b []byte) (int, error) {
	s := c.s
	switch {
	case s.Conn.closed:
		panic("loop: a write to a closed connection, whose descriptor may be another one's by now")
	case len(s.kept) > 0:
		s.kept = append(s.kept, b...)
		return len(b), nil
	}
	if err := s.put(b); err != nil {
		s.shut(err)
		return 0, err
	}
	return len(b), nil
}

// OutboundBuffered implements gnet.Conn.
func (c *fakeConn) OutboundBuffered() int { return len(c.s.kept) }
