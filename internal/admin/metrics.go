package admin

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/metric"
)

// unauthorized counts requests without the right token.
var unauthorized = metric.New(metrics.GetDefaultSet(), "admin_unauthorized_total", "Admin requests refused for a missing or wrong token.").
	Do("A program has an old token, or a stranger tries: the log of what is in front has the address.").Counter()

// readyGauge puts into set whether the proxy takes mail.
func (s *Server) readyGauge(set *metrics.Set) {
	metric.New(set, "xoauth2_proxy_ready", "1 if the proxy takes mail, as /ready says, else 0.").
		Do("/ready says why not. A load balancer sends it no mail for as long.").
		Gauge(func() float64 {
			if s.notReady != nil && len(s.notReady()) > 0 {
				return 0
			}
			return 1
		})
}

// accountMetricsPath is the route of the metrics of each account.
const accountMetricsPath = "/metrics/accounts"

// maxAccounts is the most accounts that one page of metrics has: about 15 MB.
const maxAccounts = 10_000

// HandleAccountMetrics serves the metrics of each account if Config.AccountMetrics is set.
// write writes those of count accounts from number offset on, in an order that stays. It may
// block. HandleAccountMetrics must not be called after Start.
func (s *Server) HandleAccountMetrics(write func(w io.Writer, offset, count int)) {
	if !s.cfg.AccountMetrics {
		return
	}
	var one sync.Mutex // a page takes much memory
	s.Handle(fasthttp.MethodGet, accountMetricsPath, fasthttp.CompressHandler(func(ctx *fasthttp.RequestCtx) {
		offset, err := number(ctx, "offset", 0)
		count, other := number(ctx, "count", maxAccounts)
		if err = cmp.Or(err, other); err != nil {
			WriteError(ctx, fasthttp.StatusBadRequest, err.Error())
			return
		}
		one.Lock()
		defer one.Unlock()
		ctx.SetContentType(metricsType)
		write(ctx, offset, min(count, maxAccounts))
	}))
}

// number returns the value of a parameter of the query.
func number(ctx *fasthttp.RequestCtx, name string, otherwise int) (int, error) {
	if !ctx.QueryArgs().Has(name) {
		return otherwise, nil
	}
	n, err := ctx.QueryArgs().GetUint(name)
	if err != nil {
		return 0, fmt.Errorf("%s: must be a number of accounts, 0 or more", name)
	}
	return n, nil
}

// buildInfo puts the build into set.
func buildInfo(set *metrics.Set, cfg *Config) {
	metric.New(set, "xoauth2_proxy_build_info", "1, with the build in the labels.", "version: of the program", "revision: of the source", "go_version: of the compiler").
		Do("Nothing: it says which program runs, for example after an upgrade.").
		Gauge(func() float64 { return 1 }, cfg.Version, cfg.Revision, runtime.Version())
}
