package flow

import (
	"context"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"xoauth2-proxy/internal/account"
)

// refreshToken is the refresh_token grant of RFC 6749 section 6. The request
// goes through x/oauth2's client credentials, whose grant_type may be replaced:
// its refresh_token support cannot send a scope, which some endpoints demand.
func (f *Flows) refreshToken(ctx context.Context, g Grant) (Issued, *Error) {
	if err := checkEndpoint(g.Account); err != nil {
		return Issued{}, err
	}
	if g.Refresh.IsZero() {
		return Issued{}, &Error{Class: ClassMisconfigured, Hint: "the account has no refresh token"}
	}
	return f.ask(ctx, g, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {g.Refresh.Reveal()},
	})
}

// clientCredentials is the grant of RFC 6749 section 4.4. No refresh token
// comes with it.
func (f *Flows) clientCredentials(ctx context.Context, g Grant) (Issued, *Error) {
	a := g.Account
	if err := checkEndpoint(a); err != nil {
		return Issued{}, err
	}
	if a.ClientSecret.IsZero() && a.Certificate == "" {
		return Issued{}, &Error{Class: ClassMisconfigured, Hint: "the account needs client_secret, or a client certificate with its private key"}
	}
	got, err := f.ask(ctx, g, url.Values{})
	got.Refresh = account.Secret{}
	return got, err
}

// ask sends a token request of the account's client. client_secret and scope are sent
// if the account has them; a certificate is preferred to a secret.
func (f *Flows) ask(ctx context.Context, g Grant, params url.Values) (Issued, *Error) {
	a := g.Account
	conf := clientcredentials.Config{
		ClientID:       a.ClientID,
		ClientSecret:   a.ClientSecret.Reveal(),
		TokenURL:       a.TokenURL,
		AuthStyle:      oauth2.AuthStyleInParams,
		EndpointParams: params,
	}
	if a.Certificate != "" {
		assertion, err := clientAssertion(a, time.Now())
		if err != nil {
			return Issued{}, Local(err)
		}
		conf.ClientSecret = ""
		params.Set("client_assertion_type", assertionType)
		params.Set("client_assertion", assertion)
	}
	if a.Scope != "" {
		conf.Scopes = []string{a.Scope}
	}
	x := f.Exchange(ctx, a)
	tok, err := conf.Token(x.Context())
	return f.outcome(x, g, tok, err)
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
	x := f.Exchange(ctx, a)
	tok, err := conf.TokenSource(x.Context()).Token()
	return f.outcome(x, g, tok, err)
}
