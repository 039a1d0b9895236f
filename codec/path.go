package codec

import (
	"bytes"
	"unicode/utf8"
)

// Caps for paths in octets. RFC 5321 section 4.5.3.1 asks for 64, 255 and 256
// at least. Local parts made by VERP or SRS go beyond 64 in practice, so the
// providers judge those.
const (
	maxLocalPart = 256
	maxDomain    = 255
	maxLabel     = 63
)

// cutPath takes "FROM:" or "TO:" (prefix, matched without regard to case) and
// the path after it off args. raw is the path without its angle brackets, and
// empty for "<>"; params starts with the first parameter. errPath tells of a
// path that does not end.
func cutPath(args []byte, prefix string, errPath error) (raw, params []byte, err error) {
	if len(args) < len(prefix) {
		return nil, nil, ErrArgSyntax
	}
	for i := range len(prefix) {
		if upper(args[i]) != prefix[i] {
			return nil, nil, ErrArgSyntax
		}
	}
	b := skipSpace(args[len(prefix):])
	if len(b) == 0 {
		return nil, nil, ErrArgSyntax
	}
	if b[0] != '<' {
		raw, params = cutWord(b)
		return raw, params, nil
	}
	end := closingBracket(b)
	if end < 0 {
		return nil, nil, errPath
	}
	params = b[end+1:]
	if len(params) > 0 && !isSpace(params[0]) {
		return nil, nil, ErrArgSyntax
	}
	return b[1:end], skipSpace(params), nil
}

// closingBracket returns the index of the first ">" outside of a quoted
// string, or -1.
func closingBracket(b []byte) int {
	end := bytes.IndexByte(b, '>')
	if end < 0 || bytes.IndexByte(b[:end], '"') < 0 {
		return end
	}
	quoted := false
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted {
				i++
			}
		case '>':
			if !quoted {
				return i
			}
		}
	}
	return -1
}

func isPostmaster(b []byte) bool {
	var buf [upperWord]byte
	return string(upperInto(&buf, b)) == "POSTMASTER"
}

// parseMailbox checks [source-route] mailbox (RFC 5321 section 4.1.2) and
// returns the mailbox. Non-ASCII characters are taken as in RFC 6531 section
// 3.3 and reported. Dots in an unquoted local part may stand anywhere: such
// mailboxes exist, and it is for the provider to refuse them.
func parseMailbox(b []byte) (mailbox []byte, nonASCII, ok bool) {
	if b, ok = cutSourceRoute(b); !ok {
		return nil, false, false
	}
	at := localPartLen(b)
	if at <= 0 || at > maxLocalPart || at == len(b) || b[at] != '@' || !validDomain(b[at+1:]) {
		return nil, false, false
	}
	if nonASCII = !allASCII(b); nonASCII && !utf8.Valid(b) {
		return nil, false, false
	}
	return b, nonASCII, true
}

// cutSourceRoute strips "@a,@b:" (RFC 5321 appendix C) off a path.
func cutSourceRoute(b []byte) (rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '@' {
		return b, true
	}
	for len(b) > 0 && b[0] == '@' {
		end := bytes.IndexAny(b, ",:")
		if len(b) > 1 && b[1] == '[' { // colons inside of an address literal
			if end = bytes.IndexByte(b, ']') + 1; end == 0 {
				return nil, false
			}
		}
		if end < 0 || end == len(b) || !validDomain(b[1:end]) {
			return nil, false
		}
		sep := b[end]
		b = b[end+1:]
		switch sep {
		case ':':
			return b, true
		case ',':
		default:
			return nil, false
		}
	}
	return nil, false
}

// localPartLen returns the length of the local part at the start of b, or -1
// if there is none.
func localPartLen(b []byte) int {
	if len(b) > 0 && b[0] == '"' {
		return quotedLen(b)
	}
	for i, c := range b {
		if !isClass(c, classAtext) && c != '.' && c < utf8.RuneSelf {
			return i
		}
	}
	return len(b)
}

// quotedLen returns the length of the quoted string at the start of b (RFC
// 5321 section 4.1.2, Quoted-string), or -1 if it is malformed.
func quotedLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
			if i == len(b) || b[i] < ' ' || b[i] > '~' {
				return -1
			}
		case c < ' ' || c == 0x7f:
			return -1
		}
	}
	return -1
}

// validDomain checks a domain or address literal.
func validDomain(b []byte) bool {
	if len(b) == 0 || len(b) > maxDomain {
		return false
	}
	if b[0] == '[' {
		return len(b) > 2 && b[len(b)-1] == ']' && validLiteral(b[1:len(b)-1])
	}
	for {
		end := bytes.IndexByte(b, '.')
		if end < 0 {
			return validLabel(b)
		}
		if !validLabel(b[:end]) {
			return false
		}
		b = b[end+1:]
	}
}

// validLabel checks one label of a domain. The cap holds for the encoded form
// of a label, so it is not applied to a U-label.
func validLabel(b []byte) bool {
	if len(b) == 0 || b[0] == '-' || b[len(b)-1] == '-' {
		return false
	}
	ascii := true
	for _, c := range b {
		if c >= utf8.RuneSelf {
			ascii = false
		} else if !isClass(c, classLabel) {
			return false
		}
	}
	return !ascii || len(b) <= maxLabel
}
