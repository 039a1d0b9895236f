package dial

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// socketOptions returns the net.Dialer.Control that sets what package net does
// not: the user timeout (RFC 5482), and, for a socket that is bound to an
// address, that its port is chosen at connect time, so that the number of
// connections from one address is not limited to the number of ports.
func socketOptions(bound bool) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
			if bound { // old kernels do not have it for IPv6: they work all the same
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}
		})
		if cerr != nil {
			return cerr
		}
		return err
	}
}
