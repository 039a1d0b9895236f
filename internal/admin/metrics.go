package admin

import "github.com/VictoriaMetrics/metrics"

// unauthorized counts requests without the right token.
var unauthorized = metrics.NewCounter("admin_unauthorized_total")

func init() {
	metrics.ExposeMetadata(true) // TYPE of each metric
}
