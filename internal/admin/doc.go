// Package admin is the HTTP server for operators, on a listener of its own:
//
//	GET /metrics       Prometheus text format
//	GET /health        200 as long as the process serves
//	GET /ready         200, or 503 with the reasons why mail is not accepted
//	GET /debug/pprof/  profiles, when Config.Pprof is set
//
// Any other path is 404, another method on a known path 405, both with the
// JSON body {"success":false,"error":"..."}.
//
// More routes are added by [Server.Handle] before [Server.Start]. The package
// imports nothing of the proxy: what it shows comes as functions and metric
// sets.
//
// A handler runs on the connection's goroutine, and Close waits for it. There
// is no authentication, so the address is the loopback by default.
package admin
