package outlook

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/forecast"
	"xoauth2-proxy/internal/metric"
)

const (
	// soon is how long before an end it is counted by the metrics, and logged.
	soon = 7 * 24 * time.Hour
	// outlookAge is how long a forecast is shown by the metrics: it takes a look at each
	// account.
	outlookAge = 5 * time.Minute
	// warnInterval is the time between two lines of the log about what ends soon.
	warnInterval = 24 * time.Hour
)

// kindLabel says what the kinds of package forecast mean.
const kindLabel = "kind: what ends: refresh_token_unused (nothing uses the refresh token), refresh_token_ends (its provider gave it an end), client_secret, client_certificate, server_certificate (for clients), ca_certificate (of a file), daily_limit (at the present pace)"

// Outlook is what ends, for metrics and the log.
type Outlook struct {
	parts *Parts
	log   *zap.Logger

	mu   sync.Mutex // guards last
	last forecast.Forecast
}

// New returns the outlook of a running proxy, and adds its gauges to set.
func New(p *Parts, log *zap.Logger, set *metrics.Set) *Outlook {
	o := &Outlook{parts: p, log: log}
	metric.New(set, "forecast_first_end_timestamp_seconds",
		"Seconds since 1970 at the first end that is forecast, by what ends and provider.", kindLabel, "provider").
		Do("`xoauth2-proxy forecast` lists what ends, with what fails then and what to do.").
		GaugesOf(func(set func(value float64, values ...string)) {
			seen := make(map[[2]string]bool)
			for _, e := range o.latest().Endings { // the first first
				if key := [2]string{string(e.Kind), e.Provider}; !seen[key] {
					seen[key] = true
					set(float64(e.At.Unix()), key[0], key[1])
				}
			}
		})
	soonFamily := metric.New(set, "forecast_ends_within_week",
		"Lines of the forecast for the next 7 days, by what ends; accounts that end alike are one.", kindLabel).
		Do("`xoauth2-proxy forecast --within 7d` lists them, with what fails then and what to do.")
	for _, kind := range forecast.Kinds {
		soonFamily.Gauge(func() float64 {
			n := 0
			for _, e := range o.latest().Within(soon).Grouped().Endings {
				if e.Kind == kind {
					n++
				}
			}
			return float64(n)
		}, string(kind))
	}
	return o
}

// latest returns a forecast that is not older than outlookAge. The caller must not change it.
func (o *Outlook) latest() forecast.Forecast {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.last.At) > outlookAge {
		o.last = o.parts.Forecast(now)
	}
	return o.last
}

// Warn logs once a day what ends soon, in one line, until ctx ends. Limits of a day are used
// up on many days, and are for the metrics.
func (o *Outlook) Warn(ctx context.Context) {
	tick := time.NewTicker(warnInterval)
	defer tick.Stop()
	for {
		var kinds []string
		seen := make(map[forecast.Kind]bool)
		var first time.Time
		for _, e := range o.latest().Within(soon).Endings {
			if e.Kind == forecast.DailyLimit || seen[e.Kind] {
				continue
			}
			if seen[e.Kind] = true; len(kinds) == 0 {
				first = e.At
			}
			kinds = append(kinds, string(e.Kind))
		}
		if len(kinds) > 0 {
			o.log.Warn(`something ends within 7 days: "xoauth2-proxy forecast" lists it, with what to do`,
				zap.String("kinds", strings.Join(kinds, ", ")), zap.Time("first", first.UTC()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
