package server

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/upstream"
)

// A loop drives connections to providers too: it implements upstream.Loop.

// watched is such a connection.
type watched struct {
	loop     *loop
	conn     gnet.Conn
	driven   upstream.Driven
	released bool
}

// Post implements upstream.Loop.
func (l *loop) Post(r upstream.Runner) bool { return l.post(message{kind: msgRun, run: r}) }

// Later implements upstream.Loop.
func (l *loop) Later(r upstream.Runner) { l.later(message{kind: msgRun, run: r}) }

// errUnsent: what is to be sent is with gnet, which cannot give it back.
var errUnsent = errors.New("not all has been sent")

// watching is the taking over of a connection.
type watching struct {
	*watched
	fd   int
	done chan error
}

// errEnded: there is no loop to take a connection over.
var errEnded = errors.New("the loop has ended")

// Watch implements upstream.Loop.
func (l *loop) Watch(c *net.TCPConn, d upstream.Driven) error {
	w := &watching{watched: &watched{loop: l, driven: d}, done: make(chan error, 1)}
	err := w.duplicate(c)
	_ = c.Close()
	if err == nil && !l.post(message{kind: msgWatch, watching: w}) {
		_ = unix.Close(w.fd)
		err = errEnded
	}
	if err == nil {
		err = <-w.done
	}
	if err != nil {
		return fmt.Errorf("server: watching a connection: %w", err)
	}
	return nil
}

// duplicate gives w a descriptor of its own: that of c is known to Go's poller.
func (w *watching) duplicate(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) {
		w.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		err = os.NewSyscallError("fcntl", err)
	})
	return errors.Join(cerr, err)
}

// watch takes a connection over: opened is next.
func (l *loop) watch(w *watching) {
	err := errNotTaken
	defer func() { w.done <- err }()
	refused := l.register(w.fd, w.watched)
	if err = nil; w.conn == nil { // else an error is none of epoll's: the connection is closed, or soon will be
		err = errors.Join(errNotTaken, refused)
	}
}

// opened, received and closed pass on what gnet reports.
func (w *watched) opened(c gnet.Conn) {
	w.loop.enter()
	defer w.loop.leave()
	defer w.loop.recovered(nil)
	w.conn = c
	w.loop.setProvider(c.Fd(), true)
	w.driven.Watched(w)
}

func (w *watched) received(b []byte) {
	w.loop.enter()
	defer w.loop.leave()
	defer w.loop.recovered(nil)
	w.driven.Received(b)
}

func (w *watched) closed(err error) {
	w.loop.setProvider(w.conn.Fd(), false)
	if w.released {
		return
	}
	w.loop.enter()
	defer w.loop.leave()
	defer w.loop.recovered(nil)
	w.driven.Closed(err)
}

// Write implements upstream.Socket.
func (w *watched) Write(b []byte) (int, error) { return w.conn.Write(b) }

// FD implements upstream.Socket.
func (w *watched) FD() int { return w.conn.Fd() }

// Close implements upstream.Socket.
func (w *watched) Close() { _ = w.loop.events.Close(w.conn) }

// Release implements upstream.Socket: the connection lives on in a duplicate of
// the descriptor.
func (w *watched) Release() (*net.TCPConn, error) {
	if w.conn.OutboundBuffered() > 0 {
		w.Close()
		return nil, errUnsent
	}
	fd, err := unix.FcntlInt(uintptr(w.conn.Fd()), unix.F_DUPFD_CLOEXEC, 0)
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
