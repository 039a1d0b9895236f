package server

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A taker takes the next connection from a listening socket. remote is not valid
// for a unix socket. The error is net.ErrClosed when there will be no more.
type taker interface {
	take() (fd int, remote netip.AddrPort, err error)
	close() error
}

// socket is a listening socket. What is accepted from it does not block.
type socket struct {
	file   *os.File // a duplicate: package net hands out nothing but its own connections
	raw    syscall.RawConn
	closed atomic.Bool
}

func newSocket(ln net.Listener) (*socket, error) {
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &socket{file: f, raw: raw}, nil
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
	var from unix.Sockaddr
	failed := s.raw.Read(func(listening uintptr) (done bool) {
		fd, from, err = unix.Accept4(int(listening), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err != unix.EAGAIN
	})
	switch {
	case s.closed.Load():
		if failed == nil && err == nil {
			_ = unix.Close(fd)
		}
		return -1, netip.AddrPort{}, net.ErrClosed
	case failed != nil:
		return -1, netip.AddrPort{}, failed
	}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		remote = netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port))
	case *unix.SockaddrInet6: // without the zone: it is of no use to anybody here
		remote = netip.AddrPortFrom(netip.AddrFrom16(from.Addr).Unmap(), uint16(from.Port))
	}
	return fd, remote, os.NewSyscallError("accept", err)
}

func (s *socket) close() error {
	s.closed.Store(true)
	return s.file.Close()
}
