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

// WriteDotStuffed writes the content in the wire form of DATA (RFC 5321
// section 4.5.2): a dot added before each dot that starts a line, a CRLF added
// if the content is not empty and does not end in one, and the end of data. A
// line starts behind CRLF only. It writes in pieces that may be small: w
// should be buffered.
func (c *Content) WriteDotStuffed(w io.Writer) error {
	prev2, prev := byte('\r'), byte('\n') // the content starts a line
	for _, seg := range c.segments {
		b := seg.B
		if err := writeStuffed(w, b, prev2, prev); err != nil {
			return err
		}
		if len(b) == 1 {
			prev2, prev = prev, b[0]
		} else if len(b) > 1 {
			prev2, prev = b[len(b)-2], b[len(b)-1]
		}
	}
	if prev2 != '\r' || prev != '\n' {
		if _, err := w.Write(crlf); err != nil {
			return err
		}
	}
	_, err := w.Write(endOfData)
	return err
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
