package codec

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"xoauth2-proxy/internal/hint"
)

// EnhancedCode is an enhanced status code (RFC 3463). The zero value means
// that there is none.
type EnhancedCode [3]uint16

// String returns the code as on the wire, such as "5.7.8".
func (e EnhancedCode) String() string { return string(e.appendTo(nil)) }

// IsZero reports whether there is no enhanced code.
func (e EnhancedCode) IsZero() bool { return e == EnhancedCode{} }

func (e EnhancedCode) appendTo(dst []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(e[0]), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, uint64(e[1]), 10)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, uint64(e[2]), 10)
}

// Reply is one SMTP reply (RFC 5321 section 4.2), ours or the upstream's.
type Reply struct {
	Code     int // reply code, three digits
	Enhanced EnhancedCode
	Text     string  // no CR; '\n' parts the lines of a multiline reply
	Hint     hint.ID // the entry of the catalogue that explains it
}

// IsZero reports whether there is no reply.
func (r Reply) IsZero() bool { return r.Code == 0 }

// Positive reports whether the command succeeded or may go on (2yz, 3yz).
func (r Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Transient reports whether the client may try again later (4yz).
func (r Reply) Transient() bool { return r.Code >= 400 && r.Code < 500 }

// Permanent reports whether the client must not repeat the command (5yz).
func (r Reply) Permanent() bool { return r.Code >= 500 && r.Code < 600 }

// maxReplyLine is the longest line of a reply with its code and CRLF, in octets (RFC 5321
// section 4.5.3.1.5).
const maxReplyLine = 512

// AppendTo appends the wire form to dst: each line with the code, the enhanced
// code (RFC 2034 section 4) and CRLF, all but the last with a hyphen after
// the code. A CR or NUL in Text becomes a space, so that no text of a provider
// can end a line. A line of more than 512 octets goes on in further lines.
func (r Reply) AppendTo(dst []byte) []byte {
	for text, more := r.Text, true; more; {
		var line string
		line, text, more = strings.Cut(text, "\n")
		for folded := true; folded; {
			var piece string
			piece, line, folded = r.fold(line)
			dst = r.appendLine(dst, piece, !more && !folded)
		}
	}
	return dst
}

// fold cuts off what fits one line: at the last space, which the line end stands for, or
// else within a word, but not within a character of UTF-8. more says that there is a rest.
func (r *Reply) fold(line string) (piece, rest string, more bool) {
	most := maxReplyLine - len("550 \r\n")
	if !r.Enhanced.IsZero() {
		var buf [len("5.999.999")]byte
		most -= len(r.Enhanced.appendTo(buf[:0])) + len(" ")
	}
	if len(line) <= most {
		return line, "", false
	}
	if i := strings.LastIndexByte(line[:most+1], ' '); i > 0 {
		return line[:i], line[i+1:], true
	}
	for i := most; i > most-utf8.UTFMax; i-- {
		if utf8.RuneStart(line[i]) {
			most = i
			break
		}
	}
	return line[:most], line[most:], true
}

// appendLine appends one line of the reply.
func (r *Reply) appendLine(dst []byte, line string, last bool) []byte {
	dst = strconv.AppendInt(dst, int64(r.Code), 10)
	if last {
		dst = append(dst, ' ')
	} else {
		dst = append(dst, '-')
	}
	if !r.Enhanced.IsZero() {
		dst = r.Enhanced.appendTo(dst)
		if line != "" {
			dst = append(dst, ' ')
		}
	}
	start := len(dst)
	dst = append(dst, line...)
	if strings.IndexByte(line, '\r') >= 0 || strings.IndexByte(line, 0) >= 0 {
		blank(dst[start:])
	}
	return append(dst, crlf...)
}

// blank replaces CR and NUL by spaces.
func blank(b []byte) {
	for i, c := range b {
		if c == '\r' || c == 0 {
			b[i] = ' '
		}
	}
}

// Printable returns the text of a reply with a question mark in place of each character
// that is neither printable nor HT nor, between lines, LF. Characters beyond ASCII stay
// where keepUTF8 is true: only a client of SMTPUTF8 expects them (RFC 6531 section 3.7.4.2).
func Printable(text string, keepUTF8 bool) string {
	return strings.Map(func(c rune) rune {
		switch {
		case ' ' <= c && c <= '~', c == '\t', c == '\n':
		case c <= unicode.MaxASCII, c == unicode.ReplacementChar, !keepUTF8 || !unicode.IsGraphic(c):
			return '?'
		}
		return c
	}, text)
}

// String returns the reply as one line for logs, its lines parted by " / ".
func (r Reply) String() string {
	if r.IsZero() {
		return "no reply"
	}
	b := strconv.AppendInt(nil, int64(r.Code), 10)
	if !r.Enhanced.IsZero() {
		b = r.Enhanced.appendTo(append(b, ' '))
	}
	if r.Text != "" {
		b = append(b, ' ')
		b = append(b, strings.ReplaceAll(r.Text, "\n", " / ")...)
	}
	return string(b)
}
