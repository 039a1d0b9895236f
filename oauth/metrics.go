package oauth

import (
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/oauth/internal/flow"
)

// durationBuckets are for HTTPS requests with a time limit of ten seconds.
var durationBuckets = []float64{.025, .05, .1, .2, .4, .8, 1.6, 3.2, 6.4, 12.8, 30}

// managerMetrics are those of one Manager.
type managerMetrics struct {
	success     *metrics.Counter
	failure     [flow.NumClasses]*metrics.Counter
	duration    *metrics.PrometheusHistogram
	rotations   *metrics.Counter
	storeErrors *metrics.Counter
	suppressed  *metrics.Counter
}

func newManagerMetrics(set *metrics.Set) *managerMetrics {
	mm := &managerMetrics{
		success:     set.NewCounter(`token_refresh_total{result="success"}`),
		duration:    set.NewPrometheusHistogramExt("token_refresh_duration_seconds", durationBuckets),
		rotations:   set.NewCounter("token_rotations_total"),
		storeErrors: set.NewCounter("token_store_errors_total"),
		suppressed:  set.NewCounter("token_refresh_suppressed_total"),
	}
	for c := range flow.NumClasses {
		mm.failure[c] = set.NewCounter(`token_refresh_total{result="` + c.String() + `"}`)
	}
	return mm
}

// refreshed counts one finished refresh.
func (mm *managerMetrics) refreshed(start time.Time, err *Error) {
	mm.duration.UpdateDuration(start)
	if err == nil {
		mm.success.Inc()
	} else {
		mm.failure[err.Class].Inc()
	}
}
