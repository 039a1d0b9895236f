package oauth

import (
	"math"
	"math/rand/v2"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/flow"
)

const (
	// defaultFactor multiplies the delay where the account has no policy.
	defaultFactor = 2
	// refusedStart is how many transient failures a token refused at login counts
	// for: each try is a login, so the delays begin longer.
	refusedStart = 4
)

// backoff is the delay after the n-th failure in a row (n >= 1). The account's
// policy gives the factor and may lower the cap. A longer Retry-After of the
// endpoint is obeyed. Jitter shortens the delay by up to half, so that accounts
// that failed together do not come back together.
func (c Config) backoff(p account.RetryPolicy, n int, e *Error) time.Duration {
	limit := c.BackoffMax
	if p.MaxDelay > 0 {
		limit = min(limit, max(p.MaxDelay, c.BackoffMin))
	}
	factor := p.BackoffFactor
	if factor < 1 {
		factor = defaultFactor
	}
	d := limit
	if e.ProviderCode != flow.LoopDetected { // a loop waits for the longest delay at once
		if f := float64(c.BackoffMin) * math.Pow(factor, float64(n-1)); f < float64(limit) {
			d = time.Duration(f)
		}
	}
	if p.Jitter || p == (account.RetryPolicy{}) {
		d -= rand.N(d/2 + 1)
	}
	if e.RetryAfter > d { // never earlier than asked, nor all at once
		d = e.RetryAfter + rand.N(e.RetryAfter/10+1)
	}
	return d
}
