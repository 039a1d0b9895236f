package consent

import (
	"context"
	"net/url"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/httpc"
)

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
	// defaultPoll is the polling interval, in seconds, if the endpoint names none, and
	// the increase for each slow_down (RFC 8628 sections 3.2 and 3.5).
	defaultPoll = 5
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
		return nil, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errNoDeviceFlow, Hint: "use a browser instead"}
	}
	if err := check(z.cfg.DeviceURL, z.cfg.TokenURL); err != nil {
		return nil, err
	}
	x := z.exchange(ctx)
	conf := z.conf("")
	var options []oauth2.AuthCodeOption
	if !z.cfg.ClientSecret.IsZero() {
		options = append(options, oauth2.SetAuthURLParam("client_secret", conf.ClientSecret))
	}
	d, err := conf.DeviceAuth(x.Context(), options...)
	if err = x.Fault(err); err != nil {
		return nil, failure(x, err)
	}
	if d.DeviceCode == "" || d.UserCode == "" || d.VerificationURI == "" {
		return nil, flow.Local(httpc.ErrMalformedReply)
	}
	if d.Expiry.IsZero() {
		d.Expiry = time.Now().Add(defaultDeviceLife)
	}
	show(Prompt{URL: d.VerificationURI, Code: d.UserCode, URLWithCode: d.VerificationURIComplete, Expiry: d.Expiry})
	return z.poll(ctx, d)
}

// poll asks for the token until there is one. (x/oauth2's own loop gives up at
// the first lost connection, which section 3.5 of RFC 8628 does not want.)
func (z *Authorizer) poll(ctx context.Context, d *oauth2.DeviceAuthResponse) (*Result, error) {
	interval := d.Interval
	if interval <= 0 {
		interval = defaultPoll
	}
	conf := clientcredentials.Config{
		ClientID: z.cfg.ClientID, ClientSecret: z.cfg.ClientSecret.Reveal(), TokenURL: z.cfg.TokenURL,
		AuthStyle:      oauth2.AuthStyleInParams,
		EndpointParams: url.Values{"grant_type": {deviceGrant}, "device_code": {d.DeviceCode}},
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		timer.Reset(time.Duration(interval) * z.second)
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case now := <-timer.C:
			if now.After(d.Expiry) {
				return nil, &oauth.Error{Class: oauth.ClassInteractionRequired, Code: "expired_token", Hint: consentHints["expired_token"]}
			}
		}
		x := z.exchange(ctx)
		tok, err := conf.Token(x.Context())
		switch code := flow.ErrorCode(err); {
		case code == "authorization_pending":
		case code == "slow_down":
			interval += defaultPoll
		case err != nil && x.Lost(): // section 3.5 asks for a longer interval after a lost connection
			interval *= 2
		default:
			return z.result(x, tok, err, account.NewSecret(d.DeviceCode))
		}
	}
}
