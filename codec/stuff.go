package codec

import (
	"bytes"
	"io"
)

var (
	lfDot     = []byte("\n.")
	dot       = []byte(".")
	endOfData = []byte(".\r\n")
)

// WriteDotStuffed writes the segments from..to in the wire form of DATA (RFC 5321
// section 4.5.2): a dot added before each dot that starts a line; and where to is
// NumSegments, a CRLF if the content is not empty and does not end in one, and the
// end of data. A line starts after CRLF only. It writes in pieces that may be small:
// w should be buffered.
func (c *Content) WriteDotStuffed(w io.Writer, from, to int) error {
	for i := from; i < to; i++ {
		prev2, prev := c.before(i)
		if err := writeStuffed(w, c.segments[i].B, prev2, prev); err != nil {
			return err
		}
	}
	if to < len(c.segments) {
		return nil
	}
	if prev2, prev := c.before(to); prev2 != '\r' || prev != '\n' {
		if _, err := w.Write(crlf); err != nil {
			return err
		}
	}
	_, err := w.Write(endOfData)
	return err
}

// before returns the two octets before segment i. Content starts a line.
func (c *Content) before(i int) (prev2, prev byte) {
	prev2, prev = '\r', '\n'
	for j := max(0, i-2); j < i; j++ { // a segment may have a single octet
		b := c.segments[j].B
		switch n := len(b); {
		case n == 1:
			prev2, prev = prev, b[0]
		case n > 1:
			prev2, prev = b[n-2], b[n-1]
		}
	}
	return prev2, prev
}

// writeStuffed writes b, which prev2 and prev come before.
func writeStuffed(w io.Writer, b []byte, prev2, prev byte) error {
	start := 0 // what is before it has been written
	stuff := func(i int) error {
		if _, err := w.Write(b[start:i]); err != nil {
			return err
		}
		start = i
		_, err := w.Write(dot)
		return err
	}
	if len(b) > 0 && b[0] == '.' && prev2 == '\r' && prev == '\n' {
		if err := stuff(0); err != nil {
			return err
		}
	}
	for i := 0; ; {
		k := bytes.Index(b[i:], lfDot)
		if k < 0 {
			break
		}
		i += k + 1 // at the dot
		before := prev
		if i >= 2 {
			before = b[i-2]
		}
		if before != '\r' {
			continue
		}
		if err := stuff(i); err != nil {
			return err
		}
	}
	_, err := w.Write(b[start:])
	return err
}
