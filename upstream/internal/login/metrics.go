package login

import (
	"errors"

	"github.com/VictoriaMetrics/metrics"

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
	auth, setup, tls *metrics.PrometheusHistogram
}

// NewMetrics returns metrics that are in set. buckets are of the durations, in seconds.
func NewMetrics(set *metrics.Set, buckets []float64) *Metrics {
	m := &Metrics{
		auth:  set.NewPrometheusHistogramExt("upstream_auth_duration_seconds", buckets),
		setup: set.NewPrometheusHistogramExt(`upstream_phase_duration_seconds{phase="connect"}`, buckets),
		tls:   set.NewPrometheusHistogramExt(`upstream_phase_duration_seconds{phase="tls"}`, buckets),
	}
	for i, name := range outcomeNames {
		m.outcomes[i] = set.NewCounter(`upstream_auth_total{result="` + name + `"}`)
	}
	return m
}

// count counts an attempt.
func (m *Metrics) count(err *failure.Error) {
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
}
