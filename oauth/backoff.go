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
	// refusedStart makes the delays after tokens refused at login begin where
	// those after refusedStart transient failures are: each try is a login.
	refusedStart = 4
)

// backoff is the delay after the n-th failure in a row (n >= 1). The account's
// policy gives the factor and may lower the cap; what the endpoint asked for by
// Retry-After is obeyed if it is longer. Jitter takes up to half away, so that
// accounts that failed together do not come back together.
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
	if e.ProviderCode != flow.LoopDetected { // that one is told the longest delay at once
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
