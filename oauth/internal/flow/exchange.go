package flow

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/httpc"
)

// An Exchange sends the requests of one fetch under its context and by its
// account's route, and keeps the last failure and the last answer: not all of
// x/oauth2 passes these on. It belongs to one goroutine.
type Exchange struct {
	ctx     context.Context
	account *account.Account
	rt      http.RoundTripper
	err     error
	answer  *answer // nil: there was none
}

// Exchange returns a new one for the account, which it borrows.
func (f *Flows) Exchange(ctx context.Context, a *account.Account) *Exchange {
	ctx = httpc.WithRoute(ctx, httpc.Route{Proxy: a.TokenProxy, CAFile: a.TokenCAFile})
	return &Exchange{ctx: ctx, account: a, rt: f.transport}
}

// RoundTrip implements http.RoundTripper. The body of the response is JSON, and
// so its Content-Type says, whatever the endpoint says of it: see asJSON.
func (x *Exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	x.answer = nil
	var resp *http.Response
	if resp, x.err = x.rt.RoundTrip(r.WithContext(x.ctx)); x.err != nil {
		return nil, x.err
	}
	body, err := io.ReadAll(resp.Body) // the transport has bounded it
	if err != nil {
		return nil, err
	}
	if body, x.err = asJSON(body, resp.Header.Get("Content-Encoding")); x.err != nil {
		return nil, x.err
	}
	resp.Header.Set("Content-Type", "application/json")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	x.answer = &answer{status: resp.StatusCode, header: resp.Header, body: body}
	return resp, nil
}

// Fault returns err, or what says more about why there is no token: the failure
// of the transport, or an error object where the status promised a token.
func (x *Exchange) Fault(err error) error {
	if x.err != nil {
		return x.err
	}
	if refusal := x.answer.refusal(); refusal != nil {
		return refusal
	}
	return err
}

// Lost reports whether the last request had no answer that could be read.
func (x *Exchange) Lost() bool { return x.err != nil }

// Refusal classifies what Fault returned. The error holds nothing of the
// account's secrets and of more.
func (x *Exchange) Refusal(err error, more ...account.Secret) *Error {
	return classify(err, secretsOf(x.account, more...), time.Now())
}

// client returns an HTTP client over the exchange.
func (x *Exchange) client() *http.Client {
	return &http.Client{
		Transport: x,
		// A redirect would carry secrets to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Context returns a context for x/oauth2 with the HTTP client of the exchange in it.
func (x *Exchange) Context() context.Context {
	return context.WithValue(x.ctx, oauth2.HTTPClient, x.client())
}
