package tokend

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// maxSkew is how far the clock of a client may be off.
const maxSkew = 5 * time.Minute

// assertion is a JSON Web Token (RFC 7519) that a token endpoint takes.
type assertion struct {
	header struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		KeyID     string `json:"kid"`
		SHA1      string `json:"x5t"`
		SHA256    string `json:"x5t#S256"`
	}
	claims struct {
		Issuer    string `json:"iss"`
		Subject   string `json:"sub"`
		Audience  string `json:"aud"`
		Scope     string `json:"scope"`
		ID        string `json:"jti"`
		Expires   int64  `json:"exp"`
		IssuedAt  int64  `json:"iat"`
		NotBefore int64  `json:"nbf"`
	}
	signed    string
	signature []byte
}

// parseAssertion reads the compact form of RFC 7515 section 3.1.
func parseAssertion(text string) (*assertion, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, errors.New("an assertion has three parts")
	}
	a := &assertion{signed: parts[0] + "." + parts[1]}
	for i, v := range []any{&a.header, &a.claims} {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, v); err != nil {
			return nil, err
		}
	}
	var err error
	a.signature, err = base64.RawURLEncoding.Strict().DecodeString(parts[2])
	return a, err
}

// verify checks the signature by the algorithm that the header names.
func (a *assertion) verify(key crypto.PublicKey) error {
	digest := sha256.Sum256([]byte(a.signed))
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch a.header.Algorithm {
		case "RS256":
			return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], a.signature)
		case "PS256":
			salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return rsa.VerifyPSS(k, crypto.SHA256, digest[:], a.signature, salt)
		}
	case *ecdsa.PublicKey:
		if a.header.Algorithm == "ES256" && len(a.signature) == 64 {
			r, s := new(big.Int).SetBytes(a.signature[:32]), new(big.Int).SetBytes(a.signature[32:])
			if ecdsa.Verify(k, digest[:], r, s) {
				return nil
			}
			return errors.New("the signature is wrong")
		}
	}
	return fmt.Errorf("algorithm %q does not fit the key", a.header.Algorithm)
}

// checkTimes checks the claims about time (RFC 7523 section 3).
func (a *assertion) checkTimes(now time.Time) error {
	c := &a.claims
	switch {
	case c.Expires == 0 || !now.Before(time.Unix(c.Expires, 0).Add(maxSkew)):
		return errors.New("the assertion has expired")
	case c.NotBefore != 0 && now.Add(maxSkew).Before(time.Unix(c.NotBefore, 0)),
		c.IssuedAt != 0 && now.Add(maxSkew).Before(time.Unix(c.IssuedAt, 0)):
		return errors.New("the assertion is from the future")
	case time.Unix(c.Expires, 0).Sub(now) > time.Hour+maxSkew:
		return errors.New("the assertion is good for more than an hour")
	}
	return nil
}

// checkClientAssertion checks that the application itself made the assertion.
func (a *assertion) checkClientAssertion(c *appClient, audience func(string) bool, now time.Time) error {
	one, two := sha1.Sum(c.cert.Raw), sha256.Sum256(c.cert.Raw)
	switch {
	case a.header.Type != "JWT":
		return errors.New("typ is not JWT")
	case a.header.SHA1 == "" && a.header.SHA256 == "":
		return errors.New("neither x5t nor x5t#S256 names the certificate")
	case a.header.SHA1 != "" && !secretsEqual(a.header.SHA1, base64.RawURLEncoding.EncodeToString(one[:])):
		return errors.New("x5t is of another certificate")
	case a.header.SHA256 != "" && !secretsEqual(a.header.SHA256, base64.RawURLEncoding.EncodeToString(two[:])):
		return errors.New("x5t#S256 is of another certificate")
	case a.claims.Issuer != c.ID || a.claims.Subject != c.ID:
		return errors.New("iss and sub must be the client")
	case a.claims.ID == "":
		return errors.New("jti is missing")
	case !audience(a.claims.Audience):
		return errors.New("aud is not this endpoint")
	}
	if err := a.checkTimes(now); err != nil {
		return err
	}
	return a.verify(c.cert.PublicKey)
}
