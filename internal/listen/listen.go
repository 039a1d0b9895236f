// Package listen has what servers of TCP and unix sockets share that are no event loops:
// what an address to listen on means, and the loop that accepts.
package listen

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// Network returns the network for net.Listen at "host:port": "tcp4" for an IPv4 address and
// "tcp6" for an IPv6 one, so that 0.0.0.0 takes IPv4 only and [::] IPv6 only, and both can
// listen on one port. For a name it is "tcp".
func Network(address string) string {
	at, err := netip.ParseAddrPort(address)
	switch {
	case err != nil:
		return "tcp"
	case at.Addr().Unmap().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// pause is how long accepting pauses after a failure such as too many open files.
const pause = 100 * time.Millisecond

// Accept calls serve for each connection of ln, one after the other, until ln is closed.
// serve owns the connection and must not wait. failed, which may be nil, is told of each
// failure; Accept pauses 100 ms after it.
func Accept(ln net.Listener, failed func(error), serve func(net.Conn)) {
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			serve(c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			if failed != nil {
				failed(err)
			}
			time.Sleep(pause)
		}
	}
}
