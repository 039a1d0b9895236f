package upstream

import (
	"time"

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

// Steps whose duration is measured.
const (
	phaseQueue    = iota // from the submission until a connection sends it
	phaseExchange        // the transaction on its connection
	numSteps
)

var stepNames = [numSteps]string{"queue", "exchange"}

// Reactions to refusals that are of concern to the account.
const (
	reactedSlow   = iota // lower concurrency
	reactedLogins        // pause of logins
	reactedQuota         // pause for hours
	reactedHold          // until an operator acts
	numReactions
)

var reactionNames = [numReactions]string{"concurrency", "logins", "quota", "hold"}

// latencyBuckets reach from a relay on the same machine to the longest timeout.
var latencyBuckets = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300,
}

// relayMetrics are the metrics of one relay. Their labels have few values:
// never an account or an address.
type relayMetrics struct {
	results   [numResults]*metrics.Counter
	steps     [numSteps]*metrics.PrometheusHistogram
	duration  *metrics.PrometheusHistogram
	stale     *metrics.Counter
	retries   *metrics.Counter
	queueFull *metrics.Counter
	expired   *metrics.Counter
	aborted   *metrics.Counter
	limited   [limit.NumKinds]*metrics.Counter
	throttled [numReactions]*metrics.Counter
	prewarmed *metrics.Counter
	panics    *metrics.Counter
}

func newRelayMetrics(r *Relay, set *metrics.Set) *relayMetrics {
	m := &relayMetrics{
		duration:  set.NewPrometheusHistogramExt("messages_duration_seconds", latencyBuckets),
		stale:     set.NewCounter("upstream_stale_connections_total"),
		retries:   set.NewCounter("upstream_retries_total"),
		queueFull: set.NewCounter("upstream_queue_full_total"),
		expired:   set.NewCounter("upstream_hold_expired_total"),
		aborted:   set.NewCounter("upstream_aborted_total"),
		panics:    set.NewCounter("upstream_panics_total"),
	}
	for i, name := range resultNames {
		m.results[i] = set.NewCounter(`messages_total{result="` + name + `"}`)
	}
	for kind := range limit.NumKinds {
		m.limited[kind] = set.NewCounter(`upstream_limit_refusals_total{limit="` + kind.Label() + `"}`)
	}
	for i, name := range reactionNames {
		m.throttled[i] = set.NewCounter(`upstream_throttle_events_total{action="` + name + `"}`)
	}
	m.prewarmed = set.NewCounter("upstream_prewarm_connections_total")
	set.NewGauge("upstream_accounts_held", func() float64 { return float64(r.held.Load()) })
	for i, name := range stepNames {
		m.steps[i] = set.NewPrometheusHistogramExt(`upstream_phase_duration_seconds{phase="`+name+`"}`, latencyBuckets)
	}
	for state, name := range map[connState]string{
		connDialing: "dialing", connBusy: "active", connParked: "parked", connClosing: "closing",
	} {
		set.NewGauge(`upstream_connections{state="`+name+`"}`, func() float64 { return float64(r.connections(state)) })
	}
	set.NewGauge("upstream_queue_depth", func() float64 { return float64(r.waiting.Load()) })
	set.NewGauge("upstream_messages_in_flight", func() float64 {
		return float64(r.waiting.Load() + r.connections(connBusy))
	})
	return m
}

// connections counts the connections of all accounts in a state.
func (r *Relay) connections(state connState) (n int64) {
	for _, s := range r.shards {
		n += s.counts[state].Load()
	}
	return n
}

func (m *relayMetrics) phase(step int, d time.Duration) { m.steps[step].Update(d.Seconds()) }

// message counts the outcome of a message.
func (m *relayMetrics) message(res Result, dryRun bool) {
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
