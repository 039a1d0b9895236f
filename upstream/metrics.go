package upstream

import (
	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
)

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

// relayMetrics are the metrics of the pools of one relay. Their labels have few values:
// never an account or an address.
type relayMetrics struct {
	throttled [numReactions]*metrics.Counter
	prewarmed *metrics.Counter
}

func newRelayMetrics(set *metrics.Set) *relayMetrics {
	m := new(relayMetrics)
	throttled := metric.New(set, "upstream_throttle_events_total", "Times that refusals restrained an account, by how.", "action")
	for i, name := range reactionNames {
		m.throttled[i] = throttled.Counter(name)
	}
	m.prewarmed = metric.New(set, "upstream_prewarm_connections_total", "Connections to providers opened before a message needed them.").Counter()
	return m
}

// phases declares the histograms of what a message and its connection go through.
func phases(set *metrics.Set) metric.Family {
	return metric.New(set, "upstream_phase_duration_seconds",
		"Seconds in the queue, of connecting with login, of TLS within it, and of the exchange of a message.", "phase")
}
