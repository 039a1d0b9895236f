package share

import (
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
)

var kindNames = [NumKinds]string{"messages_minute", "messages_hour", "messages_day", "recipients_day", "logins_minute"}

// counters are the metrics of a member.
type counters struct {
	answered, failed, stale *metrics.Counter
	duration                *metrics.PrometheusHistogram
	outages, lost           *metrics.Counter
}

func newCounters(set *metrics.Set, m *Member) counters {
	renewals := metric.New(set, "share_renewals_total", "Renewals of leases of shared limits, by result.",
		"result: answered, a call was answered; failed, a call was not, or with an error; stale, a report in an answered call was not executed").
		Do("failed: look at the store and the network to it, before share_outages_total rises. stale: nothing, it is sent again.")
	c := counters{
		answered: renewals.Counter("answered"), failed: renewals.Counter("failed"), stale: renewals.Counter("stale"),
		duration: metric.New(set, "share_renewal_duration_seconds", "Seconds that calls to the store of the shared limits took.").
			Do("Above 0.1: the store or the network to it is slow. Accounts that begin to send wait for one call.").
			Histogram([]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .2, .4, .8, 1.6}),
		outages: metric.New(set, "share_outages_total", "Times that the store of the shared limits did not answer for longer than leases last.").
			Do("Bring the store back: until then the messages of all accounts are deferred.").Counter(),
		lost: metric.New(set, "share_events_lost_total", "Times that the connection for events of the store of the shared limits broke.").
			Do("Rising: look at the store and the network to it. Orders and demands take seconds instead of milliseconds.").Counter(),
	}
	metric.New(set, "share_connected", "1 while the store of the shared limits answers this node, else 0.").
		Do("0: look at the store and the network to it; after 15 s nothing new begins.").Gauge(func() float64 {
		if m.joined.Load() && !m.failing.Load() {
			return 1
		}
		return 0
	})
	metric.New(set, "share_nodes", "Nodes that share limits, this one included.").
		Do("Fewer than there should be: look at the hosts, and at the network between them and the store.").
		Gauge(func() float64 { return float64(m.Nodes()) })
	metric.New(set, "share_leases", "Connections and permits that this node has leased, by what they are for.",
		"kind: slots, connections; messages_minute, messages_hour, messages_day, recipients_day and logins_minute, permits by their limit").
		Do("Nothing: they follow the mail.").GaugesOf(m.leases)
	return c
}

// renewed counts a call.
func (c *counters) renewed(err error, took time.Duration) {
	c.duration.Update(took.Seconds())
	if err != nil {
		c.failed.Inc()
		return
	}
	c.answered.Inc()
}

// leases tells set how much is leased.
func (m *Member) leases(set func(value float64, values ...string)) {
	var slots int
	var permits [NumKinds]int
	now := time.Now()
	for _, b := range m.all() {
		b.mu.Lock()
		if !b.over(now) {
			slots += b.slots.grant
		}
		for k := range permits {
			if b.permits[k].limit > 0 {
				permits[k] += b.permits[k].held()
			}
		}
		b.mu.Unlock()
	}
	set(float64(slots), "slots")
	for k, n := range permits {
		set(float64(n), kindNames[k])
	}
}
