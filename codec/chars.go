package codec

import (
	"bytes"
	"unicode/utf8"
)

// Character classes of the grammars, as bits of charClass.
const (
	classAtext   = 1 << iota // RFC 5322 section 3.2.3
	classLabel               // let-dig, hyphen, and the underscore that real host names have
	classXchar               // RFC 3461 section 4, without the "+" of a hexchar
	classKeyword             // RFC 5321 section 4.1.2, esmtp-keyword
	classHex                 // hexadecimal digit of either case
	classDigit
)

var charClass = buildCharClass()

func buildCharClass() (t [256]uint8) {
	for c := range 256 {
		var k uint8
		digit := c >= '0' && c <= '9'
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if digit {
			k |= classDigit
		}
		if digit || letter {
			k |= classAtext | classLabel | classKeyword
		}
		if digit || letter && c|0x20 <= 'f' {
			k |= classHex
		}
		if c > ' ' && c < 0x7f && c != '+' && c != '=' {
			k |= classXchar
		}
		t[c] = k
	}
	for _, c := range "!#$%&'*+-/=?^_`{|}~" {
		t[c] |= classAtext
	}
	t['-'] |= classLabel | classKeyword
	t['_'] |= classLabel
	return t
}

func isClass(c byte, class uint8) bool { return charClass[c]&class != 0 }

// allOf reports whether b has only characters of the class.
func allOf(b []byte, class uint8) bool {
	for _, c := range b {
		if charClass[c]&class == 0 {
			return false
		}
	}
	return true
}

func allASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

// upperWord is the longest keyword or verb that upperInto folds.
const upperWord = 12

// upperInto folds an ASCII word to upper case in buf, so that a switch can
// look at it without an allocation. A longer word gives the empty slice.
func upperInto(buf *[upperWord]byte, word []byte) []byte {
	if len(word) > len(buf) {
		return nil
	}
	for i, c := range word {
		buf[i] = upper(c)
	}
	return buf[:len(word)]
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// skipSpace cuts white space off the start of b.
func skipSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	return b
}

// trimRightSpace cuts white space off the end of b.
func trimRightSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// cutWord parts b at its first white space: the word, and what follows
// without leading white space.
func cutWord(b []byte) (word, rest []byte) {
	for i, c := range b {
		if isSpace(c) {
			return b[:i], skipSpace(b[i:])
		}
	}
	return b, nil
}

// cutByte is bytes.Cut for one octet, which is the cheaper search.
func cutByte(b []byte, sep byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}
