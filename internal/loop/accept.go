package loop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is a listening socket, of [NewSocket].
type Socket interface {
	// Accept takes the next connection, without waiting: EAGAIN says that there is
	// none. The connection does not block. remote is not valid for a unix socket. The
	// caller owns fd. It is safe for use on any goroutine.
	Accept() (fd int, remote netip.AddrPort, err error)
	// Addr is the address that the socket listens on.
	Addr() net.Addr
	// Close closes the socket. No loop may accept from it.
	Close() error
	// Duplicate returns a duplicate of the descriptor, for a process that is started.
	Duplicate() (fd int, err error)
	// KeepFile says whether the file of a unix socket stays after Close: another process
	// listens there.
	KeepFile(keep bool)

	descriptor() int
}

// socket implements Socket.
type socket struct {
	fd   int
	addr net.Addr
	path string // of a unix socket that is to be removed, unless keep is set
	keep atomic.Bool
}

// NewSocket takes a listening socket over from package net, whose poller would wake a
// thread for each client. It closes ln. path is a unix socket's path, which Close
// removes, or "".
func NewSocket(ln net.Listener, path string) (Socket, error) {
	defer ln.Close()
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	conn, ok := ln.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("listen %s: %w", ln.Addr(), errors.ErrUnsupported)
	}
	fd, err := duplicate(conn)
	if err != nil {
		return nil, err
	}
	return &socket{fd: fd, addr: ln.Addr(), path: path}, nil
}

// duplicate returns a duplicate descriptor of the socket of c.
func duplicate(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(of uintptr) {
		fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0)
		err = os.NewSyscallError("fcntl", err)
	})
	return fd, errors.Join(cerr, err)
}

// prepareAccepted sets the options that accepted sockets inherit on a listening TCP
// socket, which saves five calls for each connection. Package net listens by MPTCP, which
// takes these options from Linux 6.10 on.
func prepareAccepted(raw syscall.RawConn) (err error) {
	cerr := raw.Control(func(fd uintptr) {
		for _, o := range []struct{ level, name, value int }{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},  // seconds
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 20}, // seconds
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		} {
			if err == nil {
				err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), o.level, o.name, o.value))
			}
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}

// Accept implements Socket.
func (s *socket) Accept() (fd int, remote netip.AddrPort, err error) {
	fd, from, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		remote = netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port))
	case *unix.SockaddrInet6: // without the zone, which has no use here
		remote = netip.AddrPortFrom(netip.AddrFrom16(from.Addr).Unmap(), uint16(from.Port))
	}
	return fd, remote, os.NewSyscallError("accept", err)
}

func (s *socket) descriptor() int { return s.fd }

// Addr implements Socket.
func (s *socket) Addr() net.Addr { return s.addr }

// Close implements Socket.
func (s *socket) Close() error {
	if s.path != "" && !s.keep.Load() {
		_ = os.Remove(s.path)
	}
	return unix.Close(s.fd)
}

// Duplicate implements Socket.
func (s *socket) Duplicate() (fd int, err error) {
	fd, err = unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	return fd, os.NewSyscallError("fcntl", err)
}

// KeepFile implements Socket.
func (s *socket) KeepFile(keep bool) { s.keep.Store(keep) }

// Acceptor decides about the connections of a listening socket. Its methods are
// called on any of the loops, at the same time.
type Acceptor interface {
	// Accepted is given a connection: it calls on.Serve, or closes fd.
	Accepted(on *Loop, fd int, remote netip.AddrPort)
	// Failed is told that accepting failed. It returns true if accepting may go on
	// at once.
	Failed(err error) bool
	// Stopped is called once, when no loop accepts any more and the socket is closed.
	Stopped()
}

// Listener is a socket that all loops accept from.
type Listener struct {
	socket   Socket
	acceptor Acceptor
	loops    atomic.Int32 // that accept
}

