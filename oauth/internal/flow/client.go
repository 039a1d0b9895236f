package flow

import (
	"context"
	"encoding/base64"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
)

// refreshToken is the refresh_token grant of RFC 6749 section 6.
func (f *Flows) refreshToken(ctx context.Context, g Grant) (Issued, *Error) {
	if g.Refresh.IsZero() {
		return Issued{}, &Error{Class: ClassMisconfigured, Hint: hint.RefreshTokenMissing}
	}
	return f.Ask(ctx, g, withScope(g.Account, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {g.Refresh.Reveal()},
	}))
}

// clientCredentials is the grant of RFC 6749 section 4.4. No refresh token
// comes with it.
func (f *Flows) clientCredentials(ctx context.Context, g Grant) (Issued, *Error) {
	a := g.Account
	if a.ClientSecret.IsZero() && a.Certificate == "" {
		return Issued{}, &Error{Class: ClassMisconfigured, Hint: hint.ClientWithoutSecret}
	}
	got, err := f.Ask(ctx, g, withScope(a, url.Values{}))
	got.Refresh = account.Secret{}
	return got, err
}

// withScope adds the account's scope to params, if it has one.
func withScope(a *account.Account, params url.Values) url.Values {
	if a.Scope != "" {
		params.Set("scope", a.Scope)
	}
	return params
}

// Ask sends one request of the account's client to its token endpoint. params are its
// parameters without the client's; they are changed. The results are as in Fetch; the
// error holds nothing of more. (x/oauth2's client credentials send any grant: its
// refresh_token support cannot send a scope, which some endpoints demand.)
func (f *Flows) Ask(ctx context.Context, g Grant, params url.Values, more ...account.Secret) (Issued, *Error) {
	a := g.Account
	if err := checkEndpoint(a); err != nil {
		return Issued{}, err
	}
	secret, err := prove(a, params)
	if err != nil {
		return Issued{}, Local(err)
	}
	conf := clientcredentials.Config{
		ClientID: a.ClientID, ClientSecret: secret, TokenURL: a.TokenURL,
		AuthStyle: oauth2.AuthStyleInParams, EndpointParams: params,
	}
	if inHeader(a) {
		conf.AuthStyle = oauth2.AuthStyleInHeader
	}
	x := f.exchange(ctx, a)
	tok, err := conf.Token(x.context())
	return f.outcome(x, g, tok, err, more...)
}

// prove adds the assertion of a client with a certificate to params. For other clients
// it returns the secret, which is "" for public ones.
func prove(a *account.Account, params url.Values) (secret string, err error) {
	if a.Certificate == "" {
		return a.ClientSecret.Reveal(), nil
	}
	assertion, err := clientAssertion(a, time.Now())
	if err != nil {
		return "", err
	}
	params.Set("client_assertion_type", assertionType)
	params.Set("client_assertion", assertion)
	return "", nil
}

// inHeader reports whether the client's secret goes into the header Authorization.
func inHeader(a *account.Account) bool {
	return a.ClientAuth == account.ClientSecretBasic && a.Certificate == "" && !a.ClientSecret.IsZero()
}

// basic is the header's value of a client's name and secret, each encoded as a form's
// value is (RFC 6749 section 2.3.1).
func basic(a *account.Account) string {
	pair := url.QueryEscape(a.ClientID) + ":" + url.QueryEscape(a.ClientSecret.Reveal())
	return base64.StdEncoding.EncodeToString([]byte(pair))
}

// serviceAccount is the JWT bearer grant of RFC 7523 section 2.1 in Google's
// form: the service account signs that it acts for the subject.
func (f *Flows) serviceAccount(ctx context.Context, g Grant) (Issued, *Error) {
	a := g.Account
	if err := checkEndpoint(a); err != nil {
		return Issued{}, err
	}
	if err := checkPrivateKey(a.PrivateKey); err != nil {
		return Issued{}, Local(err)
	}
	conf := jwt.Config{
		Email:        a.ClientID,
		PrivateKey:   []byte(a.PrivateKey.Reveal()),
		PrivateKeyID: a.PrivateKeyID,
		Subject:      a.TokenSubject(),
		Scopes:       []string{a.Scope},
		TokenURL:     a.TokenURL,
	}
	x := f.exchange(ctx, a)
	tok, err := conf.TokenSource(x.context()).Token()
	return f.outcome(x, g, tok, err)
}
