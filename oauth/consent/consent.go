package consent

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/httpc"
)

var (
	errNoRefreshToken = errors.New("the provider gave no refresh token")
	errNoDeviceFlow   = errors.New("the provider has no device authorization for mail")
	errAuthURL        = errors.New("the authorization URL must be https with a host; http is for loopback only")
)

// Config says what a person is asked to consent to, and where.
type Config struct {
	// Account is the account that the refresh token is for: its client, how that client
	// proves its identity, and the token endpoint with the way to it.
	Account *account.Account
	// Spare is a secret of the client that the account does not send. It is sent if the
	// provider says that it wants one.
	Spare account.Secret
	// AuthURL (browser) and DeviceURL (device code) are the provider's endpoints.
	AuthURL, DeviceURL string
	// Scope is the scope to ask for, such as account.Provider.ConsentScope.
	Scope string
}

// Result is the result of a person's consent.
type Result struct {
	// RefreshToken is for the accounts file.
	RefreshToken account.Secret
	// Token is the first access token, for a login that proves that all works. It is
	// nil if the answer had none that can be used.
	Token *oauth.Token
	// Scope is the granted scope as the provider says it; it may be empty.
	Scope string
	// SentSecret: the client proved its identity by its secret. Refreshes must do so too.
	SentSecret bool
}

// Authorizer asks people for consent. It holds connections: Close it.
type Authorizer struct {
	cfg    Config
	flows  *flow.Flows
	second time.Duration // of polling intervals and pauses; tests have faster ones
}

// New returns an authorizer, which sends its requests as requests says.
func New(requests oauth.Config, cfg Config) *Authorizer {
	return &Authorizer{cfg: cfg, flows: requests.Flows(), second: time.Second}
}

// Close ends the connections.
func (z *Authorizer) Close() { z.flows.Close() }

// check refuses endpoints that no secret may be sent to.
func check(endpoints ...string) error {
	for _, e := range endpoints {
		if httpc.CheckURL(e) != nil {
			return &oauth.Error{Class: oauth.ClassMisconfigured, Err: errAuthURL, Hint: hint.ConsentURLs}
		}
	}
	return nil
}

// ask sends a token request of the client with params. If the provider says that the
// client is of the other kind, public or confidential, ask sends it again as such a
// client, which it returns. The request goes on after the end of ctx: its answer is all
// that a person's consent leaves.
func (z *Authorizer) ask(
	ctx context.Context, client *account.Account, params url.Values, more ...account.Secret,
) (as *account.Account, got flow.Issued, err *oauth.Error) {
	ctx = context.WithoutCancel(ctx) // the transport's timeout bounds it
	got, err = z.flows.Ask(ctx, flow.Grant{Account: client}, maps.Clone(params), more...)
	if other := z.otherKind(client, err); other != nil {
		client = other
		got, err = z.flows.Ask(ctx, flow.Grant{Account: client}, maps.Clone(params), more...)
	}
	return client, got, err
}

// otherKind returns the client with its secret if err says that it needs one, and
// without if err says that it must send none. It is nil if that changes nothing.
func (z *Authorizer) otherKind(client *account.Account, err *oauth.Error) *account.Account {
	if err == nil || client.Certificate != "" {
		return nil
	}
	other := *client
	switch err.ProviderCode {
	case "AADSTS7000218":
		other.ClientSecret = z.cfg.Spare
	case "AADSTS700025", "AADSTS90023":
		other.ClientSecret = account.Secret{}
	}
	if other.ClientSecret == client.ClientSecret {
		return nil
	}
	return &other
}

// result returns the result of a request that client has sent. A refresh token counts
// whatever was wrong with the rest of the answer.
func (z *Authorizer) result(client *account.Account, got flow.Issued, err *oauth.Error) (*Result, error) {
	switch {
	case !got.Refresh.IsZero():
	case err != nil:
		return nil, explain(err)
	default:
		return nil, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errNoRefreshToken,
			Hint: hint.ConsentNotOffline}
	}
	r := &Result{RefreshToken: got.Refresh, Scope: got.Scope,
		SentSecret: client.Certificate == "" && !client.ClientSecret.IsZero()}
	if err == nil {
		r.Token = oauth.NewToken(client, got.Access, got.Expiry)
	}
	return r, nil
}

// passing reports whether a request that failed with err may succeed later.
func passing(err *oauth.Error) bool { return err != nil && !err.Permanent() }

// pause waits for d. It returns false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
