package app

import (
	"fmt"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/admin"
)

// countedFor is how long a count of the accounts by state is shown: all states are asked
// for one after the other, and are counted together.
const countedFor = time.Second

// stateCounts counts the accounts by state, for the metrics.
type stateCounts struct {
	api *adminAPI

	mu     sync.Mutex // guards the two below
	at     time.Time
	counts map[string]int
}

// register adds a gauge for each state to set.
func (c *stateCounts) register(set *metrics.Set) {
	for _, state := range admin.States {
		set.NewGauge(fmt.Sprintf("accounts{state=%q}", state), func() float64 { return float64(c.of(state)) })
	}
}

func (c *stateCounts) of(state string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil || time.Since(c.at) > countedFor {
		c.counts = make(map[string]int)
		for _, s := range c.api.statuses(c.api.store.Load().All()) {
			c.counts[s.State]++
		}
		c.at = time.Now()
	}
	return c.counts[state]
}
