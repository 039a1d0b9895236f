package oauth

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

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
	at      time.Time // when it was issued; zero is now
}

// A flow gets one access token from a provider. It must obey ctx and must not
// keep the grant. Its errors hold no secret.
type flow interface {
	// fetch returns, with an error, the refresh token that came all the same.
	fetch(ctx context.Context, g grant) (issued, *Error)
}

// flows are the flows that there are, by the name in the account.
type flows struct {
	rt       http.RoundTripper
	lifetime time.Duration // of a token that comes without one
}

// fetch implements flow.
func (f *flows) fetch(ctx context.Context, g grant) (issued, *Error) {
	switch g.account.TokenFlow() {
	case account.FlowRefreshToken:
		return f.refreshToken(ctx, g)
	case account.FlowClientCredentials:
		return f.clientCredentials(ctx, g)
	case account.FlowServiceAccount:
		return f.serviceAccount(ctx, g)
	case account.FlowExternal:
		if len(g.account.TokenCommand) > 0 {
			return f.command(ctx, g)
		}
		return f.endpoint(ctx, g)
	}
	return issued{}, classifyLocal(errFlow)
}

// A wire sends the requests of one fetch under its context and by its account's
// route, and keeps the last failure and the last answer: not all of x/oauth2
// passes these on.
type wire struct {
	ctx    context.Context
	rt     http.RoundTripper
	err    error
	answer *answer // nil: there was none
}

func (f *flows) newWire(ctx context.Context, a *account.Account) *wire {
	return &wire{ctx: withRoute(ctx, a), rt: f.rt}
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.answer = nil
	resp, err := w.rt.RoundTrip(r.WithContext(w.ctx))
	if w.err = err; err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body) // the transport has bounded it
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	w.answer = &answer{status: resp.StatusCode, header: resp.Header, body: body}
	return resp, nil
}

// fault is err, or what says more about why there is no token: the failure of
// the transport, or an error object where the status promised a token.
func (w *wire) fault(err error) error {
	if w.err != nil {
		return w.err
	}
	if refusal := w.answer.refusal(); refusal != nil {
		return refusal
	}
	return err
}

// client returns an HTTP client over the wire.
func (w *wire) client() *http.Client {
	return &http.Client{
		Transport: w,
		// A redirect would carry secrets to who knows where.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// context returns the one that x/oauth2 finds the client in.
func (w *wire) context() context.Context {
	return context.WithValue(w.ctx, oauth2.HTTPClient, w.client())
}

// outcome turns what x/oauth2 gave into the result of a fetch. With an error,
// the refresh token that the answer has all the same is in the result.
func (f *flows) outcome(w *wire, g grant, tok *oauth2.Token, err error) (issued, *Error) {
	if err = w.fault(err); err != nil {
		e := classify(err, secretsOf(g), time.Now())
		hintForFlow(e, g.account)
		return issued{refresh: w.answer.refreshToken()}, e
	}
	got, e := fromToken(tok, f.lifetime)
	if e != nil {
		got.refresh = w.answer.refreshToken()
	}
	return got, e
}

// checkEndpoint checks the URL of the account's token endpoint.
func checkEndpoint(a *account.Account) *Error {
	u, err := url.Parse(a.TokenURL)
	if err == nil {
		err = checkTokenURL(u)
	} else {
		err = errTokenURL
	}
	if err == nil {
		_, err = proxyURL(a.TokenProxy)
	}
	if err != nil {
		return classifyLocal(err)
	}
	return nil
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
	a := g.account
	var out []string
	for _, s := range []account.Secret{g.refresh, a.RefreshToken, a.ClientSecret, a.PrivateKey, a.TokenProxy} {
		if !s.IsZero() {
			out = append(out, s.Reveal(), url.QueryEscape(s.Reveal()))
		}
	}
	return out
}

// parseRSA reads an RSA key in either of its forms.
func parseRSA(der []byte) (*rsa.PrivateKey, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(*rsa.PrivateKey); ok {
		return key, nil
	}
	return nil, errors.New("not an RSA key")
}
