// Package counters has the metrics of one token manager.
package counters

import (
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
	"xoauth2-proxy/oauth/internal/flow"
)

// durationBuckets are for HTTPS requests with a time limit of ten seconds.
var durationBuckets = []float64{.025, .05, .1, .2, .4, .8, 1.6, 3.2, 6.4, 12.8, 30}

// Counters are the metrics of one manager.
type Counters struct {
	success  *metrics.Counter
	provider metric.Family
	failure  [flow.NumClasses]*metrics.Counter
	duration *metrics.PrometheusHistogram

	Rotations, StoreErrors, Suppressed *metrics.Counter
}

// New makes the metrics, and registers them with set.
func New(set *metrics.Set) *Counters {
	counter := func(name, help, do string) *metrics.Counter { return metric.New(set, name, help).Do(do).Counter() }
	const result = "result: success; unavailable, throttled and no_endpoint, of the token endpoint; token_refused, by the provider at login; " +
		"store_unavailable, mailboxes, removed and closed, of the proxy; invalid_grant and interaction_required, consent is needed again; " +
		"invalid_client and misconfigured, of the client or the request; login_refused, at login"
	refreshes := metric.New(set, "token_refresh_total", "Refreshes of access tokens, by outcome.", result).
		Do("invalid_grant, interaction_required: `authorize` the account again. invalid_client: the client_id or its secret. unavailable: the network or the provider.")
	c := &Counters{
		provider: metric.New(set, "provider_token_refreshes_total",
			"Refreshes of access tokens, by provider and outcome as token_refresh_total.", "provider", result).
			Do("As token_refresh_total. `accounts list --state refused,failing --provider NAME` has the accounts."),
		success: refreshes.Counter("success"),
		duration: metric.New(set, "token_refresh_duration_seconds", "Seconds that refreshes of access tokens took.").
			Do("Seconds: the token endpoint or the way to it is slow. Compare oauth.request_timeout.").Histogram(durationBuckets),
		Rotations: counter("token_rotations_total", "Refresh tokens that a token endpoint has replaced.",
			"Nothing, if oauth.token_store is set: without it a restart loses them."),
		StoreErrors: counter("token_store_errors_total", "Failures to read or save tokens.",
			"Look at the disk of oauth.token_store at once: replaced refresh tokens are in memory only."),
		Suppressed: counter("token_refresh_suppressed_total", "Refreshes not begun, since the last failure forbids it for now.",
			"Nothing: it spares the token endpoint. `accounts list --state refused,failing` has the causes."),
	}
	for class := range flow.NumClasses {
		c.failure[class] = refreshes.Counter(class.String())
	}
	return c
}

// Refreshed counts one finished refresh of an account at a provider.
func (c *Counters) Refreshed(provider string, start time.Time, err *flow.Error) {
	c.duration.UpdateDuration(start)
	c.Outcome(provider, err)
}

// Outcome counts what has come of a refresh.
func (c *Counters) Outcome(provider string, err *flow.Error) {
	count, result := c.success, "success"
	if err != nil {
		count, result = c.failure[err.Class], err.Class.String()
	}
	count.Inc()
	c.provider.Shared(provider, result).Inc()
}

// Readings are what a manager counts itself.
type Readings struct {
	Cached, Unsaved, Mailboxes, ClientsRefused, Running, Queued func() int
}

// Gauges registers them.
func Gauges(set *metrics.Set, of Readings) {
	gauge := func(name, help, do string, read func() int) {
		metric.New(set, name, help).Do(do).Gauge(func() float64 { return float64(read()) })
	}
	gauge("tokens_cached", "Access tokens in memory that are valid.",
		"Far below the number of accounts that send: refreshes fail, see token_refresh_total.", of.Cached)
	gauge("tokens_unsaved", "Refresh tokens that could not be saved yet.",
		"Look at the disk of oauth.token_store, and do not restart before it is 0: the tokens would be lost.", of.Unsaved)
	gauge("token_mailboxes", "Mailboxes of catch-all accounts that have a token source.",
		"Near oauth.max_mailboxes: raise that.", of.Mailboxes)
	gauge("token_clients_refused", "OAuth clients that a token endpoint refuses.",
		"Each stops all accounts of its client_id: renew the client secret or certificate. `accounts list --state refused` has the reply.", of.ClientsRefused)
	gauge("token_refreshes_in_flight", "Refreshes that run.",
		"At oauth.parallel_refreshes for long: see token_refresh_duration_seconds.", of.Running)
	gauge("token_refresh_queue_depth", "Refreshes that wait for a worker.",
		"Not back at 0 in a minute: raise oauth.parallel_refreshes, or the token endpoint is slow.", of.Queued)
}
