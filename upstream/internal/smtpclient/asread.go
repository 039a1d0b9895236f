package smtpclient

import "bytes"

// A server that does not know BDAT reads the content after it as commands. Then a line of
// the content may have it take a message: what comes after that line, for the recipients of
// the envelope or of other lines.

// takers are the commands by which a server takes a message (RFC 5321, RFC 3030, RFC 4468).
var takers = [][]byte{[]byte("DATA"), []byte("BDAT"), []byte("BURL")}

// sentTaker reports whether a line of the content that has left begins with one of takers,
// in any case, after blanks or not: servers differ in what they pass over. Of content that
// is not kept it is not known.
func (c *Conn) sentTaker() bool {
	var word [5]byte // the first word of the line, as far as it matters
	n := 0           // octets of word; all of them: the line has none of takers
	taker := func() bool {
		for _, verb := range takers {
			if bytes.EqualFold(word[:n], verb) {
				return true
			}
		}
		return false
	}
	if c.segment > c.Exchange.Content.NumSegments() {
		return true
	}
	for i := range c.segment {
		for _, b := range c.Exchange.Content.Segment(i) {
			switch blank, end := b == ' ' || b == '\t', b == '\n' || b == '\r'; {
			case end, blank && n > 0:
				if taker() {
					return true
				}
				if n = len(word); end {
					n = 0
				}
			case !blank && n < len(word):
				word[n] = b
				n++
			}
		}
	}
	return taker()
}
