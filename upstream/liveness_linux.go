package upstream

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peeker looks at a socket without reading from it. Its closure is made once
// for each connection, and unix.Recvfrom would make room for an address, so
// that a look does not allocate.
type peeker struct {
	look  func(fd uintptr)
	buf   [1]byte
	n     uintptr
	errno unix.Errno
}

func (c *conn) initPeek() {
	p := &c.peek
	p.look = func(fd uintptr) {
		p.n, _, p.errno = unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&p.buf)), 1,
			unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	}
}

// shortReads are how long alive waits for what has begun to come in. A read
// whose deadline has come fails before it reads, which can happen to a short one
// on a busy machine: then a longer one follows.
var shortReads = [...]time.Duration{2 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond}

// alive reports whether a connection that was parked can still be used. It
// sees what the peer has sent in the meantime: FIN, RST, close_notify and any
// reply, above all 421, make it dead; a TLS session ticket does not. It does
// not see a peer that went silently. It allocates nothing unless there is
// something to read.
func (c *conn) alive() bool {
	if c.peekAt() == nothingThere && !c.wire.readAhead() {
		return true
	}
	c.wire.dry = true // first what the TLS layer has read ahead
	clean := c.nothingToRead()
	c.wire.dry = false
	c.deadline = time.Time{}
	for _, d := range shortReads {
		switch {
		case !clean:
			return false
		case c.peekAt() == nothingThere:
			return !c.wire.partial()
		case c.peekAt() == ended || c.wire.tcp.SetReadDeadline(time.Now().Add(d)) != nil:
			return false
		}
		clean = c.nothingToRead()
	}
	return false
}

// peeked is what is to be read from a socket.
type peeked uint8

const (
	nothingThere peeked = iota
	input
	ended // FIN, RST or another error
)

func (c *conn) peekAt() peeked {
	if c.raw.Control(c.peek.look) != nil {
		return ended
	}
	return c.peek.seen()
}

// seen tells what the last look has shown.
func (p *peeker) seen() peeked {
	switch {
	case p.errno == unix.EAGAIN:
		return nothingThere
	case p.errno != 0 || p.n == 0:
		return ended
	}
	return input
}

// look tells on the loop whether a connection that was parked can still be used.
func (c *conn) look() freshness {
	if c.spoiled || c.wire.partial() {
		return stale
	}
	c.peek.look(uintptr(c.wire.socket.FD()))
	switch c.peek.seen() {
	case nothingThere:
		return usable
	case input:
		return pending
	}
	return stale
}

// nothingToRead reads until the deadline and reports whether that was for
// nothing.
func (c *conn) nothingToRead() bool {
	var b [1]byte
	_, err := c.tls.Read(b[:])
	return errors.Is(err, os.ErrDeadlineExceeded)
}
