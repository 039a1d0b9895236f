package codec

// ipv6Tag starts an IPv6 address literal (RFC 5321 section 4.1.3).
const ipv6Tag = "IPV6:"

// validLiteral checks the inside of an address literal: an IPv4 address, or an
// IPv6 address after its tag. No other tag has been registered.
func validLiteral(b []byte) bool {
	if len(b) > len(ipv6Tag) {
		var buf [upperWord]byte
		if string(upperInto(&buf, b[:len(ipv6Tag)])) == ipv6Tag {
			return validIPv6(b[len(ipv6Tag):])
		}
	}
	return validIPv4(b)
}

// validIPv4 checks a dotted quad of decimal numbers without leading zeros.
func validIPv4(b []byte) bool {
	for part := range 4 {
		n, i := 0, 0
		for i < len(b) && i < 3 && isClass(b[i], classDigit) {
			n = n*10 + int(b[i]-'0')
			i++
		}
		if i == 0 || n > 255 || i > 1 && b[0] == '0' {
			return false
		}
		if b = b[i:]; part == 3 {
			break
		}
		if len(b) == 0 || b[0] != '.' {
			return false
		}
		b = b[1:]
	}
	return len(b) == 0
}

// validIPv6 checks the text form of RFC 4291 section 2.2, without a zone.
func validIPv6(b []byte) bool {
	groups, elided := 0, false
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		elided = true
		b = b[2:]
	}
	for len(b) > 0 {
		i := 0
		for i < len(b) && i < 4 && isClass(b[i], classHex) {
			i++
		}
		if i < len(b) && b[i] == '.' { // the last 32 bits as a dotted quad
			groups += 2
			return validIPv4(b) && fillsIPv6(groups, elided)
		}
		if i == 0 {
			return false
		}
		groups++
		if b = b[i:]; len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return false
		}
		if b = b[1:]; b[0] == ':' {
			if elided {
				return false
			}
			elided = true
			b = b[1:]
		}
	}
	return fillsIPv6(groups, elided)
}

// fillsIPv6 reports whether that many groups make an address; "::" stands for
// at least one more.
func fillsIPv6(groups int, elided bool) bool {
	if elided {
		return groups < 8
	}
	return groups == 8
}
