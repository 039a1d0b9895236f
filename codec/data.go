package codec

import "bytes"

// dataState is where a DataDecoder stands in the wire form; doc.go explains
// the states.
type dataState uint8

const (
	dataLineStart dataState = iota
	dataAfterDot
	dataAfterDotCR
	dataInLine
	dataAfterCR
	dataAtEnd
)

// DataDecoder takes the wire form of DATA apart (RFC 5321 section 4.5.2): it
// removes the dots that were added and finds the end of data, CRLF.CRLF on the
// wire or ".CRLF" at the very beginning, and nothing else. The zero value is
// ready for content of any size. It is not safe for concurrent use.
type DataDecoder struct {
	// Normalise turns each bare CR and bare LF into CRLF, instead of refusing
	// the content. Lines that come to be this way are still content: they do
	// not end the data, and their dots stay. Reset keeps it.
	Normalise bool

	state dataState
	err   error
	size  int64
	limit int64
}

// Reset makes the decoder ready for the next message, of at most limit octets
// after decoding; 0 or less means no limit.
func (d *DataDecoder) Reset(limit int64) {
	*d = DataDecoder{Normalise: d.Normalise, limit: limit}
}

// Err returns the first error in the content up to here, in the order of the
// octets: nil, ErrBareLF, ErrBareCR, ErrTooBig or ErrBudget.
func (d *DataDecoder) Err() error { return d.err }

// Decode decodes the next octets of the wire form into c. n of them belong to
// the content; done is true when they include the end of data, so that a
// command may follow at src[n:]. Without it n is len(src). The results do not
// depend on how the wire form is cut.
//
// After an error it goes on to the end of data, and no longer touches c: the
// owner may release it at once and pass nil. It does not allocate.
func (d *DataDecoder) Decode(src []byte, c *Content) (n int, done bool) {
	for n < len(src) {
		switch b := src[n]; d.state {
		case dataLineStart:
			d.state = dataInLine
			if b == '.' {
				d.state = dataAfterDot
				n++
			}
		case dataAfterDot:
			d.state = dataInLine
			if b == '\r' {
				d.state = dataAfterDotCR
				n++
			} else if b == '\n' && d.Normalise {
				d.append(dot, c)
			}
		case dataAfterDotCR:
			if b == '\n' {
				d.state = dataAtEnd
				return n + 1, true
			}
			d.state = dataInLine
			if d.Normalise {
				d.append(dot, c)
			}
			d.bareCR(c)
		case dataAfterCR:
			d.state = dataInLine
			if b == '\n' {
				d.state = dataLineStart
				d.append(crlf, c)
				n++
			} else {
				d.bareCR(c)
			}
		case dataInLine:
			n += d.decodeLines(src[n:], c)
		case dataAtEnd:
			return n, true
		}
	}
	return n, d.state == dataAtEnd
}

// decodeLines decodes from within a line up to the next dot that starts a
// line, bare CR, or the end of src, and returns the number of octets it took.
// It looks at each CR; that there are as many LFs tells that all are with one.
func (d *DataDecoder) decodeLines(src []byte, c *Content) int {
	lines, i := 0, 0
	for {
		k := bytes.IndexByte(src[i:], '\r')
		if k < 0 {
			d.appendLines(src, lines, c)
			return len(src)
		}
		i += k
		if i+1 == len(src) {
			d.appendLines(src[:i], lines, c)
			d.state = dataAfterCR
			return len(src)
		}
		if src[i+1] != '\n' {
			d.appendLines(src[:i], lines, c)
			d.bareCR(c)
			return i + 1
		}
		lines++
		if i += 2; i == len(src) || src[i] == '.' {
			d.appendLines(src[:i], lines, c)
			d.state = dataLineStart
			return i
		}
	}
}

// appendLines appends b, in which there are no bare CRs and that many CRLFs.
func (d *DataDecoder) appendLines(b []byte, lines int, c *Content) {
	if d.err != nil {
		return
	}
	for bare := bytes.Count(b, lf) - lines; bare > 0; bare-- {
		i := bareLF(b)
		d.append(b[:i], c)
		b = b[i+1:]
		if !d.Normalise {
			d.fail(ErrBareLF)
			return
		}
		d.append(crlf, c)
	}
	d.append(b, c)
}

// bareLF returns the index of the first LF that no CR comes before; there is
// one.
func bareLF(b []byte) int {
	for i := 0; ; i++ {
		i += bytes.IndexByte(b[i:], '\n')
		if i == 0 || b[i-1] != '\r' {
			return i
		}
	}
}

// bareCR takes a CR that no LF follows.
func (d *DataDecoder) bareCR(c *Content) {
	if d.Normalise {
		d.append(crlf, c)
		return
	}
	d.fail(ErrBareCR)
}

// append adds decoded octets, unless there was an error.
func (d *DataDecoder) append(b []byte, c *Content) {
	if d.err != nil {
		return
	}
	d.size += int64(len(b))
	if d.limit > 0 && d.size > d.limit {
		d.fail(ErrTooBig)
		return
	}
	if err := c.Append(b); err != nil {
		d.fail(err)
	}
}

func (d *DataDecoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}
