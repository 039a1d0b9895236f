package admin

import (
	"runtime"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/metric"
)

// unauthorized counts requests without the right token.
var unauthorized = metric.New(metrics.GetDefaultSet(), "admin_unauthorized_total", "Admin requests refused for a missing or wrong token.").Counter()

// buildInfo puts the build into set.
func buildInfo(set *metrics.Set, cfg *Config) {
	metric.New(set, "xoauth2_proxy_build_info", "1, with the build in the labels.", "version", "revision", "go_version").
		Gauge(func() float64 { return 1 }, cfg.Version, cfg.Revision, runtime.Version())
}
