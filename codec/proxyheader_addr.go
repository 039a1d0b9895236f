package codec

import (
	"math"
	"net/netip"
)

// parsePort reads a decimal number up to 65535 without leading zeros.
func parsePort(b []byte) (uint16, bool) {
	if len(b) == 0 || len(b) > 5 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if !isClass(c, classDigit) {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return uint16(n), n <= math.MaxUint16
}

// parseIPv4 reads a dotted quad. Unlike netip.ParseAddr, which takes a string
// and keeps it in its error, it does not allocate.
func parseIPv4(b []byte) (netip.Addr, bool) {
	if !validIPv4(b) {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4(readIPv4(b)), true
}

// readIPv4 reads a dotted quad that was found valid.
func readIPv4(b []byte) (quad [4]byte) {
	i := 0
	for _, c := range b {
		if c == '.' {
			i++
		} else {
			quad[i] = quad[i]*10 + (c - '0')
		}
	}
	return quad
}

// parseIPv6 reads the text form of an IPv6 address. One that only wraps an
// IPv4 address is given as that.
func parseIPv6(b []byte) (netip.Addr, bool) {
	if !validIPv6(b) {
		return netip.Addr{}, false
	}
	var out [16]byte
	n, gap := 0, -1 // octets read; where "::" stands among them
	for len(b) > 0 {
		if b[0] == ':' {
			if len(b) > 1 && b[1] == ':' {
				gap = n
				b = b[1:]
			}
			b = b[1:]
			continue
		}
		group, i := uint16(0), 0
		for i < len(b) && isClass(b[i], classHex) {
			group = group<<4 | uint16(hexValue(b[i]))
			i++
		}
		if i < len(b) && b[i] == '.' { // the last 32 bits as a dotted quad
			quad := readIPv4(b)
			n += copy(out[n:], quad[:])
			break
		}
		out[n], out[n+1] = byte(group>>8), byte(group)
		n += 2
		b = b[i:]
	}
	if gap >= 0 {
		end := len(out) - (n - gap) // the groups after "::" move to the end
		copy(out[end:], out[gap:n])
		clear(out[gap:end])
	}
	return netip.AddrFrom16(out).Unmap(), true
}

// hexValue is the value of a hexadecimal digit.
func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
