package flow

import (
	"context"
	"net/url"
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

// outcome turns x/oauth2's result into the result of a fetch, as Fetch returns it.
func (f *Flows) outcome(x *Exchange, g Grant, tok *oauth2.Token, err error) (Issued, *Error) {
	if err = x.Fault(err); err != nil {
		e := x.Refusal(err, g.Refresh)
		hintForFlow(e, g.Account)
		return Issued{Refresh: x.answer.refreshToken()}, e
	}
	got, e := f.Token(tok)
	if e != nil {
		got.Refresh = x.answer.refreshToken()
	}
	return got, e
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

// Token checks a token before it becomes part of SASL messages.
func (f *Flows) Token(tok *oauth2.Token) (Issued, *Error) {
	now := time.Now()
	out := Issued{Access: tok.AccessToken, Refresh: account.NewSecret(tok.RefreshToken), Expiry: tok.Expiry}
	if out.Expiry.IsZero() {
		out.Expiry = now.Add(f.lifetime)
	}
	if tok.Type() != "Bearer" || !IsBearer(out.Access) || !out.Expiry.After(now) {
		return Issued{}, Local(httpc.ErrMalformedReply)
	}
	return out, nil
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
		if !s.IsZero() {
			out = append(out, s.Reveal(), url.QueryEscape(s.Reveal()))
		}
	}
	return out
}
