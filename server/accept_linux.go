package server

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A taker takes the next connection from a listening socket, without waiting:
// EAGAIN says that there is none. remote is not valid for a unix socket.
type taker interface {
	take() (fd int, remote netip.AddrPort, err error)
	descriptor() int // of the listening socket
	address() net.Addr
	close() error
}

// socket is a listening socket. What is accepted from it does not block.
type socket struct {
	fd   int
	addr net.Addr
	path string // of a unix socket that is to be removed
}

// newSocket takes the socket over from package net, whose poller would have a
// thread woken for each client. It closes ln. path is that of a unix socket that
// is to be removed in the end.
func newSocket(ln net.Listener, path string) (s *socket, err error) {
	defer ln.Close()
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	s = &socket{addr: ln.Addr(), path: path}
	conn, ok := ln.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("listen %s: %w", ln.Addr(), errors.ErrUnsupported)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	cerr := raw.Control(func(fd uintptr) {
		s.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		err = os.NewSyscallError("fcntl", err)
	})
	return s, errors.Join(cerr, err)
}

// prepareAccepted sets on a listening TCP socket what accepted ones inherit: that
// saves five calls for each. Package net listens by MPTCP, where that takes Linux
// 6.10, and falls back to TCP alone if it is called for ListenConfig.Control.
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

func (s *socket) take() (fd int, remote netip.AddrPort, err error) {
	fd, from, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		remote = netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port))
	case *unix.SockaddrInet6: // without the zone: it is of no use to anybody here
		remote = netip.AddrPortFrom(netip.AddrFrom16(from.Addr).Unmap(), uint16(from.Port))
	}
	return fd, remote, os.NewSyscallError("accept", err)
}

func (s *socket) descriptor() int { return s.fd }

func (s *socket) address() net.Addr { return s.addr }

func (s *socket) close() error {
	if s.path != "" {
		_ = os.Remove(s.path)
	}
	return unix.Close(s.fd)
}

// listen has the loop accept from the socket as well.
func (l *loop) listen(on *listener) {
	l.listeners = append(l.listeners, on)
	l.hear(on)
}

// hear asks to be told of connections to accept; one of the loops that wait is.
// It does nothing for a socket that the loop is told of already.
func (l *loop) hear(on *listener) {
	fd := on.socket.descriptor()
	err := unix.EpollCtl(l.poller.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd), Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE})
	if err != nil && err != unix.EEXIST {
		l.srv.metrics.acceptErrors.Inc()
		l.srv.log.Warn("waiting for connections", zap.Stringer("listener", on.socket.address()), zap.Error(err))
	}
}

// ignore is the reverse of hear. The system does not do it where the socket
// is open elsewhere too, as with systemd.
func (l *loop) ignore(on *listener) {
	_ = unix.EpollCtl(l.poller.epoll, unix.EPOLL_CTL_DEL, on.socket.descriptor(), nil)
}

// hearAll asks for all listening sockets, as some may have been ignored, be it by
// gnet, which does not know them.
func (l *loop) hearAll() {
	for _, on := range l.listeners {
		l.hear(on)
	}
}

// stopListening ends the accepting. The last loop closes the sockets.
func (l *loop) stopListening() {
	for _, on := range l.listeners {
		l.ignore(on)
		on.leave()
	}
	l.listeners = nil
}

// listenerOf is the one with that descriptor, nil if there is none.
func (l *loop) listenerOf(fd int) *listener {
	for _, on := range l.listeners {
		if on.socket.descriptor() == fd {
			return on
		}
	}
	return nil
}

// acceptPause is how long accepting rests after an error, so that a lasting
// one does not keep the loop busy.
const acceptPause = 10 * time.Millisecond

// accept takes one connection.
func (l *loop) accept(from *listener) {
	defer l.recovered(nil)
	fd, remote, err := from.socket.take()
	switch {
	case err == nil:
		from.admit(l, fd, remote)
	case errors.Is(err, unix.EAGAIN): // another loop has it
	default:
		l.srv.metrics.acceptErrors.Inc()
		l.srv.log.Warn("accepting a connection", zap.Stringer("listener", from.socket.address()), zap.Error(err))
		if !from.refuseWithSpare(err) {
			l.ignore(from)
			time.AfterFunc(acceptPause, func() { l.post(message{kind: msgHear}) })
		}
	}
}

// mayExceed is how many sessions more than the loop with the fewest one may have
// and still serve the connections itself that it accepts.
func mayExceed(fewest int64) int64 { return fewest / 16 }

// placeFor is the loop for a connection that l has accepted: l, unless another
// one has clearly fewer sessions.
func (l *loop) placeFor() *loop {
	least := slices.MinFunc(l.srv.loops, func(a, b *loop) int { return cmp.Compare(a.clients.Load(), b.clients.Load()) })
	if fewest := least.clients.Load(); l.clients.Load() > fewest+mayExceed(fewest) {
		return least
	}
	return l
}
