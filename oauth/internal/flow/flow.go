package flow

import (
	"context"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/httpc"
)

// A Grant is the input of a flow.
type Grant struct {
	Account *account.Account
	Refresh account.Secret // the newest refresh token of the account's chain
}

// Issued is the output of a flow.
type Issued struct {
	Access  string
	Refresh account.Secret // for the next refresh; zero: the same as before
	Expiry  time.Time
	At      time.Time // when it was issued; zero is now
	// RefreshEnds is when the refresh token ends, used or not; zero: the answer does not say.
	RefreshEnds time.Time
	Scope       string   // as the provider says it; may be empty
	Odd         []string // fields of the answer that could not be read and count as absent
}

// Flows runs the flows. Its methods except Close are safe for concurrent use.
type Flows struct {
	transport *httpc.Transport
	lifetime  time.Duration
}

// New returns flows that send their requests as cfg says. lifetime is the life of
// a token that comes without expires_in. Close them.
func New(cfg httpc.Config, lifetime time.Duration) *Flows {
	cfg.Whole = isWhole
	return &Flows{transport: httpc.New(cfg), lifetime: lifetime}
}

// TLSError returns why no endpoint can be reached over https, nil if endpoints can.
func (f *Flows) TLSError() error { return f.transport.TLSError() }

// Close ends the connections. No fetch may be running or follow.
func (f *Flows) Close() { f.transport.Close() }

// Fetch gets one access token from a provider. It obeys ctx and does not keep the
// grant. The error holds no secret; with it comes the refresh token that the
// answer had all the same.
func (f *Flows) Fetch(ctx context.Context, g Grant) (Issued, *Error) {
	switch g.Account.TokenFlow() {
	case account.FlowRefreshToken:
		return f.refreshToken(ctx, g)
	case account.FlowClientCredentials:
		return f.clientCredentials(ctx, g)
	case account.FlowServiceAccount:
		return f.serviceAccount(ctx, g)
	case account.FlowExternal:
		if len(g.Account.TokenCommand) > 0 {
			return f.command(ctx, g)
		}
		return f.endpoint(ctx, g)
	}
	return Issued{}, Local(errFlow)
}

// outcome turns x/oauth2's result into the result of a fetch, as Fetch returns it. The
// error holds nothing of the account's secrets and of more.
func (f *Flows) outcome(x *exchange, g Grant, tok *oauth2.Token, err error, more ...account.Secret) (Issued, *Error) {
	if err = x.fault(err); err != nil {
		e := classify(err, secretsOf(g.Account, append(more, g.Refresh)...), time.Now())
		hintForFlow(e, g.Account)
		return Issued{Refresh: x.answer.refreshToken()}, e
	}
	got, e := f.token(tok, x.answer.odd)
	if e != nil {
		got.Refresh = x.answer.refreshToken()
		return got, e
	}
	got.Scope, _ = tok.Extra("scope").(string)
	return got, nil
}

// checkEndpoint checks the URL of the account's token endpoint and of its proxy.
func checkEndpoint(a *account.Account) *Error {
	err := httpc.CheckURL(a.TokenURL)
	if err == nil {
		err = httpc.CheckProxy(a.TokenProxy)
	}
	if err != nil {
		return Local(err)
	}
	return nil
}

// token checks a token before it becomes part of SASL messages. odd is for Issued.Odd.
func (f *Flows) token(tok *oauth2.Token, odd []string) (Issued, *Error) {
	now := time.Now()
	out := Issued{Access: tok.AccessToken, Refresh: account.NewSecret(tok.RefreshToken), Expiry: tok.Expiry, Odd: odd}
	if !out.Expiry.After(now) {
		out.Expiry = now.Add(f.lifetime)
	}
	for _, name := range refreshLives {
		if seconds, ok := tok.Extra(name).(float64); ok {
			out.RefreshEnds = now.Add(time.Duration(seconds) * time.Second)
		}
	}
	if !namesBearer(tok.TokenType) {
		return Issued{}, Local(errTokenType)
	}
	if !IsBearer(out.Access) {
		return Issued{}, Local(httpc.ErrMalformedReply)
	}
	return out, nil
}

// namesBearer reports whether a token_type means a bearer token. Endpoints that leave
// it out or write it in their own way mean one too; RFC 6749 section 7.1 forbids the
// use of a token of another type.
func namesBearer(tokenType string) bool {
	word := strings.ToLower(strings.TrimSpace(tokenType))
	return word == "" || strings.HasPrefix(word, "bearer")
}

// IsBearer reports whether s can be a bearer token: printable ASCII without
// spaces, a little wider than the b64token of RFC 6750 section 2.1. Anything
// else could break out of its field of the SASL message.
func IsBearer(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return s != ""
}

// secretsOf lists the account's secrets and more, each as it is and as it was encoded
// in a request. No text of a reply may show them.
func secretsOf(a *account.Account, more ...account.Secret) []string {
	var out []string
	for _, s := range append(more, a.RefreshToken, a.ClientSecret, a.PrivateKey, a.TokenProxy) {
		if !s.IsZero() && s != account.NewSecret(account.NoProxy) {
			out = append(out, s.Reveal(), url.QueryEscape(s.Reveal()))
		}
	}
	if inHeader(a) {
		out = append(out, basic(a))
	}
	return out
}
