package codec

import "bytes"

// httpVersion is before the version number in a request line (RFC 9112 section
// 3).
var httpVersion = []byte(" HTTP/")

// isHTTP reports whether a line whose first word is no verb of SMTP is the request
// line of HTTP: the word is a method of HTTP (RFC 9110 section 9, RFC 5789), in any
// case, or the line has the version in it. A web page can make a browser send such a
// line to any port, and after it lines of the page's choice.
func isHTTP(word, line []byte) bool {
	var buf [upperWord]byte
	switch string(upperInto(&buf, word)) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH":
		return true
	}
	return bytes.Contains(line, httpVersion)
}
