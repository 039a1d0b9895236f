// Package counters has the metrics of one server.
package counters

import (
	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/codec"
)

// Counters are the metrics of one server. Where the Python predecessor had a metric of the
// same meaning, its name is kept.
type Counters struct {
	Accepted, OverCap, NotAllowed, AcceptErrors *metrics.Counter
	BadProxyHeaders, Pauses                     *metrics.Counter
	Timeouts, UnreadReplies, Panics             *metrics.Counter
	Commands                                    [codec.NumVerbs]*metrics.Counter
	Auth                                        struct {
		Success, Refused, Decode, Mechanism, Token, Busy, SourceRefused *metrics.Counter
	}
	ContentBytes                          *metrics.Counter
	ContentRefusals, BudgetRefusals       *metrics.Counter
	LostReplies, LogDropped               *metrics.Counter
	HandshakeOK, HandshakeFailed, Evicted *metrics.Counter
	LoopLag                               *metrics.PrometheusHistogram
}

// latencyBuckets are in seconds.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// New makes the metrics, and registers them with set.
func New(set *metrics.Set) *Counters {
	m := &Counters{
		Accepted:        set.NewCounter(`smtp_connections_total{result="accepted"}`),
		OverCap:         set.NewCounter(`smtp_connections_total{result="over_cap"}`),
		NotAllowed:      set.NewCounter(`smtp_connections_total{result="not_allowed"}`),
		AcceptErrors:    set.NewCounter(`smtp_accept_errors_total`),
		Pauses:          set.NewCounter(`smtp_read_pauses_total`),
		BadProxyHeaders: set.NewCounter(`smtp_bad_proxy_headers_total`),
		Timeouts:        set.NewCounter(`smtp_timeouts_total`),
		UnreadReplies:   set.NewCounter(`smtp_unread_replies_closed_total`),
		Panics:          set.NewCounter(`smtp_session_panics_total`),
		ContentBytes:    set.NewCounter(`smtp_content_bytes_total`),
		ContentRefusals: set.NewCounter(`smtp_content_refused_total`),
		BudgetRefusals:  set.NewCounter(`smtp_content_budget_refusals_total`),
		LostReplies:     set.NewCounter(`smtp_final_replies_lost_total`),
		LogDropped:      set.NewCounter(`smtp_log_lines_dropped_total`),
		HandshakeOK:     set.NewCounter(`smtp_tls_handshakes_total{result="success"}`),
		HandshakeFailed: set.NewCounter(`smtp_tls_handshakes_total{result="failed"}`),
		Evicted:         set.NewCounter(`smtp_tls_handshakes_total{result="gave_way"}`),
		LoopLag:         set.NewPrometheusHistogramExt(`smtp_loop_lag_seconds`, latencyBuckets),
	}
	for v := range m.Commands {
		m.Commands[v] = set.NewCounter(`smtp_commands_total{command="` + codec.Verb(v).String() + `"}`)
	}
	m.Auth.Success = set.NewCounter(`auth_attempts_total{result="success"}`)
	m.Auth.Refused = set.NewCounter(`auth_attempts_total{result="refused"}`)
	m.Auth.Busy = set.NewCounter(`auth_attempts_total{result="busy"}`)
	m.Auth.SourceRefused = set.NewCounter(`auth_attempts_total{result="source_refused"}`)
	m.Auth.Decode = set.NewCounter(`auth_attempts_total{result="decode_error"}`)
	m.Auth.Mechanism = set.NewCounter(`auth_attempts_total{result="mechanism"}`)
	m.Auth.Token = set.NewCounter(`auth_attempts_total{result="token_refresh_failed"}`)
	return m
}
