package main

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// A turn is one exchange on a TCP connection: a write, and the wait for the first octets
// of the answer. A plain Read tries at once, in vain, and then waits: each reply costs a
// system call that reads nothing. A turn first prepares to wait and then writes, so that
// no answer comes unnoticed; it reads when there is an answer. Octets that a server sends
// unasked between two turns are read with its next answer, or when it closes.
type turn struct {
	conn net.Conn
	raw  syscall.RawConn
	step func(fd uintptr) bool // made once, so that a turn costs no allocation

	out, in []byte
	n       int
	err     error
}

// newTurn returns turns for the connection.
func newTurn(conn net.Conn, raw syscall.RawConn) *turn {
	t := &turn{conn: conn, raw: raw}
	t.step = t.advance
	return t
}

// take writes out and reads into in. As with net.Conn, an error may come
// with octets; the deadlines of the connection hold.
func (t *turn) take(out, in []byte) (int, error) {
	t.out, t.in, t.n, t.err = out, in, 0, nil
	if err := t.raw.Read(t.step); err != nil {
		return 0, err
	}
	return t.n, t.err
}

// advance writes, on its first call in a turn, or reads; it is true when that
// was all there is to do. In between the runtime waits for something to read,
// and it notes what comes from before the first call on.
func (t *turn) advance(fd uintptr) bool {
	if t.out != nil {
		_, t.err = t.conn.Write(t.out)
		t.out = nil
		return t.err != nil
	}
	for {
		t.n, t.err = syscall.Read(int(fd), t.in)
		switch {
		case errors.Is(t.err, syscall.EINTR):
			continue
		case errors.Is(t.err, syscall.EAGAIN):
			return false
		case t.err != nil:
			t.n = 0
		case t.n == 0:
			t.err = io.EOF
		}
		return true
	}
}
