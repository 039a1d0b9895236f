package flow

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"time"

	"xoauth2-proxy/internal/account"
)

const (
	// assertionType is for a client that signs for itself (RFC 7523 section 2.2).
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// assertionLife is how long an assertion is good. It is used at once, but clocks
	// differ.
	assertionLife = 5 * time.Minute
)

// assertionHeader is the JOSE header of a client assertion. Endpoints look at one of
// the certificate's thumbprints, which x/oauth2 leaves out: SHA-1 (RFC 7515 section
// 4.1.7) or SHA-256 (section 4.1.8).
type assertionHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	SHA1      string `json:"x5t"`
	SHA256    string `json:"x5t#S256"`
}

// assertionClaims are the claims that RFC 7523 section 3 asks for.
type assertionClaims struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
}

// clientAssertion signs the client's assertion of its identity (RFC 7523 section 3),
// for the token endpoint as audience.
func clientAssertion(a *account.Account, now time.Time) (string, error) {
	pair, err := certificatePair(a)
	if err != nil {
		return "", err
	}
	der := pair.Certificate[0]
	one, two := sha1.Sum(der), sha256.Sum256(der)
	header := assertionHeader{Type: "JWT", SHA1: encodeSegment(one[:]), SHA256: encodeSegment(two[:])}
	claims := assertionClaims{Issuer: a.ClientID, Subject: a.ClientID, Audience: a.TokenURL, ID: rand.Text(),
		IssuedAt: now.Unix(), NotBefore: now.Add(-time.Minute).Unix(), Expires: now.Add(assertionLife).Unix()}
	switch key := pair.PrivateKey.(type) {
	case *rsa.PrivateKey:
		header.Algorithm = "PS256" // what Microsoft asks for
		return signJWT(header, claims, func(digest []byte) ([]byte, error) {
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		})
	case *ecdsa.PrivateKey:
		header.Algorithm = "ES256"
		return signJWT(header, claims, func(digest []byte) ([]byte, error) {
			r, s, err := ecdsa.Sign(rand.Reader, key, digest)
			if err != nil {
				return nil, err
			}
			signature := make([]byte, 64) // RFC 7518 section 3.4
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
			return signature, nil
		})
	}
	return "", errKeyKind
}

// certificatePair parses the client's certificate and its key, which must be fit to
// sign assertions.
func certificatePair(a *account.Account) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(a.Certificate), []byte(a.PrivateKey.Reveal()))
	if err != nil { // its text may quote the PEM
		return pair, errCertificateKey
	}
	switch key := pair.PrivateKey.(type) {
	case *rsa.PrivateKey:
		return pair, nil
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return pair, nil
		}
	}
	return pair, errKeyKind
}

// CheckKeys is oauth.CheckKeys.
func CheckKeys(a *account.Account) error {
	switch {
	case a.TokenFlow() == account.FlowServiceAccount:
		return checkPrivateKey(a.PrivateKey)
	case a.Certificate != "":
		_, err := certificatePair(a)
		return err
	}
	return nil
}

// signJWT makes the compact form of RFC 7515 section 3.1. sign gets the SHA-256
// digest of header and claims.
func signJWT(header, claims any, sign func(digest []byte) ([]byte, error)) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := encodeSegment(h) + "." + encodeSegment(c)
	digest := sha256.Sum256([]byte(text))
	signature, err := sign(digest[:])
	if err != nil {
		return "", errPrivateKey
	}
	return text + "." + encodeSegment(signature), nil
}

func encodeSegment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// checkPrivateKey reports whether a service account's key can sign. x/oauth2
// parses it too, and its error would pass for a failure of the endpoint.
func checkPrivateKey(key account.Secret) error {
	block, _ := pem.Decode([]byte(key.Reveal()))
	if block == nil {
		return errPrivateKey
	}
	if _, err := parseRSA(block.Bytes); err != nil {
		return errPrivateKey
	}
	return nil
}

// parseRSA reads an RSA key in either of its forms.
func parseRSA(der []byte) (*rsa.PrivateKey, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(*rsa.PrivateKey); ok {
		return key, nil
	}
	return nil, errors.New("not an RSA key")
}
