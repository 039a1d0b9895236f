package oauth

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
func (f *flows) refreshToken(ctx context.Context, g grant) (issued, *Error) {
	if err := checkEndpoint(g.account); err != nil {
		return issued{}, err
	}
	if g.refresh.IsZero() {
		return issued{}, &Error{Class: ClassMisconfigured, Hint: "the account has no refresh token"}
	}
	return f.ask(ctx, g, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {g.refresh.Reveal()},
	})
}

// clientCredentials is the grant of RFC 6749 section 4.4. No refresh token
// comes with it.
func (f *flows) clientCredentials(ctx context.Context, g grant) (issued, *Error) {
	a := g.account
	if err := checkEndpoint(a); err != nil {
		return issued{}, err
	}
	if a.ClientSecret.IsZero() && a.Certificate == "" {
		return issued{}, &Error{Class: ClassMisconfigured, Hint: "the account needs client_secret, or a client certificate with its private key"}
	}
	got, err := f.ask(ctx, g, url.Values{})
	got.refresh = account.Secret{}
	return got, err
}

// ask sends a token request of the account's client. client_secret and scope are
// sent if and only if the account has them; a certificate goes before a secret.
func (f *flows) ask(ctx context.Context, g grant, params url.Values) (issued, *Error) {
	a := g.account
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
			return issued{}, classifyLocal(err)
		}
		conf.ClientSecret = ""
		params.Set("client_assertion_type", assertionType)
		params.Set("client_assertion", assertion)
	}
	if a.Scope != "" {
		conf.Scopes = []string{a.Scope}
	}
	w := f.newWire(ctx, a)
	tok, err := conf.Token(w.context())
	return f.outcome(w, g, tok, err)
}

// serviceAccount is the JWT bearer grant of RFC 7523 section 2.1 in Google's
// form: the service account signs that it acts for the subject.
func (f *flows) serviceAccount(ctx context.Context, g grant) (issued, *Error) {
	a := g.account
	if err := checkEndpoint(a); err != nil {
		return issued{}, err
	}
	if err := checkPrivateKey(a.PrivateKey); err != nil {
		return issued{}, classifyLocal(err)
	}
	conf := jwt.Config{
		Email:        a.ClientID,
		PrivateKey:   []byte(a.PrivateKey.Reveal()),
		PrivateKeyID: a.PrivateKeyID,
		Subject:      a.TokenSubject(),
		Scopes:       []string{a.Scope},
		TokenURL:     a.TokenURL,
	}
	w := f.newWire(ctx, a)
	tok, err := conf.TokenSource(w.context()).Token()
	return f.outcome(w, g, tok, err)
}
