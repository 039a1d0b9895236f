package carry

import (
	"strconv"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
	"xoauth2-proxy/upstream/internal/limit"
)

// Outcomes of messages, the values of the label of messages_total.
const (
	resultDelivered = iota // the upstream said 2yz
	resultRefused          // it said 5yz
	resultDeferred         // the client is to try again
	resultUnknown          // no final reply: the upstream may have it
	resultDryRun
	numResults
)

var resultNames = [numResults]string{"delivered", "refused", "deferred", "unknown", "dry_run"}

// Metrics are those of all messages. Their labels have few values: never an account or
// an address.
type Metrics struct {
	results  [numResults]*metrics.Counter
	provider *metric.Providers[[numResults]*metrics.Counter] // the same
	refusals metric.Family
	queue    *metrics.PrometheusHistogram // from the submission until a connection sends it
	exchange *metrics.PrometheusHistogram // the transaction on its connection
	duration *metrics.PrometheusHistogram
	stale    *metrics.Counter
	retries  *metrics.Counter
	expired  *metrics.Counter
	aborted  *metrics.Counter

	undeclared *metrics.Counter // messages of 8-bit content that nothing declares
	QueueFull  *metrics.Counter
	Limited    [limit.NumKinds]*metrics.Counter
	Panics     *metrics.Counter
}

// NewMetrics returns metrics that are in set, except for the histograms of phases.
// buckets are of the durations, in seconds.
func NewMetrics(set *metrics.Set, phases metric.Family, buckets []float64) *Metrics {
	counter := func(name, help string) *metrics.Counter { return metric.New(set, name, help).Counter() }
	byProvider := metric.New(set, "provider_messages_total", "Messages, by provider and outcome as messages_total.", "provider", "result")
	m := &Metrics{
		provider: metric.NewProviders(func(provider string) *[numResults]*metrics.Counter {
			c := new([numResults]*metrics.Counter)
			for i, name := range resultNames {
				c[i] = byProvider.Counter(provider, name)
			}
			return c
		}),
		refusals: metric.New(set, "provider_refusals_total",
			"Messages that a reply of the provider refused as a whole, by phase and kind of reply (4yz, 5yz).", "provider", "phase", "reply"),
		queue:     phases.Histogram(buckets, "queue"),
		exchange:  phases.Histogram(buckets, "exchange"),
		duration:  metric.New(set, "messages_duration_seconds", "Seconds from the end of a message's content to its answer.").Histogram(buckets),
		stale:     counter("upstream_stale_connections_total", "Parked connections that turned out to be closed when a message needed them."),
		retries:   counter("upstream_retries_total", "Messages sent once more over a fresh connection."),
		QueueFull: counter("upstream_queue_full_total", "Messages refused because too many waited for a connection."),
		expired:   counter("upstream_hold_expired_total", "Transactions reset at the provider because the content did not come within a second."),
		aborted:   counter("upstream_aborted_total", "Transactions reset at the provider because the client gave up."),

		undeclared: counter("upstream_undeclared_8bit_total", "Messages with 8-bit content that nothing declares."),
		Panics:     counter("upstream_panics_total", "Messages ended by a fault of the proxy."),
	}
	results := metric.New(set, "messages_total", "Messages, by outcome.", "result")
	for i, name := range resultNames {
		m.results[i] = results.Counter(name)
	}
	limited := metric.New(set, "upstream_limit_refusals_total", "Messages or recipients refused by a limit of the account, by limit.", "limit")
	for kind := range limit.NumKinds {
		m.Limited[kind] = limited.Counter(kind.Label())
	}
	return m
}

// message counts the outcome of a message to a provider.
func (m *Metrics) message(provider string, res Result, dryRun bool) {
	i := resultDelivered
	switch {
	case res.Err == nil && dryRun:
		i = resultDryRun
	case res.Err == nil:
	case res.Err.MaybeAccepted():
		i = resultUnknown
	case res.Reply.Permanent():
		i = resultRefused
	default:
		i = resultDeferred
	}
	m.results[i].Inc()
	m.provider.Of(provider)[i].Inc()
	if r := res.Err.Refusal(); r != nil {
		m.refusals.Shared(provider, r.Phase.String(), strconv.Itoa(res.Err.Reply.Code/100)+"yz").Inc()
	}
}
