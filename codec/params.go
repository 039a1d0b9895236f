package codec

import (
	"math"
	"unicode/utf8"
)

// Caps for parameter values on the wire (RFC 3461 sections 4.2 and 4.4).
const (
	maxEnvID = 100
	maxORcpt = 500
)

// param is one ESMTP parameter.
type param struct {
	keyword, value []byte
	hasValue       bool
}

// cutParam takes the first parameter off b, which starts with it.
func cutParam(b []byte) (p param, rest []byte, err error) {
	word, rest := cutWord(b)
	p.keyword, p.value, p.hasValue = cutByte(word, '=')
	if len(p.keyword) == 0 || p.keyword[0] == '-' || !allOf(p.keyword, classKeyword) {
		return param{}, nil, ErrArgSyntax
	}
	return p, rest, nil
}

// parseSize reads 1 to 20 digits (RFC 1870 section 4), the largest of which
// are above int64 and mean math.MaxInt64.
func parseSize(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 20 || !allOf(b, classDigit) {
		return 0, false
	}
	for _, c := range b {
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return math.MaxInt64, true
		}
		n = n*10 + d
	}
	return n, true
}

func parseBody(b []byte) Body {
	var buf [upperWord]byte
	switch string(upperInto(&buf, b)) {
	case "7BIT":
		return Body7Bit
	case "8BITMIME":
		return Body8BitMIME
	case "BINARYMIME":
		return BodyBinaryMIME
	}
	return BodyUnset
}

func parseRet(b []byte) DSNRet {
	var buf [upperWord]byte
	switch string(upperInto(&buf, b)) {
	case "FULL":
		return RetFull
	case "HDRS":
		return RetHeaders
	}
	return RetUnset
}

// parseNotify returns 0 for a malformed value.
func parseNotify(b []byte) (set DSNNotify) {
	for more := true; more; {
		var word []byte
		word, b, more = cutByte(b, ',')
		var buf [upperWord]byte
		switch string(upperInto(&buf, word)) {
		case "NEVER":
			set |= NotifyNever
		case "SUCCESS":
			set |= NotifySuccess
		case "FAILURE":
			set |= NotifyFailure
		case "DELAY":
			set |= NotifyDelay
		default:
			return 0
		}
	}
	if set&NotifyNever != 0 && set != NotifyNever {
		return 0
	}
	return set
}

// validXtext checks xtext (RFC 3461 section 4) of at least one character.
// Hexadecimal digits of either case are accepted, since senders differ.
func validXtext(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case isClass(c, classXchar):
		case c == '+' && i+2 < len(b) && isClass(b[i+1], classHex) && isClass(b[i+2], classHex):
			i += 2
		default:
			return false
		}
	}
	return true
}

// validORcpt checks "addr-type;xtext" (RFC 3461 section 4.2). In an SMTPUTF8
// transaction the type utf-8 may have unencoded non-ASCII characters (RFC 6533
// section 3).
func validORcpt(b []byte, utf8OK bool) bool {
	kind, addr, ok := cutByte(b, ';')
	if !ok || len(b) > maxORcpt || len(kind) == 0 || !allOf(kind, classAtext) {
		return false
	}
	var buf [upperWord]byte
	if !utf8OK || string(upperInto(&buf, kind)) != "UTF-8" {
		return validXtext(addr)
	}
	if len(addr) == 0 || !utf8.Valid(addr) {
		return false
	}
	for len(addr) > 0 { // the ASCII runs are xtext
		run := 0
		for run < len(addr) && addr[run] < utf8.RuneSelf {
			run++
		}
		if run > 0 && !validXtext(addr[:run]) {
			return false
		}
		for addr = addr[run:]; len(addr) > 0 && addr[0] >= utf8.RuneSelf; {
			addr = addr[1:]
		}
	}
	return true
}
