package consent

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/httpc"
)

var (
	errNoRefreshToken = errors.New("the provider gave no refresh token")
	errNoDeviceFlow   = errors.New("the provider has no device authorization for mail")
	errAuthURL        = errors.New("the authorization URL must be https with a host; http is for loopback only")
	errConsentState   = errors.New("the answer is not for this request")
	errRedirect       = errors.New("what was pasted is neither the address that the browser was sent to nor a code")
)

// Config says what a person is asked to consent to, and where.
type Config struct {
	// ClientID and ClientSecret are the OAuth2 client; a public one has no
	// secret.
	ClientID     string
	ClientSecret account.Secret
	// AuthURL (browser), DeviceURL (device code) and TokenURL (both) are the provider's
	// endpoints.
	AuthURL, DeviceURL, TokenURL string
	// Scope is the scope to ask for, such as account.Provider.ConsentScope.
	Scope string
	// LoginHint is the mailbox; the provider offers it to the person.
	LoginHint string
	// Proxy and CAFile are as in account.Account.
	Proxy  account.Secret
	CAFile string
}

// Result is the result of a person's consent.
type Result struct {
	// RefreshToken is for the accounts file.
	RefreshToken account.Secret
	// Token is the first access token, for a login that proves that all works.
	Token *oauth.Token
	// Scope is the granted scope as the provider says it; it may be empty.
	Scope string
}

// Authorizer asks people for consent. It holds connections: Close it.
type Authorizer struct {
	cfg    Config
	flows  *flow.Flows
	second time.Duration // of the polling interval; tests have faster ones
}

// New returns an authorizer, which sends its requests as requests says.
func New(requests oauth.Config, cfg Config) *Authorizer {
	return &Authorizer{cfg: cfg, flows: requests.Flows(), second: time.Second}
}

// Close ends the connections.
func (z *Authorizer) Close() { z.flows.Close() }

// account returns the settings in the form that flows take.
func (z *Authorizer) account() *account.Account {
	return &account.Account{ID: "authorize", Email: z.cfg.LoginHint, ClientID: z.cfg.ClientID,
		ClientSecret: z.cfg.ClientSecret, TokenURL: z.cfg.TokenURL, TokenProxy: z.cfg.Proxy, TokenCAFile: z.cfg.CAFile}
}

// conf returns the settings in the form that x/oauth2 takes.
func (z *Authorizer) conf(redirect string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: z.cfg.ClientID, ClientSecret: z.cfg.ClientSecret.Reveal(),
		Endpoint: oauth2.Endpoint{AuthURL: z.cfg.AuthURL, DeviceAuthURL: z.cfg.DeviceURL,
			TokenURL: z.cfg.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
		RedirectURL: redirect,
		Scopes:      []string{z.cfg.Scope},
	}
}

// check refuses endpoints that no secret may be sent to.
func check(endpoints ...string) error {
	for _, e := range endpoints {
		if httpc.CheckURL(e) != nil {
			return &oauth.Error{Class: oauth.ClassMisconfigured, Err: errAuthURL, Hint: "check the URLs of the provider"}
		}
	}
	return nil
}

// result turns a token response into a Result.
func (z *Authorizer) result(
	x *flow.Exchange, tok *oauth2.Token, err error, secrets ...account.Secret,
) (*Result, error) {
	if err = x.Fault(err); err != nil {
		return nil, failure(x, err, secrets...)
	}
	got, fault := z.flows.Token(tok)
	if fault != nil {
		return nil, fault
	}
	if got.Refresh.IsZero() {
		return nil, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errNoRefreshToken,
			Hint: "ask for offline access: the scope offline_access at Microsoft; at Google, withdraw the consent at https://myaccount.google.com/permissions and give it again"}
	}
	scope, _ := tok.Extra("scope").(string)
	token := oauth.NewToken(z.account(), got.Access, got.Expiry)
	return &Result{RefreshToken: got.Refresh, Scope: scope, Token: token}, nil
}

// failure turns the failure of an exchange into an *oauth.Error, which holds nothing
// of the settings' secrets and of more.
func failure(x *flow.Exchange, err error, more ...account.Secret) *oauth.Error {
	e := x.Refusal(x.Fault(err), more...)
	if h := consentHints[e.Code]; h != "" {
		e.Hint = h
	}
	return e
}

// consentHints say what a refusal means while consent is being given.
var consentHints = map[string]string{
	"access_denied":       "the person refused, or the tenant does not let its users consent: have an administrator consent",
	"expired_token":       "nobody entered the code in time; start again",
	"invalid_grant":       "the code was used already or is too old, or the redirect address is another one; start again",
	"unauthorized_client": "allow public client flows in the app registration, or check client_id",
}

// exchange returns a new exchange, for one request.
func (z *Authorizer) exchange(ctx context.Context) *flow.Exchange {
	return z.flows.Exchange(ctx, z.account())
}
