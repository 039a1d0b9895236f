// Package counters has the metrics of the pools of one relay.
package counters

import (
	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
)

// Reaction is what a refusal that is of concern to the account leads to.
type Reaction uint8

// The reactions.
const (
	Slow   Reaction = iota // lower concurrency
	Logins                 // pause of logins
	Quota                  // pause for hours
	Hold                   // until an operator acts
	numReactions
)

var reactionNames = [numReactions]string{"concurrency", "logins", "quota", "hold"}

// Buckets reach from a relay on the same machine to the longest timeout, in seconds.
var Buckets = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300,
}

// Counters are the metrics of one relay. Their labels have few values: never an account
// or an address.
type Counters struct {
	throttled [numReactions]*metrics.Counter
	provider  *metric.Providers[[numReactions]*metrics.Counter]
	Prewarmed *metrics.Counter
}

// New makes the metrics, and registers them with set.
func New(set *metrics.Set) *Counters {
	const action = "action: concurrency, fewer connections; logins, no new ones for some minutes; quota, no mail for hours; hold, no mail until an operator acts"
	throttled := metric.New(set, "upstream_throttle_events_total", "Times that refusals restrained an account, by how.", action).
		Do("provider_throttle_events_total says at which provider; `accounts list --state broken` which accounts, and the provider's reply.")
	byProvider := metric.New(set, "provider_throttle_events_total", "Times that refusals restrained an account, by provider and how.", "provider", action).
		Do("concurrency, logins: lower max_connections or logins_per_minute of the provider. quota: lower the limits of the day. hold: act on the provider's reply, then resume the account.")
	c := &Counters{
		provider: metric.NewProviders(func(provider string) *[numReactions]*metrics.Counter {
			counts := new([numReactions]*metrics.Counter)
			for i, name := range reactionNames {
				counts[i] = byProvider.Counter(provider, name)
			}
			return counts
		}),
		Prewarmed: metric.New(set, "upstream_prewarm_connections_total", "Connections to providers opened before a message needed them.").
			Do("Nothing: they follow upstream.prewarm_connections.").Counter(),
	}
	for i, name := range reactionNames {
		c.throttled[i] = throttled.Counter(name)
	}
	return c
}

// Restrained counts a reaction for an account at a provider.
func (c *Counters) Restrained(provider string, r Reaction) {
	c.throttled[r].Inc()
	c.provider.Of(provider)[r].Inc()
}

// Phases declares the histograms of what a message and its connection go through.
func Phases(set *metrics.Set) metric.Family {
	return metric.New(set, "upstream_phase_duration_seconds",
		"Seconds in the queue, of connecting with login, of TLS within it, and of the exchange of a message.",
		"phase: queue, from the hand-over until a connection sends it; connect, with TLS and login; tls, the handshake; exchange, from MAIL to the final reply").
		Do("queue: too few connections for the mail, see provider_queue_duration_seconds. connect, tls, exchange: the network or the provider is slow.")
}

// Gauges registers what the relay counts itself: accounts that are held, messages that
// wait, and those that wait or are being sent.
func Gauges(set *metrics.Set, held, waiting, inFlight func() int64) {
	gauge := func(name, help, do string, read func() int64) {
		metric.New(set, name, help).Do(do).Gauge(func() float64 { return float64(read()) })
	}
	gauge("upstream_accounts_held", "Accounts that a refusal of the provider holds.",
		"`accounts list --state held` has the provider's replies; act on them, then POST /admin/accounts/{email}/resume.", held)
	gauge("upstream_queue_depth", "Messages that wait for a connection.",
		"Growing: provider_queue_depth says at which provider. Raise its max_connections if the provider allows, or send less at a time.", waiting)
	gauge("upstream_messages_in_flight", "Messages that wait for a connection or are being sent.",
		"Near upstream.queue_size or upstream.max_transactions: those bounds slow the mail.", inFlight)
}
