package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
)

// ErrProxyHeader means that a connection did not begin with a valid header of
// the PROXY protocol. Its sender is not a proxy, or the header is damaged: the
// connection is to be closed without a reply.
var ErrProxyHeader = errors.New("codec: malformed PROXY protocol header")

// MaxProxyHeader is the longest header that ParseProxyHeader takes, in octets.
// Version 2 could be 64 KiB long; what proxies send, TLS details of the client
// included, stays far below 4 KiB.
const MaxProxyHeader = 4096

// Sizes and values of the specification (haproxy's proxy-protocol.txt,
// sections 2.1 and 2.2).
const (
	proxyV1Start = "PROXY "
	proxyV2Start = "\r\n\r\n\x00\r\nQUIT\n"
	maxProxyV1   = 107 // octets, with CRLF
	proxyV2Fixed = 16  // signature, version and command, family, length

	proxyV2Local = 0x20 // version 2, command LOCAL
	proxyV2Proxy = 0x21 // version 2, command PROXY

	proxyUnspec     = 0x00
	proxyTCP4       = 0x11
	proxyTCP6       = 0x21
	proxyUnixStream = 0x31

	proxyTypeCRC32C = 0x03
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// noChecksum stands in for the checksum field; as a variable of the
	// function it would be allocated.
	noChecksum [4]byte
)

// ProxyHeader is what a proxy in front of a listener says about a connection.
type ProxyHeader struct {
	// Source is the client's address and port, Destination the address and port
	// that the client connected to. Both are the zero AddrPort (not valid) when
	// the header names none: Local is set, or the client did not come by TCP on
	// IPv4 or IPv6. Then the endpoints of the connection itself count. An
	// IPv4-mapped IPv6 address is given as IPv4, so that rules for IPv4 match it.
	Source, Destination netip.AddrPort
	// Local marks a connection that the proxy made on its own behalf, such as
	// a health check.
	Local bool
}

// ParseProxyHeader reads the header of the PROXY protocol, version 1 or 2, at
// the start of a connection and says how many octets it has. It looks at what
// has arrived so far and answers ErrIncomplete until the header is whole; the
// result does not depend on how the network cut the input. TLVs are skipped,
// but a checksum among them is verified. An invalid header is ErrProxyHeader,
// as soon as that is certain. It allocates nothing.
func ParseProxyHeader(b []byte) (h ProxyHeader, n int, err error) {
	switch {
	case startsWith(b, proxyV1Start):
		return parseProxyV1(b)
	case startsWith(b, proxyV2Start):
		return parseProxyV2(b)
	}
	return ProxyHeader{}, 0, ErrProxyHeader
}

// startsWith reports whether b starts with prefix, as far as it has arrived.
func startsWith(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return string(b[:n]) == prefix[:n]
}

// parseProxyV1 reads a line like "PROXY TCP4 192.0.2.1 198.51.100.7 4021 25".
func parseProxyV1(b []byte) (ProxyHeader, int, error) {
	line := b[:min(len(b), maxProxyV1)]
	cr, lf := bytes.IndexByte(line, '\r'), bytes.IndexByte(line, '\n')
	switch {
	case lf < 0 && len(line) < maxProxyV1 && (cr < 0 || cr == len(line)-1):
		return ProxyHeader{}, 0, ErrIncomplete
	case cr < len(proxyV1Start) || lf != cr+1:
		return ProxyHeader{}, 0, ErrProxyHeader
	}
	h, ok := proxyFields(line[len(proxyV1Start):cr])
	if !ok {
		return ProxyHeader{}, 0, ErrProxyHeader
	}
	return h, lf + 1, nil
}

