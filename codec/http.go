package codec

import "bytes"

// httpVersion is before the version number in a request line (RFC 9112 section
// 3).
var httpVersion = []byte(" HTTP/")

// isHTTP reports whether a line is the request line of HTTP: its first word is
// no verb of SMTP, and either a method of HTTP (RFC 9110 section 9, RFC 5789), in
// any case, or followed by the version somewhere in the line. What follows such
// a line comes from a web page, which a person's browser sends wherever the page
// says.
func isHTTP(line []byte) bool {
	word, _ := cutWord(line)
	if verbOf(word) != VerbUnknown {
		return false
	}
	var buf [upperWord]byte
	switch string(upperInto(&buf, word)) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH":
		return true
	}
	return bytes.Contains(line, httpVersion)
}
