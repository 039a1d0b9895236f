package upstream

import (
	"context"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/counters"
	"xoauth2-proxy/upstream/internal/login"
)

// Verifier logs in to providers and sends nothing: what a Relay does before its
// first message, for one account at a time and apart from its connections. Its
// methods are safe for concurrent use.
type Verifier struct{ logins *login.Opener }

// NewVerifier returns a verifier that takes access tokens from tokens. It fails
// if cfg is not valid or its CAFile is not good.
func NewVerifier(cfg Config, tokens *oauth.Manager) (*Verifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	set := metrics.NewSet() // of its own: a verification is no login of mail
	d, err := cfg.Dialer(set)
	if err != nil {
		return nil, err
	}
	return &Verifier{&login.Opener{Tokens: tokens, TokenTimeout: cfg.TokenTimeout, Dialer: d, Client: cfg.Client(), Log: zap.NewNop(),
		Metrics: login.NewMetrics(set, counters.Phases(set), counters.Buckets)}}, nil
}

// Verify does the real thing: it gets an access token, connects, secures the
// connection, authenticates with XOAUTH2 and quits. A token that was cached and
// is refused is replaced once, as for mail. The error is an *Error that tells
// how far it came, or nil; ctx ends the attempt.
//
// The connection counts at the provider beside those that carry mail.
func (v *Verifier) Verify(ctx context.Context, a *account.Account) error {
	var logins int
	l, err := v.logins.Open(ctx, a, &logins)
	if err != nil {
		if ctx.Err() != nil {
			err.Err = context.Cause(ctx)
		}
		return err
	}
	l.Quit()
	return nil
}
