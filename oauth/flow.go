package oauth

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"xoauth2-proxy/internal/account"
)

// A grant is what a flow starts from.
type grant struct {
	account *account.Account
	refresh account.Secret // the newest refresh token of the account's chain
}

// issued is what a flow brings.
type issued struct {
	access  string
	refresh account.Secret // the one to use next time
	expiry  time.Time
}

// A flow gets one access token from a provider. It must obey ctx and must not
// keep the grant. Its errors hold no secret.
type flow interface {
	fetch(ctx context.Context, g grant) (issued, *Error)
}

// refreshTokenFlow is the refresh_token grant of RFC 6749 section 6.
type refreshTokenFlow struct {
	client   *http.Client
	lifetime time.Duration // of a token that comes without one
}

func newRefreshTokenFlow(rt http.RoundTripper, lifetime time.Duration) *refreshTokenFlow {
	return &refreshTokenFlow{lifetime: lifetime, client: &http.Client{
		Transport: rt,
		// A redirect would carry the refresh token to who knows where.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// fetch implements flow. The request goes through x/oauth2's client
// credentials, whose grant_type may be replaced: its refresh_token support
// cannot send a scope, which some endpoints demand. client_secret and scope are
// sent if and only if the account has them.
func (f *refreshTokenFlow) fetch(ctx context.Context, g grant) (issued, *Error) {
	a := g.account
	u, err := url.Parse(a.TokenURL)
	if err != nil {
		return issued{}, classifyLocal(errTokenURL)
	}
	if err := checkTokenURL(u); err != nil {
		return issued{}, classifyLocal(err)
	}
	if g.refresh.IsZero() {
		return issued{}, &Error{Class: ClassMisconfigured, Hint: "the account has no refresh token"}
	}
	conf := clientcredentials.Config{
		ClientID:     a.ClientID,
		ClientSecret: a.ClientSecret.Reveal(),
		TokenURL:     a.TokenURL,
		AuthStyle:    oauth2.AuthStyleInParams,
		EndpointParams: url.Values{
			"grant_type":    {"refresh_token"},
			"refresh_token": {g.refresh.Reveal()},
		},
	}
	if a.Scope != "" {
		conf.Scopes = []string{a.Scope}
	}
	tok, err := conf.Token(context.WithValue(ctx, oauth2.HTTPClient, f.client))
	if err != nil {
		return issued{}, classify(err, secretsOf(g), time.Now())
	}
	return fromToken(tok, f.lifetime)
}

// fromToken checks a token before it becomes part of SASL messages. lifetime is
// for one without.
func fromToken(tok *oauth2.Token, lifetime time.Duration) (issued, *Error) {
	now := time.Now()
	out := issued{access: tok.AccessToken, refresh: account.NewSecret(tok.RefreshToken), expiry: tok.Expiry}
	if out.expiry.IsZero() {
		out.expiry = now.Add(lifetime)
	}
	if tok.Type() != "Bearer" || !isBearer(out.access) || !out.expiry.After(now) {
		return issued{}, classifyLocal(errMalformedReply)
	}
	return out, nil
}

// isBearer reports whether s can be a bearer token: printable ASCII without
// spaces, a little wider than the b64token of RFC 6750 section 2.1. Anything
// else could break out of its field of the SASL message.
func isBearer(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return s != ""
}

// secretsOf lists what a reply must not make us show, also as it was encoded.
func secretsOf(g grant) []string {
	var out []string
	for _, s := range []account.Secret{g.refresh, g.account.RefreshToken, g.account.ClientSecret} {
		if !s.IsZero() {
			out = append(out, s.Reveal(), url.QueryEscape(s.Reveal()))
		}
	}
	return out
}
