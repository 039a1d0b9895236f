package account

import (
	"unicode"
	"unicode/utf8"
)

// MaxLogin is the length of the longest login name in octets: a local part of
// 64, "@", and a domain of 255 (RFC 5321 section 4.5.3.1).
const MaxLogin = 64 + 1 + 255

// FoldLogin returns the form of a login name under which two names that differ
// in case only are the same: ASCII letters in lower case, any other letter as
// the first one of its Unicode simple case folding. It is a key, not a name to
// show.
func FoldLogin(login string) string {
	return string(appendFold(make([]byte, 0, len(login)), []byte(login)))
}

// appendFold appends the folded form of login to dst; it is never longer than
// login, since of the equivalent runes it takes the smallest (or its ASCII
// lower case). Octets that are not UTF-8 stay as they are.
func appendFold(dst, login []byte) []byte {
	for i := 0; i < len(login); {
		if c := login[i]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(login[i:])
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, login[i])
		} else {
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += n
	}
	return dst
}

// foldRune returns the representative of the runes equal to r under simple
// case folding.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' { // the Kelvin sign is a k
		least += 'a' - 'A'
	}
	return least
}