// proxyFields reads what follows "PROXY " in version 1, without the CRLF.
func proxyFields(line []byte) (h ProxyHeader, ok bool) {
	family, rest, _ := bytes.Cut(line, []byte{' '})
	var parse func([]byte) (netip.Addr, bool)
	switch string(family) {
	case "UNKNOWN": // whatever follows is to be ignored
		return ProxyHeader{}, true
	case "TCP4":
		parse = parseIPv4
	case "TCP6":
		parse = parseIPv6
	default:
		return ProxyHeader{}, false
	}
	var fields [4][]byte // source, destination, their ports
	for i := range fields {
		more := false
		if fields[i], rest, more = bytes.Cut(rest, []byte{' '}); more != (i < len(fields)-1) {
			return ProxyHeader{}, false
		}
	}
	source, ok1 := parse(fields[0])
	destination, ok2 := parse(fields[1])
	sourcePort, ok3 := parsePort(fields[2])
	destinationPort, ok4 := parsePort(fields[3])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return ProxyHeader{}, false
	}
	h.Source = netip.AddrPortFrom(source, sourcePort)
	h.Destination = netip.AddrPortFrom(destination, destinationPort)
	return h, true
}

// parseProxyV2 reads the binary form.
func parseProxyV2(b []byte) (ProxyHeader, int, error) {
	// A wrong octet is refused when it is there, not when the header is whole:
	// the length after it may be wrong too.
	if len(b) > 12 && b[12] != proxyV2Local && b[12] != proxyV2Proxy {
		return ProxyHeader{}, 0, ErrProxyHeader
	}
	addresses := 0 // octets
	if len(b) > 13 && b[12] == proxyV2Proxy {
		switch b[13] {
		case proxyUnspec:
		case proxyTCP4:
			addresses = 2*4 + 2*2
		case proxyTCP6:
			addresses = 2*16 + 2*2
		case proxyUnixStream:
			addresses = 2 * 108
		default: // datagrams among them: they cannot have reached this stream
			return ProxyHeader{}, 0, ErrProxyHeader
		}
	}
	if len(b) < proxyV2Fixed {
		return ProxyHeader{}, 0, ErrIncomplete
	}
	n := proxyV2Fixed + int(binary.BigEndian.Uint16(b[14:]))
	if n > MaxProxyHeader || n < proxyV2Fixed+addresses {
		return ProxyHeader{}, 0, ErrProxyHeader
	}
	if len(b) < n {
		return ProxyHeader{}, 0, ErrIncomplete
	}
	if b[12] == proxyV2Local { // its block is to be discarded, family and all
		return ProxyHeader{Local: true}, n, nil
	}
	if b[13] == proxyUnspec { // where its TLVs begin cannot be known
		return ProxyHeader{}, n, nil
	}
	if !validTLVs(b[:n], proxyV2Fixed+addresses) {
		return ProxyHeader{}, 0, ErrProxyHeader
	}
	return proxyAddresses(b[13], b[proxyV2Fixed:]), n, nil
}

// proxyAddresses reads the address block of version 2.
func proxyAddresses(family byte, b []byte) (h ProxyHeader) {
	switch family {
	case proxyTCP4:
		h.Source = addrPort(netip.AddrFrom4([4]byte(b)), b[8:])
		h.Destination = addrPort(netip.AddrFrom4([4]byte(b[4:])), b[10:])
	case proxyTCP6:
		h.Source = addrPort(netip.AddrFrom16([16]byte(b)).Unmap(), b[32:])
		h.Destination = addrPort(netip.AddrFrom16([16]byte(b[16:])).Unmap(), b[34:])
	}
	return h
}

func addrPort(a netip.Addr, port []byte) netip.AddrPort {
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port))
}

// validTLVs checks that the TLVs fill the header from the given offset to its
// end, and that a checksum among them is the header's.
func validTLVs(header []byte, at int) bool {
	checked := false
	for at < len(header) {
		if len(header)-at < 3 {
			return false
		}
		kind, value := header[at], at+3
		size := int(binary.BigEndian.Uint16(header[at+1:]))
		if at = value + size; at > len(header) {
			return false
		}
		if kind == proxyTypeCRC32C {
			if checked || size != 4 || binary.BigEndian.Uint32(header[value:]) != proxyChecksum(header, value) {
				return false
			}
			checked = true
		}
	}
	return true
}

// proxyChecksum is the CRC32c of the header with zeros in its checksum field,
// which is at the given offset (section 2.2.3).
func proxyChecksum(header []byte, field int) uint32 {
	sum := crc32.Update(0, castagnoli, header[:field])
	sum = crc32.Update(sum, castagnoli, noChecksum[:])
	return crc32.Update(sum, castagnoli, header[field+len(noChecksum):])
}
