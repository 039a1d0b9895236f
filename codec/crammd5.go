package codec

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
)

// CRAMMD5Challenge returns a new challenge of CRAM-MD5 (RFC 2195 section 2),
// not yet in base64: "<" a random part "@" host ">".
func CRAMMD5Challenge(host string) string {
	return "<" + rand.Text() + "@" + host + ">"
}

// ParseCRAMMD5 takes a decoded response apart: user name, space, digest in
// hexadecimal digits. The results borrow from response. Error: ErrSASL.
func ParseCRAMMD5(response []byte) (user, digest []byte, err error) {
	i := bytes.LastIndexByte(response, ' ')
	if i <= 0 || len(response)-i-1 != hex.EncodedLen(md5.Size) || !allOf(response[i+1:], classHex) {
		return nil, nil, ErrSASL
	}
	return response[:i], response[i+1:], nil
}
