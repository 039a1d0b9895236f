package loop

// recordHandshake is the first octet of a TLS handshake record (RFC 8446
// section 5.1). No command of SMTP begins with it.
const recordHandshake = 22

// recordHeader is the length of a record's header in octets: type, version and
// the length of what follows.
const recordHeader = 5

// records follows the TLS records of a stream. crypto/tls is given one at a time: it keeps
// its largest buffer for ever.
type records struct {
	header  [recordHeader]byte
	have    int // octets of header
	missing int // octets of the record after the header
}

// next says how many octets of b go together: the rest of a header or of what
// follows it, as far as they are there.
func (r *records) next(b []byte) int {
	if r.missing == 0 {
		n := copy(r.header[r.have:], b)
		if r.have += n; r.have == recordHeader {
			r.missing, r.have = int(r.header[3])<<8|int(r.header[4]), 0
		}
		return n
	}
	n := min(len(b), r.missing)
	r.missing -= n
	return n
}

// follow notes octets that were read.
func (r *records) follow(b []byte) {
	for len(b) > 0 {
		b = b[r.next(b):]
	}
}

// partial reports whether the rest of a record is still to come.
func (r *records) partial() bool { return r.have > 0 || r.missing > 0 }

// BeginsTLS reports whether b, the first octets of a client, begin a TLS handshake.
func BeginsTLS(b []byte) bool { return len(b) > 0 && b[0] == recordHandshake }

// wholeRecord reports whether b begins with a record that has arrived whole, or
// with what cannot become one: there is something to do then.
func wholeRecord(b []byte) bool {
	if len(b) < recordHeader {
		return len(b) > 0 && b[0] != recordHandshake
	}
	n := int(b[3])<<8 | int(b[4])
	return b[0] != recordHandshake || n > recordSize || len(b) >= recordHeader+n
}
