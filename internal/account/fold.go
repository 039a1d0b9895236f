package account

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// MaxLogin is the length of the longest login name in octets: a local part of
// 64, "@", and a domain of 255 (RFC 5321 section 4.5.3.1).
const MaxLogin = 64 + 1 + 255

// FoldLogin returns the key of a login name: names with one key are one name, wherever
// they stand. The text is in Unicode's normal form NFC, letters are in lower case one by
// one, and the domain is in A-labels (RFC 5890). A letter beyond ASCII never becomes an
// ASCII letter, as U+017F, U+0130 and U+212A do in other foldings: a name that looks
// foreign is foreign.
func FoldLogin(login string) string {
	var room [MaxLogin]byte
	if folded, ok := appendASCII(room[:0], []byte(login)); ok {
		if string(folded) == login { // most are keys already
			return login
		}
		return string(folded)
	}
	return foldUnicode(login)
}

// appendASCII appends the key of login to dst; ok is false if not all of it is ASCII.
func appendASCII(dst, login []byte) (folded []byte, ok bool) {
	for _, c := range login {
		switch {
		case c >= utf8.RuneSelf:
			return nil, false
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst, true
}

// foldUnicode is FoldLogin of any login. Octets that are not UTF-8 stay as they are.
func foldUnicode(login string) string {
	if len(login) > MaxLogin { // no account has it, and Punycode takes the square of its length
		return login
	}
	key := string(appendNFC(nil, appendLower(nil, appendNFC(nil, []byte(login)))))
	at := strings.LastIndexByte(key, '@')
	if at < 0 {
		return key
	}
	if domain, err := idna.Punycode.ToASCII(key[at+1:]); err == nil {
		return key[:at+1] + domain
	}
	return key
}

// appendLower appends the letters of s in lower case, but for letters whose lower case is
// ASCII though they are not.
func appendLower(dst, s []byte) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		lower := unicode.ToLower(r)
		if r == utf8.RuneError && n == 1 || r >= utf8.RuneSelf && lower < utf8.RuneSelf {
			dst = append(dst, s[:n]...)
		} else {
			dst = utf8.AppendRune(dst, lower)
		}
		s = s[n:]
	}
	return dst
}

// appendNFC appends s in NFC, but for characters beyond ASCII whose normal form is ASCII:
// they stay.
func appendNFC(dst, s []byte) []byte {
	begin := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		if isDisguised(r) {
			dst = append(norm.NFC.Append(dst, s[begin:i]...), s[i:i+n]...)
			begin = i + n
		}
		i += n
	}
	// Append would combine the rest with what is in dst.
	return append(dst, norm.NFC.Bytes(s[begin:])...)
}

// isDisguised reports whether r is beyond ASCII and its normal form is ASCII: KELVIN SIGN,
// GREEK QUESTION MARK and GREEK VARIA.
func isDisguised(r rune) bool { return r == '\u212a' || r == '\u037e' || r == '\u1fef' }
