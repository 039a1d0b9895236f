package header

import (
	"bytes"

	"xoauth2-proxy/codec"
)

const (
	// maxIDHeader is how much of the header a Message-ID is looked for in, in octets.
	maxIDHeader = 32 << 10
	// MaxMessageID is the most octets of a Message-ID that MessageID returns.
	MaxMessageID = 998
)

// MessageID appends to dst the body of the first Message-ID field of the content (RFC 5322
// section 3.6.4), unfolded and without white space around it, and returns the extended dst.
// It appends nothing if the first 32 KiB have no such field. Content that was discarded has
// none.
func MessageID(dst []byte, c *codec.Content) []byte {
	h := Of(c, maxIDHeader)
	var f Field
	for h.Next(&f) {
		if !f.Is("Message-ID") {
			continue
		}
		from := len(dst)
		body := bytes.Trim(f.Body, " \t\r\n")
		for more := true; more; {
			var line []byte
			line, body, more = bytes.Cut(body, []byte("\r\n"))
			dst = append(dst, line...)
		}
		return dst[:min(len(dst), from+MaxMessageID)]
	}
	return dst
}
