// Package census counts the connections to providers by provider and state, for the
// metrics. Each shard counts its own without a lock.
package census

import (
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
)

// State is what a connection is doing; all but Gone count against the account's limit.
type State uint8

// The states of a connection.
const (
	Gone State = iota
	Dialing
	Busy
	Parked
	Closing
	NumStates
)

// names are the values of the label state.
var names = [NumStates]string{Dialing: "dialing", Busy: "active", Parked: "parked", Closing: "closing"}

// Counts are connections by state.
type Counts [NumStates]atomic.Int64

// Shard has the counts of a shard by provider.
type Shard = metric.Providers[Counts]

// NewShard returns a shard without connections.
func NewShard() *Shard { return metric.NewProviders(func(string) *Counts { return new(Counts) }) }

// Shards are all shards.
type Shards []*Shard

// In counts the connections in a state.
func (all Shards) In(state State) (n int64) {
	for _, s := range all {
		for _, counts := range s.All() {
			n += counts[state].Load()
		}
	}
	return n
}

// Register puts the counts into set.
func (all Shards) Register(set *metrics.Set) {
	const states = "state: dialing, being opened; active, carrying a message; parked, logged in and idle; closing, after QUIT"
	byState := metric.New(set, "upstream_connections", "Connections to providers, by what they are doing.", states).
		Do("Nothing by itself: provider_connections has them by provider.")
	for state := Gone + 1; state < NumStates; state++ {
		byState.Gauge(func() float64 { return float64(all.In(state)) }, names[state])
	}
	metric.New(set, "provider_connections", "Connections to providers, by provider and what they are doing.", "provider", states).
		Do("Many dialing and few active: the provider is slow to let in, see provider_logins_total. All active: max_connections bounds the mail.").
		GaugesOf(all.byProvider)
}

// byProvider tells set the connections by provider and state.
func (all Shards) byProvider(set func(value float64, values ...string)) {
	sums := make(map[string]*[NumStates]int64)
	for _, s := range all {
		for provider, counts := range s.All() {
			if sums[provider] == nil {
				sums[provider] = new([NumStates]int64)
			}
			for state := range counts {
				sums[provider][state] += counts[state].Load()
			}
		}
	}
	for provider, sum := range sums {
		for state := Gone + 1; state < NumStates; state++ {
			set(float64(sum[state]), provider, names[state])
		}
	}
}
