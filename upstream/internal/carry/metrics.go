package carry

import (
	"strconv"
	"sync/atomic"
	"time"

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
	provider *metric.Providers[ofProvider]
	refusals metric.Family
	queue    *metrics.PrometheusHistogram // from the submission until a connection sends it
	exchange *metrics.PrometheusHistogram // the transaction on its connection
	duration *metrics.PrometheusHistogram
	stale    *metrics.Counter
	retries  *metrics.Counter
	expired  *metrics.Counter
	aborted  *metrics.Counter

	undeclared *metrics.Counter // messages of 8-bit content that nothing declares
	queueFull  *metrics.Counter
	limited    [limit.NumKinds]*metrics.Counter
	Panics     *metrics.Counter
}

// ofProvider is the part of one provider.
type ofProvider struct {
	results         [numResults]*metrics.Counter
	queueFull       *metrics.Counter
	limited         [limit.NumKinds]*metrics.Counter
	queue, duration *metrics.PrometheusHistogram
	waiting         atomic.Int64
}

// What label values of these metrics mean.
const (
	ResultLabel = "result: delivered, the provider has it; refused, for good (5yz); deferred, the client is to try again (4yz); " +
		"unknown, no final reply came and the provider may have it; dry_run, nothing was sent"
	limitLabel = "limit: messages_minute, messages_hour, messages_day, recipients_day, logins_minute, each a limit of the account; tenant_recipients_day, that of its tenant"
)

// NewMetrics returns metrics that are in set, except for the histograms of phases.
// buckets are of the durations, in seconds.
func NewMetrics(set *metrics.Set, phases metric.Family, buckets []float64) *Metrics {
	counter := func(name, help, do string) *metrics.Counter { return metric.New(set, name, help).Do(do).Counter() }
	m := &Metrics{
		provider: providers(set, buckets),
		refusals: metric.New(set, "provider_refusals_total",
			"Messages that a reply of the provider refused as a whole, by phase and kind of reply (4yz, 5yz).", "provider",
			"phase: the command that was refused, or the phase of the connection", "reply: 4yz, temporary; 5yz, permanent").
			Do("The log has the replies. docs/provider-replies.md says what the proxy makes of them."),
		queue:    phases.Histogram(buckets, "queue"),
		exchange: phases.Histogram(buckets, "exchange"),
		duration: metric.New(set, "messages_duration_seconds", "Seconds from the end of a message's content to its answer.").
			Do("upstream_phase_duration_seconds says which part takes long, provider_messages_duration_seconds at which provider.").Histogram(buckets),
		stale: counter("upstream_stale_connections_total", "Parked connections that turned out to be closed when a message needed them.",
			"Nothing: the message goes over another one. Many: lower idle_timeout of the provider."),
		retries: counter("upstream_retries_total", "Messages sent once more over a fresh connection.",
			"Nothing: the provider had provably not taken them. Many: the network or the provider breaks connections."),
		queueFull: counter("upstream_queue_full_total", "Messages refused because too many waited for a connection.",
			"The clients get 451 and try again. provider_queue_full_total says at which provider; send less at a time, or raise upstream.queue_size."),
		expired: counter("upstream_hold_expired_total", "Transactions reset at the provider because the content did not come within a second.",
			"Nothing: they are opened again when the content is there. Many: clients send content slowly."),
		aborted: counter("upstream_aborted_total", "Transactions reset at the provider because the client gave up.",
			"Look at why the client resets or closes after RCPT."),

		undeclared: counter("upstream_undeclared_8bit_total", "Messages with 8-bit content that nothing declares.",
			"Have the client declare BODY=8BITMIME, or encode the content."),
		Panics: counter("upstream_panics_total", "Messages ended by a fault of the proxy.",
			"A fault of the program: report the stack that the log has."),
	}
	results := metric.New(set, "messages_total", "Messages, by outcome.", ResultLabel).
		Do("refused, deferred: provider_messages_total and provider_refusals_total say where; the log lines say why. unknown: the client may send the message twice.")
	for i, name := range resultNames {
		m.results[i] = results.Counter(name)
	}
	limited := metric.New(set, "upstream_limit_refusals_total", "Messages or recipients refused by a limit of the account, by limit.", limitLabel).
		Do("The client sends more than the account may. Spread the mail over time, or raise the limit if the provider allows it.")
	for kind := range limit.NumKinds {
		m.limited[kind] = limited.Counter(kind.Label())
	}
	return m
}

