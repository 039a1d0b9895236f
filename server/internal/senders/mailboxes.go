package senders

import (
	"bytes"
	"unicode/utf8"
)

// reader reads an address-list (RFC 5322 section 3.4, groups as of RFC 6854).
type reader struct {
	b    []byte
	list []string
}

// mailboxes returns the mailboxes of the body of a From field, their local parts without
// quotes. ok is false if the body is malformed, or has none.
func mailboxes(body []byte) (list []string, ok bool) {
	if !utf8.Valid(body) {
		return nil, false
	}
	r := reader{b: body}
	return r.list, r.addresses(false) && len(r.b) == 0 && len(r.list) > 0
}

// first returns the first octet of what is left, 0 if nothing is.
func (r *reader) first() byte {
	if len(r.b) == 0 {
		return 0
	}
	return r.b[0]
}

// take takes c off, if it is the first octet.
func (r *reader) take(c byte) bool {
	if r.first() != c || len(r.b) == 0 {
		return false
	}
	r.b = r.b[1:]
	return true
}

// addresses reads addresses up to the end, or to the end of a group, which may be empty.
func (r *reader) addresses(group bool) bool {
	if !r.space() {
		return false
	}
	if group && r.first() == ';' {
		return true
	}
	for {
		if !r.address(group) || !r.space() {
			return false
		}
		if !r.take(',') {
			return true
		}
	}
}

// address reads a mailbox or a group.
func (r *reader) address(group bool) bool {
	for words := 0; ; words++ {
		if !r.space() {
			return false
		}
		switch r.first() {
		case '<':
			r.b = r.b[1:]
			return r.space() && r.mailbox() && r.space() && r.take('>')
		case ':':
			r.b = r.b[1:]
			return words > 0 && !group && r.addresses(true) && r.take(';')
		}
		word := r.word()
		switch {
		case word == nil:
			return false
		case r.first() == '@':
			return words == 0 && r.domain(word)
		}
	}
}

// mailbox reads an addr-spec.
func (r *reader) mailbox() bool {
	local := r.word()
	return local != nil && r.domain(local)
}

// word reads an atom, which may have dots, or a quoted string with its quotes. It returns
// nil if there is none.
func (r *reader) word() []byte {
	n := 0
	if r.first() == '"' {
		n = quotedLen(r.b)
	} else {
		for n < len(r.b) && (isAtext(r.b[n]) || r.b[n] == '.') {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	word := r.b[:n]
	r.b = r.b[n:]
	return word
}

// quotedLen returns the length of the quoted string that b begins with; 0 if it is
// malformed.
func quotedLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i++; i == len(b) || b[i] < ' ' || b[i] > '~' {
				return 0
			}
		case c == '\r' || c == '\n' || c == '\t': // folding
		case c < ' ' || c == 0x7f:
			return 0
		}
	}
	return 0
}

// domain reads "@" and a domain, and adds the mailbox. What looks like an encoded-word (RFC
// 2047) in a local part is refused: programs that decode it would see another address.
func (r *reader) domain(local []byte) bool {
	if !r.take('@') || bytes.Contains(local, []byte("=?")) || bytes.ContainsAny(local, "\r\n\t") {
		return false
	}
	n := 0
	if r.first() == '[' {
		if n = bytes.IndexByte(r.b, ']') + 1; n == 0 || bytes.ContainsAny(r.b[1:n-1], "[\\@ \t\r\n") {
			return false
		}
	} else {
		for n < len(r.b) && (isAtext(r.b[n]) || r.b[n] == '.') {
			n++
		}
	}
	if n == 0 {
		return false
	}
	r.list = append(r.list, unquoted(local)+"@"+string(r.b[:n]))
	r.b = r.b[n:]
	return true
}

// space takes white space and comments off. A comment with "@" in it is refused: programs
// that do not know comments would see an address.
func (r *reader) space() bool {
	for len(r.b) > 0 {
		switch r.b[0] {
		case ' ', '\t', '\r', '\n':
			r.b = r.b[1:]
		case '(':
			if !r.comment() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

// comment takes a comment off, with those in it.
func (r *reader) comment() bool {
	depth := 0
	for i := 0; i < len(r.b); i++ {
		switch c := r.b[i]; c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				r.b = r.b[i+1:]
				return true
			}
		case '\\':
			i++
		case '@':
			return false
		}
	}
	return false
}
