package codec

import (
	"bytes"
	"encoding/base64"
)

// Mechanism is a SASL mechanism that clients may use.
type Mechanism uint8

// The mechanisms. MechUnknown, the zero value, stands for all others.
const (
	MechUnknown Mechanism = iota
	MechPLAIN
	MechLOGIN
	MechCRAMMD5
)

// ParseAuth takes the arguments of AUTH apart, "mechanism
// [initial-response]" (RFC 4954 section 4). initial is the initial response in
// base64, borrowed from args; it is nil if there is none, and empty but not
// nil for "=", the empty one. Error: ErrArgSyntax.
func ParseAuth(args []byte) (mech Mechanism, initial []byte, err error) {
	word, rest := cutWord(args)
	rest = trimRightSpace(rest)
	if len(word) == 0 || bytes.IndexByte(rest, ' ') >= 0 || bytes.IndexByte(rest, '\t') >= 0 {
		return MechUnknown, nil, ErrArgSyntax
	}
	if len(rest) > 0 {
		initial = rest
	}
	if string(rest) == "=" {
		initial = rest[:0]
	}
	return mechanismOf(word), initial, nil
}

func mechanismOf(word []byte) Mechanism {
	var buf [upperWord]byte
	switch string(upperInto(&buf, word)) {
	case "PLAIN":
		return MechPLAIN
	case "LOGIN":
		return MechLOGIN
	case "CRAM-MD5":
		return MechCRAMMD5
	}
	return MechUnknown
}

var strictBase64 = base64.StdEncoding.Strict()

// DecodeBase64 appends the octets that src encodes to dst (RFC 4648 section 4).
// It is strict: padding is required, its unused bits are zero, and there are
// no line ends. Error: ErrBase64; dst is returned as it was then.
func DecodeBase64(dst, src []byte) ([]byte, error) {
	if bytes.IndexByte(src, '\n') >= 0 || bytes.IndexByte(src, '\r') >= 0 {
		return dst, ErrBase64 // encoding/base64 would skip them
	}
	out, err := strictBase64.AppendDecode(dst, src)
	if err != nil {
		return dst, ErrBase64
	}
	return out, nil
}

// AppendBase64 appends the base64 form of src to dst.
func AppendBase64(dst, src []byte) []byte { return base64.StdEncoding.AppendEncode(dst, src) }

// ParsePlain takes a message of PLAIN apart (RFC 4616 section 2):
// authorization identity, NUL, authentication identity, NUL, password. The
// password may be empty, as in the other mechanisms. The results borrow from msg.
// Error: ErrSASL.
func ParsePlain(msg []byte) (authzid, authcid, passwd []byte, err error) {
	authzid, rest, ok := cutByte(msg, 0)
	if !ok {
		return nil, nil, nil, ErrSASL
	}
	authcid, passwd, ok = cutByte(rest, 0)
	if !ok || len(authcid) == 0 || bytes.IndexByte(passwd, 0) >= 0 {
		return nil, nil, nil, ErrSASL
	}
	return authzid, authcid, passwd, nil
}
