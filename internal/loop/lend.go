package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// All of this file goes when package upstream adopts its connections for life
// (Loop.Adopt). Until then a connection to a provider is lent to a loop and comes
// back, in turn with a goroutine that does blocking I/O on it, and TLS is the
// borrower's: the loop has the ciphertext.

// Driven is told what happens on a lent connection, on its loop. Its methods must not
// block.
type Driven interface {
	// Watched is called first.
	Watched(s DrivenSocket)
	// Received is called with what was read; b is borrowed.
	Received(b []byte)
	// Closed is called once, when the connection is gone, unless it was
	// released: also inside a Write or Close of ours.
	Closed(err error)
}

// DrivenSocket is a lent connection. Its methods may be called on its loop only.
type DrivenSocket interface {
	// Write sends b, or keeps a copy of what does not fit the socket's buffer
	// and sends it later. After an error nothing of b has left, and the
	// connection is closed.
	Write(b []byte) (int, error)
	// FD is the socket's descriptor, for a look at it.
	FD() int
	// Close breaks the connection.
	Close()
	// Release ends the loan and gives the connection back.
	Release() (*net.TCPConn, error)
}

// Watch lends an established connection that nothing reads from to the loop, and
// waits until the loop has called d.Watched. On an error the connection is closed. It
// may not be called on the loop.
func (l *Loop) Watch(c *net.TCPConn, d Driven) error {
	fd, err := duplicate(c) // the descriptor of c is known to Go's poller
	_ = c.Close()
	if err != nil {
		return err
	}
	w := &loan{driven: d, done: make(chan error, 1)}
	t := &taking{conn: Conn{loop: l, handler: w, first: true}, fd: fd}
	w.conn = &t.conn
	if !l.Post(t) {
		_ = unix.Close(fd)
		return ErrEnded
	}
	return <-w.done
}

// loan is a lent connection.
type loan struct {
	conn     *Conn
	driven   Driven
	opened   bool
	released bool
	done     chan error // capacity 1
}

// Opened implements Handler.
func (w *loan) Opened(*Conn) {
	w.opened = true
	defer func() { w.done <- nil }() // after a panic too: Closed is next then
	w.driven.Watched(w)
}

// Received implements Handler.
func (w *loan) Received(b []byte) { w.driven.Received(b) }

// Secured implements Handler: the loop does not know of the TLS.
func (w *loan) Secured(error) {}

// EndOfInput implements Handler: a provider that closes its side is gone.
func (w *loan) EndOfInput() { w.conn.fail(io.EOF) }

// Drained implements Handler.
func (w *loan) Drained() {}

// Closed implements Handler.
func (w *loan) Closed(err error) {
	switch {
	case !w.opened:
		w.done <- err
	case !w.released:
		w.driven.Closed(err)
	}
}

// Write implements DrivenSocket.
func (w *loan) Write(b []byte) (int, error) {
	if err := w.conn.Write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// FD implements DrivenSocket.
func (w *loan) FD() int { return w.conn.fd }

// Close implements DrivenSocket.
func (w *loan) Close() { w.conn.Close() }

// errUnsent: what is to be sent is with the loop, which cannot give it back.
var errUnsent = errors.New("not all has been sent")

// Release implements DrivenSocket: the connection lives on in a duplicate of the
// descriptor.
func (w *loan) Release() (*net.TCPConn, error) {
	if w.conn.Buffered() > 0 {
		w.Close()
		return nil, errUnsent
	}
	fd, err := unix.FcntlInt(uintptr(w.conn.fd), unix.F_DUPFD_CLOEXEC, 0)
	w.released = true
	w.Close()
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(fd), "provider")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// Lend gives an established TLS connection a buffer to read into, before a Read.
func Lend(c *tls.Conn) { lend(c) }

// Reclaim takes back what Lend gave, after a Read, and what a handshake left.
func Reclaim(c *tls.Conn) { reclaim(c) }
