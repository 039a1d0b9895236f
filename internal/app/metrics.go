package app

import (
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/checkup"
	"xoauth2-proxy/internal/metric"
)

// countedFor is how long a count of the accounts by state is shown: the states of all
// accounts are asked for once for all of them.
const countedFor = time.Second

// stateCounts counts the accounts by state, for the metrics.
type stateCounts struct {
	api *adminAPI

	mu     sync.Mutex // guards the two below
	at     time.Time
	counts map[string]map[string]int // by provider and state
}

// register adds a gauge for each state to set, and one for each provider and state.
func (c *stateCounts) register(set *metrics.Set) {
	const states = "state: active, nothing is against it; throttled, the provider takes less; failing, the last token request or login failed; " +
		"quota, used up for some time; held, the provider refuses its mail; refused, the provider refuses its credentials; " +
		"unknown, a part of the proxy does not answer; draining and paused, an operator's order"
	byState := metric.New(set, "accounts", "Accounts, by state.", states).
		Do("`accounts list --state broken` names the accounts that do not send as they should, with the reason.")
	for _, state := range admin.States {
		byState.Gauge(func() float64 {
			n := 0
			for _, counts := range c.latest() {
				n += counts[state]
			}
			return float64(n)
		}, state)
	}
	byProvider := metric.New(set, "provider_accounts", "Accounts, by provider and state.", "provider", states).
		Do("Many of one provider at one time: the fault is the provider's or that of a client_id. `accounts list --state broken --provider NAME`.")
	byProvider.GaugesOf(func(set func(value float64, values ...string)) {
		for provider, counts := range c.latest() {
			for _, state := range admin.States {
				set(float64(counts[state]), provider, state)
			}
		}
	})
}

// latest returns the counts. The caller must not change them.
func (c *stateCounts) latest() map[string]map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil || time.Since(c.at) > countedFor {
		c.counts = make(map[string]map[string]int)
		accounts := c.api.store.Load().All()
		for i, s := range c.api.statuses(accounts) {
			provider := accounts[i].Provider
			if c.counts[provider] == nil {
				c.counts[provider] = make(map[string]int)
			}
			c.counts[provider][s.State]++
		}
		c.at = time.Now()
	}
	return c.counts
}

// certificateEnds has the first end of the certificates of accounts, by provider.
type certificateEnds struct {
	mu   sync.Mutex // guards the two below
	of   *account.Snapshot
	ends map[string]time.Time
}

// register adds a gauge for each provider with such accounts to set.
func (c *certificateEnds) register(store *account.Store, set *metrics.Set) {
	ends := metric.New(set, "provider_client_certificate_not_after_timestamp_seconds",
		"Seconds since 1970 at the first end of a client_certificate of the provider's accounts.", "provider").
		Do("Upload a new certificate to the provider, and put it with its key into accounts.json before.")
	ends.GaugesOf(func(set func(value float64, values ...string)) {
		for provider, end := range c.in(store.Load()) {
			set(float64(end.Unix()), provider)
		}
	})
}

// in returns the ends for the accounts of s. They are computed once for each snapshot.
func (c *certificateEnds) in(s *account.Snapshot) map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == s {
		return c.ends
	}
	c.of, c.ends = s, make(map[string]time.Time)
	for _, a := range s.All() {
		end, ok := checkup.CertificateEnd(a.Certificate)
		if first, has := c.ends[a.Provider]; ok && (!has || end.Before(first)) {
			c.ends[a.Provider] = end
		}
	}
	return c.ends
}
