// Package listenaddr says what an address to listen on means.
package listenaddr

import "net/netip"

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
