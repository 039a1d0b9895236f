package codec

import "bytes"

// CheckText returns ErrBareLF or ErrBareCR if the content has an LF without a
// CR or a CR without an LF, as content that is not BINARYMIME must not (RFC
// 3030 section 3, RFC 5321 section 2.3.8). DataDecoder has checked what it
// decoded; this is for content that came in chunks.
func (c *Content) CheckText() error {
	afterCR := false
	for _, segment := range c.segments {
		b := segment.B
		for len(b) > 0 {
			if afterCR != (b[0] == '\n') {
				if afterCR {
					return ErrBareCR
				}
				return ErrBareLF
			}
			if afterCR {
				b = b[1:]
			}
			line, rest, found := cutByte(b, '\r')
			if bytes.IndexByte(line, '\n') >= 0 {
				return ErrBareLF
			}
			afterCR, b = found, rest
		}
	}
	if afterCR {
		return ErrBareCR
	}
	return nil
}

// Normaliser appends content that came in chunks, with CRLF in place of each bare CR and
// bare LF, as DataDecoder does with the setting for it. The zero value is ready for
// content of any size.
type Normaliser struct {
	// Limit is the most octets that the content may have; 0 or less means no limit.
	Limit int64

	afterCR bool // the last octet was a CR, whose LF may follow
}

// Append adds the next octets. The content does not depend on how they are cut. Errors:
// ErrTooBig, ErrBudget. It does not allocate.
func (n *Normaliser) Append(b []byte, c *Content) error {
	for len(b) > 0 {
		if n.afterCR {
			n.afterCR = false
			if err := n.add(crlf, c); err != nil {
				return err
			}
			if b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			return n.add(b, c)
		}
		if err := n.add(b[:i], c); err != nil {
			return err
		}
		if n.afterCR = b[i] == '\r'; !n.afterCR {
			if err := n.add(crlf, c); err != nil {
				return err
			}
		}
		b = b[i+1:]
	}
	return nil
}

// End is to be called after the last Append: the last octet may have been a CR.
func (n *Normaliser) End(c *Content) error {
	if !n.afterCR {
		return nil
	}
	n.afterCR = false
	return n.add(crlf, c)
}

func (n *Normaliser) add(b []byte, c *Content) error {
	if n.Limit > 0 && c.Size()+int64(len(b)) > n.Limit {
		return ErrTooBig
	}
	return c.Append(b)
}
