package flow

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/httpc"
)

// An exchange sends the requests of one fetch under its context and by its
// account's route, and keeps the last failure and the last answer: not all of
// x/oauth2 passes these on. It belongs to one goroutine.
type exchange struct {
	ctx    context.Context
	rt     http.RoundTripper
	err    error
	answer *answer // nil: there was none
}

// exchange returns a new one for the account.
func (f *Flows) exchange(ctx context.Context, a *account.Account) *exchange {
	ctx = httpc.WithRoute(ctx, httpc.Route{Proxy: a.TokenProxy, CAFile: a.TokenCAFile})
	return &exchange{ctx: ctx, rt: f.transport}
}

// RoundTrip implements http.RoundTripper. The body of the response is JSON, and
// so its Content-Type says, whatever the endpoint says of it: see asJSON and
// plainFields.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
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
	body, odd := plainFields(body)
	resp.Header.Set("Content-Type", "application/json")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	x.answer = &answer{status: resp.StatusCode, header: resp.Header, body: body, odd: odd}
	return resp, nil
}

// fault returns err, or what says more about why there is no token: the failure
// of the transport, or an error object where the status promised a token.
func (x *exchange) fault(err error) error {
	if x.err != nil {
		return x.err
	}
	if refusal := x.answer.refusal(); refusal != nil {
		return refusal
	}
	return err
}

// client returns an HTTP client over the exchange.
func (x *exchange) client() *http.Client {
	return &http.Client{
		Transport: x,
		// A redirect would carry secrets to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// context returns a context for x/oauth2 with the HTTP client of the exchange in it.
func (x *exchange) context() context.Context {
	return context.WithValue(x.ctx, oauth2.HTTPClient, x.client())
}

// post sends form to the endpoint, with authorization in its header if that is not
// empty. The error is for outcome. Without one the answer is in x.answer.
func (x *exchange) post(endpoint string, form url.Values, authorization string) error {
	req, err := http.NewRequestWithContext(x.ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return httpc.ErrURL
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := x.client().Do(req)
	if err != nil {
		return x.fault(err)
	}
	defer resp.Body.Close()
	if !x.answer.ok() {
		return &oauth2.RetrieveError{Response: resp, Body: x.answer.body}
	}
	return x.answer.refusal()
}
