package flow

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/httpc"
)

// A DeviceCode is the answer of a device authorization endpoint (RFC 8628 section 3.2).
type DeviceCode struct {
	// Code is for the token endpoint.
	Code account.Secret
	// UserCode is for the person, who enters it at URL. URLWithCode, if not empty, is
	// the address with the code in it.
	UserCode, URL, URLWithCode string
	// Life is how long the codes are good, Interval the time between two polls. 0: the
	// endpoint does not say.
	Life, Interval time.Duration
}

// AskDevice asks a device authorization endpoint for a code of the account's client.
func (f *Flows) AskDevice(ctx context.Context, a *account.Account, endpoint, scope string) (DeviceCode, *Error) {
	form := url.Values{}
	if scope != "" {
		form.Set("scope", scope)
	}
	secret, err := prove(a, form)
	if err != nil {
		return DeviceCode{}, Local(err)
	}
	authorization := ""
	if inHeader(a) {
		authorization = "Basic " + basic(a)
	} else {
		form.Set("client_id", a.ClientID)
		if secret != "" {
			form.Set("client_secret", secret)
		}
	}
	x := f.exchange(ctx, a)
	if err := x.post(endpoint, form, authorization); err != nil {
		_, e := f.outcome(x, Grant{Account: a}, nil, err)
		return DeviceCode{}, e
	}
	var r struct {
		Code        string `json:"device_code"`
		UserCode    string `json:"user_code"`
		URI         string `json:"verification_uri"`
		URL         string `json:"verification_url"` // Google's name of it
		URIWithCode string `json:"verification_uri_complete"`
		ExpiresIn   int64  `json:"expires_in"`
		Interval    int64  `json:"interval"`
	}
	if json.Unmarshal(x.answer.body, &r) != nil || r.Code == "" || r.UserCode == "" || r.URI+r.URL == "" {
		return DeviceCode{}, Local(httpc.ErrMalformedReply)
	}
	if r.URI == "" {
		r.URI = r.URL
	}
	return DeviceCode{Code: account.NewSecret(r.Code), UserCode: r.UserCode, URL: r.URI, URLWithCode: r.URIWithCode,
		Life: time.Duration(r.ExpiresIn) * time.Second, Interval: time.Duration(r.Interval) * time.Second}, nil
}
