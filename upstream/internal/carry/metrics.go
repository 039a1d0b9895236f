package carry

import (
	"github.com/VictoriaMetrics/metrics"

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

// NewMetrics returns metrics that are in set. buckets are of the durations, in seconds.
func NewMetrics(set *metrics.Set, buckets []float64) *Metrics {
	m := &Metrics{
		queue:     set.NewPrometheusHistogramExt(`upstream_phase_duration_seconds{phase="queue"}`, buckets),
		exchange:  set.NewPrometheusHistogramExt(`upstream_phase_duration_seconds{phase="exchange"}`, buckets),
		duration:  set.NewPrometheusHistogramExt("messages_duration_seconds", buckets),
		stale:     set.NewCounter("upstream_stale_connections_total"),
		retries:   set.NewCounter("upstream_retries_total"),
		QueueFull: set.NewCounter("upstream_queue_full_total"),
		expired:   set.NewCounter("upstream_hold_expired_total"),
		aborted:   set.NewCounter("upstream_aborted_total"),

		undeclared: set.NewCounter("upstream_undeclared_8bit_total"),
		Panics:     set.NewCounter("upstream_panics_total"),
	}
	for i, name := range resultNames {
		m.results[i] = set.NewCounter(`messages_total{result="` + name + `"}`)
	}
	for kind := range limit.NumKinds {
		m.Limited[kind] = set.NewCounter(`upstream_limit_refusals_total{limit="` + kind.Label() + `"}`)
	}
	return m
}

// message counts the outcome of a message.
func (m *Metrics) message(res Result, dryRun bool) {
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
}
