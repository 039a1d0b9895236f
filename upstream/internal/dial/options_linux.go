package dial

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// socketOptions returns the net.Dialer.Control that sets two options beyond those of
// package net: the user timeout (RFC 5482) and, for a socket that is bound to an
// address, the choice of its port at connect time. Without that one address could
// have no more connections than it has ports.
func socketOptions(bound bool) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
			if bound { // old kernels lack it for IPv6 and work without
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}
		})
		if cerr != nil {
			return cerr
		}
		return err
	}
}
