package login

import (
	"errors"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Outcomes of attempts to connect and log in.
const (
	succeeded = iota
	refused
	notConnected
	notSecured
	failed
	numOutcomes
)

var outcomeNames = [numOutcomes]string{"success", "refused", "connect_failed", "tls_failed", "failed"}

// Metrics are those of all logins.
type Metrics struct {
	outcomes         [numOutcomes]*metrics.Counter
	provider         metric.Family
	auth, setup, tls *metrics.PrometheusHistogram
}

// NewMetrics returns metrics that are in set, except for the histograms of phases.
// buckets are of the durations, in seconds.
func NewMetrics(set *metrics.Set, phases metric.Family, buckets []float64) *Metrics {
	const result = "result: success; refused, by the reply to AUTH; connect_failed, no connection; tls_failed, no handshake; failed, between or after"
	m := &Metrics{
		provider: metric.New(set, "provider_logins_total",
			"Attempts to connect and log in, by provider and outcome as upstream_auth_total.", "provider", result).
			Do("refused: `accounts list --state refused` has the replies. connect_failed: DNS, routes, firewall, ip_address. tls_failed: certificates, upstream.ca_file."),
		auth: metric.New(set, "upstream_auth_duration_seconds", "Seconds that AUTH took at providers.").
			Do("Seconds: the provider slows logins down. Keep connections longer: idle_timeout and max_messages of the provider.").Histogram(buckets),
		setup: phases.Histogram(buckets, "connect"),
		tls:   phases.Histogram(buckets, "tls"),
	}
	outcomes := metric.New(set, "upstream_auth_total", "Attempts to connect and log in to providers, by outcome.", result).
		Do("provider_logins_total has them by provider.")
	for i, name := range outcomeNames {
		m.outcomes[i] = outcomes.Counter(name)
	}
	return m
}

// count counts an attempt at a provider.
func (m *Metrics) count(provider string, err *failure.Error) {
	i := failed
	switch {
	case err == nil:
		i = succeeded
	case err.Phase == throttle.PhaseAuth && errors.Is(err.Err, failure.ErrRefused):
		i = refused
	case err.Phase == throttle.PhaseTLS:
		i = notSecured
	case err.Phase == throttle.PhaseConnect:
		i = notConnected
	}
	m.outcomes[i].Inc()
	m.provider.Shared(provider, outcomeNames[i]).Inc()
}
