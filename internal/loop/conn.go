package loop

import (
	"errors"
	"net"
	"os"
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Handler is told what happens on a connection, on its loop. Its methods must not
// block.
type Handler interface {
	// Opened is called first.
	Opened(c *Conn)
	// Received is called with what came in. b is borrowed.
	Received(b []byte)
	// Secured is called when the handshake of StartTLS has ended: ErrGaveWay and
	// ErrNoHandshake are among the errors. On an error nothing more can be written, and
	// Closed is next.
	Secured(err error)
	// EndOfInput is called once at most, after the last Received: the peer sends
	// nothing more but may still read.
	EndOfInput()
	// Drained is called when what a Write had to keep has left.
	Drained()
	// Closed is called last and once, also inside a Write, Flush or Close of ours.
	// err is nil after Close, else the error that broke the connection. It is the
	// only call for a connection that could not be opened.
	Closed(err error)
}

// Progressor is a Handler that is also told when a part of what Write had to keep has
// left, which is a sign that the peer reads.
type Progressor interface{ Progressed() }

// Conn is a connection that a loop serves. Its methods may be called on the loop
// only.
type Conn struct {
	loop    *Loop
	handler Handler
	gnet    gnet.Conn
	raw     unsafe.Pointer // the same, for the linked functions
	fd      int

	toProvider bool // its events come first, and it is not part of Load
	closed     bool
	paused     bool // nothing is read
	ended      bool // the peer sends nothing more
	broken     error
	tls        *layer
}

// Unread is what has arrived on a connection and was not read.
type Unread uint8

const (
	// NothingUnread: nothing has come in.
	NothingUnread Unread = iota
	// InputUnread: there is something to read.
	InputUnread
	// Ended: FIN, a reset or another error.
	Ended
)

// Loop is the loop that serves the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// FD is the descriptor of the socket, which stays the connection's.
func (c *Conn) FD() int { return c.fd }

// opened is called by gnet when epoll has taken the descriptor.
func (c *Conn) opened(g gnet.Conn) {
	c.fd = g.Fd()
	c.loop.setConn(c.fd, c)
	c.open(g)
}

// open begins the serving of a connection.
func (c *Conn) open(g gnet.Conn) {
	c.gnet = g
	l := c.loop
	l.enter()
	defer l.leave()
	defer l.contain(c)
	c.handler.Opened(c)
	if c.tls != nil && c.tls.established { // adopted: octets may have come with the end of the login
		c.pump(nil)
	}
}

// gone is called by gnet when the connection is closed.
func (c *Conn) gone(err error) {
	c.loop.setConn(c.fd, nil)
	if !c.toProvider {
		c.loop.load.Add(-1)
	}
	c.end(err)
}

// end ends the serving of a connection, which is closed.
func (c *Conn) end(err error) {
	c.closed = true
	l := c.loop
	l.enter()
	defer l.leave()
	defer l.contain(c)
	if c.tls != nil {
		c.tls.drop()
	}
	if err == nil {
		err = c.broken
	}
	c.handler.Closed(err)
}

// onReady handles what epoll reports of the connection.
func (c *Conn) onReady(ev uint32) {
	l := c.loop
	l.enter()
	defer l.leave()
	defer l.contain(c)
	if ev&unix.EPOLLOUT != 0 {
		c.sendKept()
		if c.closed {
			return
		}
		c.progressed()
	}
	broken := ev&(unix.EPOLLERR|unix.EPOLLHUP) != 0
	if ev&(unix.EPOLLIN|unix.EPOLLPRI) != 0 && !c.closed && !c.ended && !c.paused {
		c.read(broken)
	}
	if broken && !c.closed && (c.ended || c.paused) { // else read has met the error
		c.fail(errHangUp)
	}
}

// errHangUp: epoll reported EPOLLERR or EPOLLHUP.
var errHangUp = errors.New("the peer has hung up")

// progressed tells the handler that kept octets have left.
func (c *Conn) progressed() {
	if c.Buffered() > 0 {
		if h, ok := c.handler.(Progressor); ok {
			h.Progressed()
		}
		return
	}
	if c.paused || c.ended {
		c.watch() // gnet has asked for input
	}
	c.handler.Drained()
}

// read reads once, or to the end if the connection is broken: the octets that the peer
// sent before count.
func (c *Conn) read(all bool) {
	for {
		n, err := unix.Read(c.fd, c.loop.input)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			if all {
				c.fail(errHangUp)
			}
			return
		case err != nil:
			c.fail(os.NewSyscallError("read", err))
			return
		case n == 0:
			c.endOfInput()
			return
		}
		if c.tls != nil {
			c.FeedTLS(c.loop.input[:n])
		} else {
			c.handler.Received(c.loop.input[:n])
		}
		if !all || c.closed || c.paused || c.ended {
			return
		}
	}
}

