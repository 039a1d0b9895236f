package smtpclient

import (
	"net"
	"net/netip"
)

// Addresses returns those of the connection: ours and the provider's.
func (l *Login) Addresses() (local, remote netip.AddrPort) {
	return addrPort(l.stream.LocalAddr()), addrPort(l.stream.RemoteAddr())
}

// addrPort is the address in the form of its family; not valid if it is none of TCP.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	both := tcp.AddrPort()
	return netip.AddrPortFrom(both.Addr().Unmap().WithZone(""), both.Port())
}

// addressLiteral is the address as a name for EHLO (RFC 5321 section 4.1.3).
func addressLiteral(a net.Addr) string {
	ip := addrPort(a).Addr()
	if !ip.IsValid() {
		ip = netip.IPv4Unspecified()
	}
	if ip.Is4() {
		return "[" + ip.String() + "]"
	}
	return "[IPv6:" + ip.String() + "]"
}
