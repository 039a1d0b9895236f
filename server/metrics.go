package server

import (
	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/codec"
)

// serverMetrics are the metrics of one server, in the set given to New. Where the Python
// predecessor had a metric of the same meaning, its name is kept.
type serverMetrics struct {
	accepted, overCap, notAllowed, acceptErrors *metrics.Counter
	badProxyHeaders, pauses                     *metrics.Counter
	timeouts, unreadReplies, panics             *metrics.Counter
	commands                                    [codec.NumVerbs]*metrics.Counter
	auth                                        struct {
		success, refused, decode, mechanism, token, busy, sourceRefused *metrics.Counter
	}
	contentBytes                          *metrics.Counter
	contentRefusals, budgetRefusals       *metrics.Counter
	lostReplies                           *metrics.Counter
	handshakeOK, handshakeFailed, evicted *metrics.Counter
	loopLag                               *metrics.PrometheusHistogram
}

// latencyBuckets are in seconds.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

func newMetrics(set *metrics.Set) *serverMetrics {
	m := &serverMetrics{
		accepted:        set.NewCounter(`smtp_connections_total{result="accepted"}`),
		overCap:         set.NewCounter(`smtp_connections_total{result="over_cap"}`),
		notAllowed:      set.NewCounter(`smtp_connections_total{result="not_allowed"}`),
		acceptErrors:    set.NewCounter(`smtp_accept_errors_total`),
		pauses:          set.NewCounter(`smtp_read_pauses_total`),
		badProxyHeaders: set.NewCounter(`smtp_bad_proxy_headers_total`),
		timeouts:        set.NewCounter(`smtp_timeouts_total`),
		unreadReplies:   set.NewCounter(`smtp_unread_replies_closed_total`),
		panics:          set.NewCounter(`smtp_session_panics_total`),
		contentBytes:    set.NewCounter(`smtp_content_bytes_total`),
		contentRefusals: set.NewCounter(`smtp_content_refused_total`),
		budgetRefusals:  set.NewCounter(`smtp_content_budget_refusals_total`),
		lostReplies:     set.NewCounter(`smtp_final_replies_lost_total`),
		handshakeOK:     set.NewCounter(`smtp_tls_handshakes_total{result="success"}`),
		handshakeFailed: set.NewCounter(`smtp_tls_handshakes_total{result="failed"}`),
		evicted:         set.NewCounter(`smtp_tls_handshakes_total{result="gave_way"}`),
		loopLag:         set.NewPrometheusHistogramExt(`smtp_loop_lag_seconds`, latencyBuckets),
	}
	for v := range m.commands {
		m.commands[v] = set.NewCounter(`smtp_commands_total{command="` + codec.Verb(v).String() + `"}`)
	}
	m.auth.success = set.NewCounter(`auth_attempts_total{result="success"}`)
	m.auth.refused = set.NewCounter(`auth_attempts_total{result="refused"}`)
	m.auth.busy = set.NewCounter(`auth_attempts_total{result="busy"}`)
	m.auth.sourceRefused = set.NewCounter(`auth_attempts_total{result="source_refused"}`)
	m.auth.decode = set.NewCounter(`auth_attempts_total{result="decode_error"}`)
	m.auth.mechanism = set.NewCounter(`auth_attempts_total{result="mechanism"}`)
	m.auth.token = set.NewCounter(`auth_attempts_total{result="token_refresh_failed"}`)
	return m
}
