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
