package app

import (
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
)

// What has come of a reload, the values of the label of reloads_total.
const (
	reloadOK     = iota
	reloadPartly // something in the files is not in force
	reloadFailed // nothing was changed
	numReloadResults
)

var reloadResults = [numReloadResults]string{"ok", "partly", "failed"}

// reloadMetrics are those of reloads. A reload that finds nothing to do counts as well.
type reloadMetrics struct {
	results  [numReloadResults]*metrics.Counter
	lastGood *metrics.Gauge
}

// newReloadMetrics puts the metrics into set. The start is the first good reload, unless
// it has left entries out.
func newReloadMetrics(set *metrics.Set, whole bool) *reloadMetrics {
	results := metric.New(set, "reloads_total",
		"Reloads of the files; partly: wrong entries, a bad certificate or settings that wait for a restart are not in force.",
		"result: ok; partly, something in the files is not in force; failed, nothing was changed").
		Do("failed, partly: the log and `check` say what is wrong, with line and key.")
	m := &reloadMetrics{lastGood: metric.New(set, "reload_last_success_timestamp_seconds",
		"Seconds since 1970 when all that was in the files was put in force last, at the start or by a reload.").
		Do("Older than the files: the last reload failed, or settings wait for a restart. See reloads_total.").Gauge(nil)}
	for i, name := range reloadResults {
		m.results[i] = results.Counter(name)
	}
	if whole {
		m.lastGood.Set(float64(time.Now().Unix()))
	}
	return m
}

// done counts a reload.
func (m *reloadMetrics) done(result int) {
	m.results[result].Inc()
	if result == reloadOK {
		m.lastGood.Set(float64(time.Now().Unix()))
	}
}
