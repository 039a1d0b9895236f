// Package header reads the header section of a content (RFC 5322 section 2.2).
package header

import (
	"bytes"

	"xoauth2-proxy/codec"
)

// Section walks over the header section of a content, field by
// field. A field within one segment is not copied.
type Section struct {
	content *codec.Content
	rest    []byte // what was not handed out yet of the octets so far
	next    int    // index of the segment after rest
	left    int    // octets that may still be looked at
	whole   bool
}

// Field is one field of a header section, or lines that are none. It borrows from the
// content: it is valid until the next call of Next, and as long as the content is.
type Field struct {
	// Name is what is in front of the colon, as it is there. It is nil if it is not a
	// field-name, or if there is no colon.
	Name []byte
	// Body is what follows the colon, with its folding, without the CRLF at the end.
	Body []byte
	// Raw is all lines of the field, with their CRLFs.
	Raw []byte
}

// Is reports whether the field has that name, in any case of letters.
func (f *Field) Is(name string) bool {
	return len(f.Name) == len(name) && bytes.EqualFold(f.Name, []byte(name))
}

// Of returns a walk over the header section of c that looks at no more than limit
// octets.
func Of(c *codec.Content, limit int) Section { return Section{content: c, left: limit} }

// Next puts the next field into f. It returns false at the end of the header section, which
// is an empty line or the end of the content, and at the limit. Only a CRLF ends a line.
func (h *Section) Next(f *Field) bool {
	for !h.whole {
		n, known := fieldLen(h.rest)
		switch {
		case known && n == 0:
			h.whole = true
			continue
		case !known && h.more():
			continue
		case !known && h.next < h.content.NumSegments(): // the limit
			return false
		case !known:
			n = len(h.rest)
			if h.whole = true; n == 0 || string(h.rest) == "\r\n" {
				continue
			}
		}
		f.set(h.rest[:n])
		h.rest = h.rest[n:]
		return true
	}
	return false
}

// Whole reports whether Next has come to the end of the header section.
func (h *Section) Whole() bool { return h.whole }

// more adds the next segment, or what the limit allows of it, to the octets.
func (h *Section) more() bool {
	if h.next == h.content.NumSegments() || h.left == 0 {
		return false
	}
	segment := h.content.Segment(h.next)
	if len(segment) > h.left {
		segment = segment[:h.left]
	} else {
		h.next++
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
func (f *Field) set(raw []byte) {
	*f = Field{Raw: raw}
	colon := bytes.IndexByte(raw, ':')
	if colon <= 0 {
		return
	}
	for _, c := range raw[:colon] {
		if c <= ' ' || c > '~' { // RFC 5322 section 2.2
			return
		}
	}
	f.Name, f.Body = raw[:colon], bytes.TrimSuffix(raw[colon+1:], []byte("\r\n"))
}

// fieldLen returns the length of the field that b begins with: a line and those after it
// that begin with white space. It is 0 at the empty line. It is not known if b may end
// within the field.
func fieldLen(b []byte) (n int, known bool) {
	for {
		end := bytes.IndexByte(b[n:], '\n') // much faster than bytes.Index
		if end < 0 {
			return 0, false
		}
		n += end + 1
		switch {
		case n < 2 || b[n-2] != '\r':
			continue
		case n == 2:
			return 0, true
		case n == len(b):
			return 0, false
		case b[n] != ' ' && b[n] != '\t':
			return n, true
		}
	}
}
