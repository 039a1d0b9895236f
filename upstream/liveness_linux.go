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

// shortRead is how long alive waits for a record whose first bytes are there.
// It cannot be nothing: a read whose deadline has come fails before it reads.
const shortRead = 2 * time.Millisecond

// alive reports whether a connection that was parked can still be used. It
// sees what the peer has sent in the meantime: FIN, RST, close_notify and any
// reply, above all 421, make it dead; a TLS session ticket does not. It does
// not see a peer that went silently. It allocates nothing unless there is
// something to read.
func (c *conn) alive(now time.Time) bool {
	if err := c.raw.Control(c.peek.look); err != nil {
		return false
	}
	switch {
	case c.peek.errno == unix.EAGAIN:
		if !c.wire.readAhead() {
			return true
		}
		c.wire.dry = true
	case c.peek.errno != 0 || c.peek.n == 0:
		return false
	default:
		c.deadline = time.Time{}
		if c.wire.tcp.SetReadDeadline(now.Add(shortRead)) != nil {
			return false
		}
	}
	var b [1]byte
	_, err := c.tls.Read(b[:])
	c.wire.dry = false
	return errors.Is(err, os.ErrDeadlineExceeded)
}
