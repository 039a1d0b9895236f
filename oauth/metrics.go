package oauth

import (
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
	"xoauth2-proxy/oauth/internal/flow"
)

// durationBuckets are for HTTPS requests with a time limit of ten seconds.
var durationBuckets = []float64{.025, .05, .1, .2, .4, .8, 1.6, 3.2, 6.4, 12.8, 30}

// managerMetrics are those of one Manager.
type managerMetrics struct {
	success     *metrics.Counter
	provider    metric.Family
	failure     [flow.NumClasses]*metrics.Counter
	duration    *metrics.PrometheusHistogram
	rotations   *metrics.Counter
	storeErrors *metrics.Counter
	suppressed  *metrics.Counter
}

func newManagerMetrics(set *metrics.Set) *managerMetrics {
	counter := func(name, help string) *metrics.Counter { return metric.New(set, name, help).Counter() }
	refreshes := metric.New(set, "token_refresh_total", "Refreshes of access tokens, by outcome.", "result")
	mm := &managerMetrics{
		provider: metric.New(set, "provider_token_refreshes_total",
			"Refreshes of access tokens, by provider and outcome as token_refresh_total.", "provider", "result"),
		success:     refreshes.Counter("success"),
		duration:    metric.New(set, "token_refresh_duration_seconds", "Seconds that refreshes of access tokens took.").Histogram(durationBuckets),
		rotations:   counter("token_rotations_total", "Refresh tokens that a token endpoint has replaced."),
		storeErrors: counter("token_store_errors_total", "Failures to read or save tokens."),
		suppressed:  counter("token_refresh_suppressed_total", "Refreshes not begun, since the last failure forbids it for now."),
	}
	for c := range flow.NumClasses {
		mm.failure[c] = refreshes.Counter(c.String())
	}
	return mm
}

// refreshed counts one finished refresh of an account at a provider.
func (mm *managerMetrics) refreshed(provider string, start time.Time, err *Error) {
	mm.duration.UpdateDuration(start)
	mm.outcome(provider, err)
}

// outcome counts what has come of a refresh.
func (mm *managerMetrics) outcome(provider string, err *Error) {
	count, result := mm.success, "success"
	if err != nil {
		count, result = mm.failure[err.Class], err.Class.String()
	}
	count.Inc()
	mm.provider.Shared(provider, result).Inc()
}
