package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/metric"
)

// service is the name in /health, the original's.
const service = "xoauth2-proxy-admin"

// metricsType is the media type of the Prometheus text format.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metrics answers with the package-global metrics, those of the given sets and
// those of the process.
func (s *Server) metrics(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType(metricsType)
	metric.Write(ctx, s.sets...)
}

// index lists the routes, in plain text.
func (s *Server) index(ctx *fasthttp.RequestCtx) {
	var lines []string
	for _, r := range s.router.routes {
		for method := range r.handlers {
			lines = append(lines, fmt.Sprintf("%-6s %s\n", method, r.pattern))
		}
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[7:], b[7:]) })
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString("xoauth2-proxy serves here:\n\n" + strings.Join(lines, ""))
}

// health answers whether the process lives, with all its parts.
func (s *Server) health(ctx *fasthttp.RequestCtx) {
	probe(ctx, probeReply{Status: "healthy", Service: service}, "unhealthy", s.stuck)
}

// ready answers whether mail is accepted.
func (s *Server) ready(ctx *fasthttp.RequestCtx) {
	reply := probeReply{Status: "ready"}
	if s.warnings != nil {
		reply.Warnings = s.warnings()
	}
	probe(ctx, reply, "not ready", s.notReady)
}

// probeReply is the answer of a probe.
type probeReply struct {
	Status  string   `json:"status"`
	Service string   `json:"service,omitempty"`
	Reasons []string `json:"reasons,omitempty"`
	// Warnings are what is wrong beside that, of readiness.
	Warnings []string `json:"warnings,omitempty"`
}

// probe answers 200 with reply, or if there are reasons 503 with them and the
// other status. against may be nil.
func probe(ctx *fasthttp.RequestCtx, reply probeReply, otherwise string, against func() []string) {
	status := fasthttp.StatusOK
	if against != nil {
		reply.Reasons = against()
	}
	if len(reply.Reasons) > 0 {
		status, reply.Status = fasthttp.StatusServiceUnavailable, otherwise
	}
	WriteJSON(ctx, status, reply)
}
