package password

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
)

// noSecret stands in for the secret of an account that does not exist. Its
// response is computed and compared like any other, and then not accepted.
var noSecret = plain("xxxxxxxxxxxxxxxx")

// CheckCRAMMD5 checks the digest, 32 hexadecimal digits, of a response to that
// challenge (RFC 2195 section 2: HMAC-MD5 of the challenge under the secret). It
// decides at once, in a time that depends on the lengths only: Allowed or
// Refused. A login that names no account is checked with the zero Secret; that,
// and a secret that is not recoverable, takes as long as a wrong digest.
func (c *Checker) CheckCRAMMD5(secret Secret, challenge, response []byte) Result {
	key := noSecret
	if secret.Recoverable() {
		key = secret.v.scheme.(plain)
	}
	mac := hmac.New(md5.New, key)
	mac.Write(challenge)
	want := make([]byte, 0, md5.Size)
	want = mac.Sum(want)
	c.responses.Add(1)

	var got [md5.Size]byte
	if len(response) != hex.EncodedLen(len(got)) {
		return Refused
	}
	_, err := hex.Decode(got[:], response)
	if same := hmac.Equal(want, got[:]); err != nil || !same || !secret.Recoverable() {
		return Refused
	}
	return Allowed
}