// fail closes a connection that is broken.
func (c *Conn) fail(err error) {
	c.broken = err
	c.release()
}

// endOfInput tells the handler once, and asks epoll for no more input: it would report FIN
// for ever.
func (c *Conn) endOfInput() {
	if c.ended || c.closed {
		return
	}
	c.ended = true
	c.watch()
	switch {
	case c.tls == nil || c.tls.established:
		c.handler.EndOfInput()
	case c.tls.started:
		c.tls.endInput()
	default:
		c.handshakeDone(c.tls, ErrNoHandshake)
	}
}

// watch tells epoll what the connection waits for. Errors and hang-ups are always
// reported.
func (c *Conn) watch() bool {
	var want uint32
	if !c.paused && !c.ended {
		want = unix.EPOLLIN | unix.EPOLLPRI
	}
	if c.Buffered() > 0 {
		want |= unix.EPOLLOUT
	}
	event := unix.EpollEvent{Fd: int32(c.fd), Events: want}
	return unix.EpollCtl(c.loop.poller.epoll, unix.EPOLL_CTL_MOD, c.fd, &event) == nil
}

// Pause stops reading, so that TCP holds the peer back. Received still gets the octets
// that were read already. Pause reports whether reading has stopped.
func (c *Conn) Pause() bool {
	if c.closed {
		return false
	}
	was := c.paused
	c.paused = true
	if !was && !c.watch() {
		c.paused = false
	}
	return c.paused
}

// Resume reads on.
func (c *Conn) Resume() {
	if c.paused && !c.closed {
		c.paused = false
		c.watch()
	}
}

// Paused reports whether the connection is not read from.
func (c *Conn) Paused() bool { return c.paused }

// Write sends b, through TLS where there is TLS, or keeps what the socket does not
// take and sends it later. On an error nothing of b has left, and the connection is
// closed.
func (c *Conn) Write(b []byte) error {
	if c.tls == nil {
		return c.send(b)
	}
	if err := c.Gather(b); err != nil {
		return err
	}
	return c.Flush()
}

// Gather adds b to what the next Flush sends, through TLS where there is TLS. No other
// connection of the loop may be used before Flush. An error drops all that was gathered.
func (c *Conn) Gather(b []byte) error {
	if c.closed {
		c.loop.Discard()
		return net.ErrClosed
	}
	if c.tls == nil {
		c.loop.cipher = append(c.loop.cipher, b...)
		return nil
	}
	_, err := c.tls.conn.Write(b)
	if err != nil {
		c.loop.Discard()
	}
	return err
}

// Flush sends what was gathered, as Write does.
func (c *Conn) Flush() error {
	out := c.loop.cipher
	c.loop.cipher = out[:0]
	return c.send(out)
}

// send writes octets to the socket. gnet closes inside a Write that fails.
func (c *Conn) send(b []byte) error {
	if c.closed {
		return net.ErrClosed
	}
	if len(b) == 0 {
		return nil
	}
	if _, err := c.gnet.Write(b); err != nil {
		return err
	}
	if (c.paused || c.ended) && c.Buffered() > 0 {
		c.watch() // gnet has asked for input too
	}
	return nil
}

// Buffered is the number of octets that were written and have not left yet.
func (c *Conn) Buffered() int {
	if c.closed {
		return 0
	}
	return c.gnet.OutboundBuffered()
}

// CloseWrite tells the peer that nothing more comes, by close_notify if there is TLS, and
// by FIN if nothing is Buffered.
func (c *Conn) CloseWrite() {
	if c.closed {
		return
	}
	c.CloseNotify()
	if !c.closed && c.Buffered() == 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
	}
}

// CloseNotify tells the peer that nothing more comes over TLS (RFC 8446 section
// 6.1), once. It does nothing for a connection without TLS.
func (c *Conn) CloseNotify() {
	if !c.closed && c.tls != nil && c.tls.established {
		_ = c.tls.conn.CloseWrite() // writes to memory only
		_ = c.Flush()
	}
}

// Close closes the connection at once: Closed runs inside.
func (c *Conn) Close() {
	if !c.closed {
		c.release()
	}
}