// Listen lets all loops accept from the socket, until Engine.StopListening. It owns the
// socket from then on.
func (e *Engine) Listen(s Socket, a Acceptor) {
	from := &Listener{socket: s, acceptor: a}
	from.loops.Store(int32(len(e.loops)))
	e.PostAll(func(l *Loop) Runner { return runnerFunc(func() { l.listen(from) }) })
}

// StopListening ends the accepting and closes the sockets.
func (e *Engine) StopListening() {
	e.PostAll(func(l *Loop) Runner { return runnerFunc(l.stopListening) })
}

// Pause has no loop accept until Resume. The sockets stay open, and unix sockets keep their
// files when they are closed: clients wait in the backlog, for this process or for another
// one that has the sockets too.
func (e *Engine) Pause() {
	e.PostAll(func(l *Loop) Runner { return runnerFunc(l.pause) })
}

// Resume ends a Pause.
func (e *Engine) Resume() {
	e.PostAll(func(l *Loop) Runner { return runnerFunc(l.resume) })
}

// runnerFunc is a function as a Runner.
type runnerFunc func()

// Run implements Runner.
func (f runnerFunc) Run() { f() }

func (l *Loop) listen(from *Listener) {
	l.listeners = append(l.listeners, from)
	l.arm(from)
}

func (l *Loop) pause() {
	l.paused = true
	for _, from := range l.listeners {
		from.socket.KeepFile(true)
		l.disarm(from)
	}
}

func (l *Loop) resume() {
	l.paused = false
	for _, from := range l.listeners {
		from.socket.KeepFile(false)
		l.arm(from)
	}
}

// arm adds the listening socket to the loop's epoll. For each client, epoll wakes one of
// the waiting loops. arm does nothing if the socket is in epoll already, or in a pause.
func (l *Loop) arm(from *Listener) {
	if l.paused {
		return
	}
	fd := from.socket.descriptor()
	event := unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE}
	err := unix.EpollCtl(l.poller.epoll, unix.EPOLL_CTL_ADD, fd, &event)
	if err != nil && err != unix.EEXIST {
		from.acceptor.Failed(os.NewSyscallError("epoll_ctl", err))
	}
}

// disarm undoes arm. A close of the socket is not enough if another process, such as
// systemd, has it open too.
func (l *Loop) disarm(from *Listener) {
	_ = unix.EpollCtl(l.poller.epoll, unix.EPOLL_CTL_DEL, from.socket.descriptor(), nil)
}

// stopListening ends the accepting of this loop. The last loop closes the sockets.
func (l *Loop) stopListening() {
	for _, from := range l.listeners {
		l.disarm(from)
		if from.loops.Add(-1) == 0 {
			_ = from.socket.Close()
			from.acceptor.Stopped()
		}
	}
	l.listeners = nil
}

// listenerOf finds the listener of a descriptor, nil if there is none.
func (l *Loop) listenerOf(fd int) *Listener {
	for _, from := range l.listeners {
		if from.socket.descriptor() == fd {
			return from
		}
	}
	return nil
}

// acceptPause is how long accepting pauses after an error: a lasting error must not keep
// the loop busy.
const acceptPause = 10 * time.Millisecond

// accept takes one connection.
func (l *Loop) accept(from *Listener) {
	l.enter()
	defer l.leave()
	defer l.contain(nil)
	fd, remote, err := from.socket.Accept()
	switch {
	case err == nil:
		from.acceptor.Accepted(l, fd, remote)
	case errors.Is(err, unix.EAGAIN): // another loop has it
	case !from.acceptor.Failed(err):
		l.disarm(from)
		time.AfterFunc(acceptPause, func() { l.Post(runnerFunc(func() { l.rearm(from) })) })
	}
}

// rearm arms a listener that this loop still accepts from.
func (l *Loop) rearm(from *Listener) {
	if l.listenerOf(from.socket.descriptor()) == from {
		l.arm(from)
	}
}
