package consent

import (
	"context"
	"net/url"
	"time"

	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/flow"
)

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
	// defaultPoll is the polling interval, in seconds, if the endpoint names none, and
	// the increase for each slow_down (RFC 8628 sections 3.2 and 3.5).
	defaultPoll = 5
	// slowestPoll is the longest polling interval, in seconds, that failures lead to.
	slowestPoll = 60
	// defaultDeviceLife is how long a code is good if the endpoint does not say, though
	// it must.
	defaultDeviceLife = 15 * time.Minute
)

// Prompt has what a person needs to give consent on another device.
type Prompt struct {
	// URL is the address to open, Code the code to enter there. URLWithCode, if not
	// empty, is the address with the code in it.
	URL, Code, URLWithCode string
	// Expiry is the end of the code.
	Expiry time.Time
}

// DeviceAuthorize gets consent by device code (RFC 8628): it calls show to tell the
// person what to do, and waits until that is done, refused or too late. The error is
// an *oauth.Error, or the cause of ctx's end.
func (z *Authorizer) DeviceAuthorize(ctx context.Context, show func(Prompt)) (*Result, error) {
	if z.cfg.DeviceURL == "" {
		return nil, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errNoDeviceFlow, Hint: hint.ConsentNoDeviceCode}
	}
	if err := check(z.cfg.DeviceURL, z.cfg.Account.TokenURL); err != nil {
		return nil, err
	}
	d, err := z.askDevice(ctx)
	if err != nil {
		return nil, explain(err)
	}
	life := d.Life
	if life == 0 {
		life = defaultDeviceLife
	}
	expiry := time.Now().Add(life)
	show(Prompt{URL: d.URL, Code: d.UserCode, URLWithCode: d.URLWithCode, Expiry: expiry})
	return z.poll(ctx, d, expiry)
}

// askDevice asks for a code, as a client of the other kind if the provider says so.
func (z *Authorizer) askDevice(ctx context.Context) (flow.DeviceCode, *oauth.Error) {
	d, err := z.flows.AskDevice(ctx, z.cfg.Account, z.cfg.DeviceURL, z.cfg.Scope)
	if other := z.otherKind(z.cfg.Account, err); other != nil {
		d, err = z.flows.AskDevice(ctx, other, z.cfg.DeviceURL, z.cfg.Scope)
	}
	return d, err
}

// poll asks for the token until there is one, the person or the provider refuses, or
// the code expires. A failure that passes makes the polls slower and does not end them
// (RFC 8628 section 3.5).
func (z *Authorizer) poll(ctx context.Context, d flow.DeviceCode, expiry time.Time) (*Result, error) {
	params := url.Values{"grant_type": {deviceGrant}, "device_code": {d.Code.Reveal()}}
	interval := int(d.Interval / time.Second)
	if interval == 0 {
		interval = defaultPoll
	}
	client := z.cfg.Account
	unanswered := &oauth.Error{Class: oauth.ClassInteractionRequired, Code: "expired_token", Hint: hint.ConsentTooLate}
	last := unanswered // why there is no token
	var least float64  // seconds that the endpoint asked us to wait
	for {
		wait := time.Duration(max(float64(interval), least) * float64(z.second))
		if !pause(ctx, min(wait, time.Until(expiry))) {
			return nil, context.Cause(ctx)
		}
		if !time.Now().Before(expiry) {
			return nil, last
		}
		as, got, err := z.ask(ctx, client, params, d.Code)
		if !got.Refresh.IsZero() || !passing(err) {
			return z.result(as, got, err)
		}
		switch client, last, least = as, unanswered, err.RetryAfter.Seconds(); err.Code {
		case "authorization_pending":
		case "slow_down":
			interval += defaultPoll
		default:
			interval, last = max(interval, min(2*interval, slowestPoll)), err
		}
	}
}
