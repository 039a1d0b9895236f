package oauth

import (
	"encoding/base64"
	"fmt"
	"io"
	"time"
)

// redacted stands for a secret wherever one might be printed.
const redacted = "<secret>"

// expirySkew is how long before its expiry a token is no longer handed out: it
// must still be valid when the provider reads it, by the provider's clock.
const expirySkew = 10 * time.Second

// Token is an access token (RFC 6749 section 1.4). It is immutable and shared:
// who changes XOAUTH2 changes it for everybody. Formatting and marshalling show
// the expiry only.
type Token struct {
	// Access is the bearer token itself.
	Access string
	// Expiry is when it ends, by our clock.
	Expiry time.Time
	// XOAUTH2 is the initial response of AUTH XOAUTH2 in base64, ready to be
	// sent, for the account's identity.
	XOAUTH2 []byte

	seq    uint64    // the refresh of this source that brought it
	issued time.Time // when it came
	until  time.Time // when it is no longer handed out
	renew  time.Time // when its replacement is due
}

// newXOAUTH2 builds the initial response for user: base64 of
// "user=" user ^A "auth=Bearer " access ^A ^A.
func newXOAUTH2(user, access string) []byte {
	raw := make([]byte, 0, len("user=\x01auth=Bearer \x01\x01")+len(user)+len(access))
	raw = append(raw, "user="...)
	raw = append(raw, user...)
	raw = append(raw, "\x01auth=Bearer "...)
	raw = append(raw, access...)
	raw = append(raw, "\x01\x01"...)
	return base64.StdEncoding.AppendEncode(make([]byte, 0, base64.StdEncoding.EncodedLen(len(raw))), raw)
}

// withIdentity returns the same token for another user name.
func (t *Token) withIdentity(user string) *Token {
	n := *t
	n.XOAUTH2 = newXOAUTH2(user, t.Access)
	return &n
}

// valid reports whether the token may be handed out.
func (t *Token) valid(now time.Time) bool { return now.Before(t.until) }

// String implements fmt.Stringer without the token.
func (t Token) String() string {
	return redacted + " until " + t.Expiry.UTC().Format(time.RFC3339)
}

// Format implements fmt.Formatter: no verb reaches the fields.
func (t Token) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, t.String()) // the state collects in memory
}

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
