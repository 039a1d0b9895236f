package codec

import "encoding/binary"

// Has8Bit reports whether the content has an octet above 127, so that only a server with
// 8BITMIME is sure to take it (RFC 6152).
func (c *Content) Has8Bit() bool {
	for _, segment := range c.segments {
		if Has8Bit(segment.B) {
			return true
		}
	}
	return false
}

// HeaderHas8Bit reports whether the header section has an octet above 127, so that only a
// server with SMTPUTF8 is sure to take it (RFC 6532). The headers of the parts of a body
// are not looked at.
func (c *Content) HeaderHas8Bit() bool {
	length := 0 // of the line so far
	for _, segment := range c.segments {
		for _, b := range segment.B {
			switch {
			case b > 127:
				return true
			case b == '\n' && length == 0:
				return false
			case b == '\n':
				length = 0
			case b != '\r':
				length++
			}
		}
	}
	return false
}

// Has8Bit reports whether b has an octet above 127.
func Has8Bit(b []byte) bool {
	const high = 0x8080808080808080
	for ; len(b) >= 32; b = b[32:] {
		if (binary.LittleEndian.Uint64(b)|binary.LittleEndian.Uint64(b[8:])|
			binary.LittleEndian.Uint64(b[16:])|binary.LittleEndian.Uint64(b[24:]))&high != 0 {
			return true
		}
	}
	for _, c := range b {
		if c > 127 {
			return true
		}
	}
	return false
}
