package oauth

import (
	"context"
	"errors"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
)

var (
	errNoRefreshToken = errors.New("the provider gave no refresh token")
	errNoDeviceFlow   = errors.New("the provider has no device authorization for mail")
	errAuthURL        = errors.New("the authorization URL must be https with a host; http is for loopback only")
	errConsentState   = errors.New("the answer is not for this request")
	errRedirect       = errors.New("what was pasted is neither the address that the browser was sent to nor a code")
)

// AuthorizeConfig is what a person is asked to consent to, and where.
type AuthorizeConfig struct {
	// ClientID and ClientSecret are the OAuth2 client; a public one has no
	// secret.
	ClientID     string
	ClientSecret account.Secret
	// AuthURL, DeviceURL and TokenURL are the provider's endpoints. Only the
	// ones that are used are needed.
	AuthURL, DeviceURL, TokenURL string
	// Scope is what to ask for, such as account.Provider.ConsentScope.
	Scope string
	// LoginHint is the mailbox; the provider offers it to the person.
	LoginHint string
	// Proxy and CAFile are as in account.Account.
	Proxy  account.Secret
	CAFile string
}

// Consent is what a person's consent brings.
type Consent struct {
	// RefreshToken is for the accounts file.
	RefreshToken account.Secret
	// Token is the first access token, for a login that proves that all works.
	Token *Token
	// Scope is what was granted, as the provider says; it may be empty.
	Scope string
}

// Authorizer asks people for consent. It holds connections: Close it.
type Authorizer struct {
	cfg       AuthorizeConfig
	transport *transport
	flows     flows
	second    time.Duration // of the polling interval; tests have faster ones
}

// NewAuthorizer returns an authorizer. Of cfg it uses what is about requests.
func NewAuthorizer(cfg Config, what AuthorizeConfig) *Authorizer {
	t := newTransport(cfg)
	return &Authorizer{cfg: what, transport: t, second: time.Second, flows: flows{rt: t, lifetime: cfg.DefaultLifetime}}
}

// Close ends the connections.
func (z *Authorizer) Close() { z.transport.close() }

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

// check refuses endpoints that must not be asked.
func check(endpoints ...string) error {
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if err != nil || checkTokenURL(u) != nil {
			return &Error{Class: ClassMisconfigured, Err: errAuthURL, Hint: "check the URLs of the provider"}
		}
	}
	return nil
}

// consent turns a token response into what the caller gets.
func (z *Authorizer) consent(w *wire, tok *oauth2.Token, err error, secrets ...account.Secret) (*Consent, error) {
	if err = w.fault(err); err != nil {
		return nil, z.failure(w, err, secrets...)
	}
	got, fault := fromToken(tok, z.flows.lifetime)
	if fault != nil {
		return nil, fault
	}
	if got.refresh.IsZero() {
		return nil, &Error{Class: ClassMisconfigured, Err: errNoRefreshToken,
			Hint: "ask for offline access: the scope offline_access at Microsoft; at Google, withdraw the consent at https://myaccount.google.com/permissions and give it again"}
	}
	scope, _ := tok.Extra("scope").(string)
	t := Token{Access: got.access, Expiry: got.expiry, issued: time.Now(), until: got.expiry, renew: got.expiry}
	return &Consent{RefreshToken: got.refresh, Scope: scope, Token: t.forLogin(loginOf(z.account()))}, nil
}

// failure is what a request of x/oauth2 failed with, in our form.
func (z *Authorizer) failure(w *wire, err error, secrets ...account.Secret) *Error {
	err = w.fault(err)
	hide := secretsOf(grant{account: z.account()})
	for _, s := range secrets {
		hide = append(hide, s.Reveal(), url.QueryEscape(s.Reveal()))
	}
	e := classify(err, hide, time.Now())
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

// wire returns what sends one request.
func (z *Authorizer) wire(ctx context.Context) *wire {
	return z.flows.newWire(ctx, z.account())
}