// providers declares the metrics of each provider.
func providers(set *metrics.Set, buckets []float64) *metric.Providers[ofProvider] {
	results := metric.New(set, "provider_messages_total", "Messages, by provider and outcome as messages_total.", "provider", ResultLabel).
		Do("Compare the providers: one alone has a fault of its own, see provider_refusals_total; all together point at this side.")
	full := metric.New(set, "provider_queue_full_total", "Messages refused because too many waited for a connection, by provider.", "provider").
		Do("Send less at a time to this provider, raise max_connections of it if it allows, or raise upstream.queue_size.")
	limited := metric.New(set, "provider_limit_refusals_total", "Messages or recipients refused by a limit of the account, by provider and limit.", "provider", limitLabel).
		Do("Spread the mail over time, or raise the limit of the provider or account if the provider allows it.")
	queue := metric.New(set, "provider_queue_duration_seconds", "Seconds that messages waited for a connection, by provider.", "provider").
		Do("Long waits: too few connections for the mail. Raise max_connections if the provider allows; look for throttled accounts in provider_accounts.")
	duration := metric.New(set, "provider_messages_duration_seconds", "Seconds from the end of a message's content to its answer, by provider.", "provider").
		Do("Compare with provider_queue_duration_seconds: what is not waiting is the provider's time.")
	all := metric.NewProviders(func(provider string) *ofProvider {
		p := &ofProvider{queueFull: full.Counter(provider), queue: queue.Histogram(buckets, provider), duration: duration.Histogram(buckets, provider)}
		for i, name := range resultNames {
			p.results[i] = results.Counter(provider, name)
		}
		for kind := range limit.NumKinds {
			p.limited[kind] = limited.Counter(provider, kind.Label())
		}
		return p
	})
	metric.New(set, "provider_queue_depth", "Messages that wait for a connection, by provider.", "provider").
		Do("Growing: the provider takes less than comes. See provider_accounts, provider_logins_total and upstream_breakers_open.").
		GaugesOf(func(set func(float64, ...string)) {
			for provider, p := range all.All() {
				set(float64(p.waiting.Load()), provider)
			}
		})
	return all
}

// Waiting counts the transactions that wait for a connection.
type Waiting struct {
	total atomic.Int64
	by    *metric.Providers[ofProvider]
}

// Add adds n at a provider and returns how many there are at all of them.
func (w *Waiting) Add(provider string, n int64) int64 {
	w.by.Of(provider).waiting.Add(n)
	return w.total.Add(n)
}

// Load returns how many there are.
func (w *Waiting) Load() int64 { return w.total.Load() }

// QueueFull counts a message to a provider that was refused for those that wait.
func (m *Metrics) QueueFull(provider string) {
	m.queueFull.Inc()
	m.provider.Of(provider).queueFull.Inc()
}

// Limited counts a refusal by a limit of an account at a provider.
func (m *Metrics) Limited(provider string, kind limit.Kind) {
	m.limited[kind].Inc()
	m.provider.Of(provider).limited[kind].Inc()
}

// waited counts how long a message to a provider waited.
func (m *Metrics) waited(provider string, d time.Duration) {
	m.queue.Update(d.Seconds())
	m.provider.Of(provider).queue.Update(d.Seconds())
}

// answered counts how long a message to a provider took.
func (m *Metrics) answered(provider string, d time.Duration) {
	m.duration.Update(d.Seconds())
	m.provider.Of(provider).duration.Update(d.Seconds())
}

// message counts the outcome of a message to a provider, and returns it.
func (m *Metrics) message(provider string, res Result, dryRun bool) int {
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
	m.provider.Of(provider).results[i].Inc()
	if r := res.Err.Refusal(); r != nil {
		m.refusals.Shared(provider, r.Phase.String(), strconv.Itoa(res.Err.Reply.Code/100)+"yz").Inc()
	}
	return i
}
