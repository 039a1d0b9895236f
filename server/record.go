package server

// recordHandshake is the first octet of a TLS handshake record (RFC 8446
// section 5.1). No command begins with it.
const recordHandshake = 22

// recordHeader is the length of a record's header in octets: type, version and
// the length of what follows.
const recordHeader = 5

// records follows the TLS records of a stream, so that crypto/tls can be given
// one at a time: it keeps for ever the memory for the most that it was ever
// given at once.
type records struct {
	header  [recordHeader]byte
	have    int // octets of header
	missing int // octets of the record behind the header
}

// next says how many octets of b go together: the rest of a header or of what
// is behind it, as far as they are there.
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

// wholeRecord reports whether b begins with a record that has arrived whole, or
// with what cannot become one: there is something to do then.
func wholeRecord(b []byte) bool {
	if len(b) < recordHeader {
		return len(b) > 0 && b[0] != recordHandshake
	}
	n := int(b[3])<<8 | int(b[4])
	return b[0] != recordHandshake || n > maxRecord || len(b) >= recordHeader+n
}

// maxRecord is the most that a record may have in clear (RFC 8446 section 5.1).
const maxRecord = 16 << 10
