package oauth

import (
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"xoauth2-proxy/internal/account"
)

// redacted stands for a secret in a text.
const redacted = "<secret>"

// expirySkew is how long before its expiry a token is no longer handed out. The
// token must still be valid when the provider reads it, by the provider's clock.
const expirySkew = 10 * time.Second

// Token is an access token (RFC 6749 section 1.4). It is immutable and shared by
// all callers, XOAUTH2 included. Formatting and marshalling show the expiry only.
type Token struct {
	// Access is the bearer token itself.
	Access string
	// Expiry is when the token ends, by our clock.
	Expiry time.Time
	// XOAUTH2 is the initial response of AUTH XOAUTH2 in base64, for the account's
	// identity. Read only.
	XOAUTH2 []byte

	login  login
	bearer *bearerResponse

	seq    uint64    // the refresh of this source that brought it
	issued time.Time // when it came
	until  time.Time // when it is no longer handed out
	renew  time.Time // when its replacement is due
}

// NewToken returns an access token that came now, with its initial responses for
// the account's login. No source renews it.
func NewToken(a *account.Account, access string, expiry time.Time) *Token {
	return Token{Access: access, Expiry: expiry, issued: time.Now(), until: expiry, renew: expiry}.forLogin(loginOf(a))
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

// login is what an initial response says beside the token.
type login struct {
	user string
	smtp account.Endpoint
}

func loginOf(a *account.Account) login { return login{a.Identity(), a.SMTP} }

// bearerResponse is the initial response of AUTH OAUTHBEARER, built at its first
// use: most logins are with XOAUTH2.
type bearerResponse struct {
	once sync.Once
	wire []byte
}

// forLogin returns a token with its initial responses for l.
func (t Token) forLogin(l login) *Token {
	t.login, t.bearer = l, new(bearerResponse)
	t.XOAUTH2 = newXOAUTH2(l.user, t.Access)
	return &t
}

// OAUTHBEARER returns the initial response of AUTH OAUTHBEARER (RFC 7628 section
// 3.1) in base64, for the account's identity and endpoint. It is shared: callers
// must not change it.
func (t *Token) OAUTHBEARER() []byte {
	t.bearer.once.Do(func() { t.bearer.wire = newOAUTHBEARER(t.login, t.Access) })
	return t.bearer.wire
}

// InitialResponse returns the initial response of a mechanism in base64.
func (t *Token) InitialResponse(m account.Mechanism) []byte {
	if m == account.MechanismOAUTHBEARER {
		return t.OAUTHBEARER()
	}
	return t.XOAUTH2
}

// saslName escapes a name for the GS2 header (RFC 5801 section 4).
var saslName = strings.NewReplacer("=", "=3D", ",", "=2C")

// newOAUTHBEARER builds the initial response: base64 of "n,a=" user "," ^A
// "host=" host ^A "port=" port ^A "auth=Bearer " access ^A ^A.
func newOAUTHBEARER(l login, access string) []byte {
	raw := "n,a=" + saslName.Replace(l.user) + ",\x01"
	if l.smtp.Host != "" {
		raw += "host=" + l.smtp.Host + "\x01port=" + strconv.Itoa(l.smtp.Port) + "\x01"
	}
	raw += "auth=Bearer " + access + "\x01\x01"
	return base64.StdEncoding.AppendEncode(nil, []byte(raw))
}

// Issued is when the token endpoint gave the token, perhaps before a restart.
func (t *Token) Issued() time.Time { return t.issued }

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
