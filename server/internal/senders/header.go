package senders

import (
	"bytes"

	"xoauth2-proxy/codec"
)

// header walks over the header section of a content (RFC 5322 section 2.2), field by
// field. A field within one segment is not copied.
type header struct {
	content *codec.Content
	rest    []byte // what was not handed out yet of the octets so far
	taken   int    // segments that rest has, or had
	left    int    // octets that may still be looked at
	over    bool   // the header section has ended
}

// field is one field of a header section, or lines that are none. It borrows from the
// content: it is valid until the next call of next, and as long as the content is.
type field struct {
	// name is what is in front of the colon, as it is there. It is nil if it is not a
	// field-name, or if there is no colon.
	name []byte
	// body is what follows the colon, with its folding, without the CRLF at the end.
	body []byte
	// raw is all lines of the field, with their CRLFs.
	raw []byte
}

// is reports whether the field has that name, in any case of letters.
func (f *field) is(name string) bool {
	return len(f.name) == len(name) && bytes.EqualFold(f.name, []byte(name))
}

// newHeader returns a walk over the header section of c that looks at no more than limit
// octets.
func newHeader(c *codec.Content, limit int) header { return header{content: c, left: limit} }

// next puts the next field into f. It returns false at the end of the header section, which
// is an empty line or the end of the content, and at the limit. Only a CRLF ends a line.
func (h *header) next(f *field) bool {
	for !h.over {
		n, known := fieldLen(h.rest)
		switch {
		case known && n == 0:
			h.over = true
			continue
		case !known && h.more():
			continue
		case !known && h.taken < h.content.NumSegments(): // the limit
			return false
		case !known:
			n = len(h.rest)
			if h.over = true; n == 0 {
				continue
			}
		}
		f.set(h.rest[:n])
		h.rest = h.rest[n:]
		return true
	}
	return false
}

// whole reports whether next has come to the end of the header section.
func (h *header) whole() bool { return h.over }

// more adds the next segment, or what the limit allows of it, to the octets.
func (h *header) more() bool {
	if h.taken == h.content.NumSegments() || h.left == 0 {
		return false
	}
	segment := h.content.Segment(h.taken)
	if len(segment) > h.left {
		segment = segment[:h.left]
	} else {
		h.taken++
	}
	h.left -= len(segment)
	if len(h.rest) == 0 {
		h.rest = segment
		return true
	}
	h.rest = append(h.rest[:len(h.rest):len(h.rest)], segment...)
	return true
}

// set takes the lines of a field apart.
func (f *field) set(raw []byte) {
	*f = field{raw: raw}
	colon := bytes.IndexByte(raw, ':')
	if colon <= 0 {
		return
	}
	for _, c := range raw[:colon] {
		if c <= ' ' || c > '~' { // RFC 5322 section 2.2
			return
		}
	}
	f.name, f.body = raw[:colon], bytes.TrimSuffix(raw[colon+1:], []byte("\r\n"))
}

// fieldLen returns the length of the field that b begins with: a line and those after it
// that begin with white space. It is 0 at the empty line. It is not known if b may end
// within the field.
func fieldLen(b []byte) (n int, known bool) {
	for {
		end := bytes.Index(b[n:], []byte("\r\n"))
		if end < 0 {
			return 0, false
		}
		if n == 0 && end == 0 {
			return 0, true
		}
		n += end + 2
		switch {
		case n == len(b):
			return 0, false
		case b[n] != ' ' && b[n] != '\t':
			return n, true
		}
	}
}
