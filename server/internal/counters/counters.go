// Package counters has the metrics of one server.
package counters

import (
	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/metric"
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
	SenderRefusals                        *metrics.Counter
	LostReplies, LogDropped               *metrics.Counter
	HandshakeOK, HandshakeFailed, Evicted *metrics.Counter
	LoopLag                               *metrics.PrometheusHistogram
}

// latencyBuckets are in seconds.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// New makes the metrics, and registers them with set.
func New(set *metrics.Set) *Counters {
	counter := func(name, help string) *metrics.Counter { return metric.New(set, name, help).Counter() }
	connections := metric.New(set, "smtp_connections_total", "Connections of clients, by what became of them at accept.", "result")
	handshakes := metric.New(set, "smtp_tls_handshakes_total", "TLS handshakes with clients, by outcome; gave_way: ended for another client's.", "result")
	commands := metric.New(set, "smtp_commands_total", "SMTP commands of clients, by verb; HTTP: lines of a web client.", "command")
	auth := metric.New(set, "auth_attempts_total", "Attempts of clients to log in, by outcome.", "result")
	m := &Counters{
		Accepted:        connections.Counter("accepted"),
		OverCap:         connections.Counter("over_cap"),
		NotAllowed:      connections.Counter("not_allowed"),
		AcceptErrors:    counter("smtp_accept_errors_total", "Connections of clients that could not be accepted."),
		Pauses:          counter("smtp_read_pauses_total", "Times that reading from a client was paused, since it had sent ahead."),
		BadProxyHeaders: counter("smtp_bad_proxy_headers_total", "Connections closed for a missing or malformed PROXY header."),
		Timeouts:        counter("smtp_timeouts_total", "Sessions ended because the client did not send in time."),
		UnreadReplies:   counter("smtp_unread_replies_closed_total", "Sessions ended because the client did not read its replies."),
		Panics:          counter("smtp_session_panics_total", "Sessions ended by a fault of the proxy."),
		ContentBytes:    counter("smtp_content_bytes_total", "Bytes of message content received from clients."),
		ContentRefusals: counter("smtp_content_refused_total", "Messages refused for their content: too large, with bare CR or LF, or more than memory is left for."),
		SenderRefusals:  counter("smtp_sender_refusals_total", "Messages refused because the account's list of senders does not have their sender, or because their From field cannot be read."),
		BudgetRefusals:  counter("smtp_content_budget_refusals_total", "Messages refused because the memory for content was used up."),
		LostReplies:     counter("smtp_final_replies_lost_total", "Final replies that a client may not have read."),
		LogDropped:      counter("smtp_log_lines_dropped_total", "Log lines about sessions that were left out because too many waited."),
		HandshakeOK:     handshakes.Counter("success"),
		HandshakeFailed: handshakes.Counter("failed"),
		Evicted:         handshakes.Counter("gave_way"),
		LoopLag:         metric.New(set, "smtp_loop_lag_seconds", "Seconds by which the ticks of event loops were late.").Histogram(latencyBuckets),
	}
	for v := range m.Commands {
		m.Commands[v] = commands.Counter(codec.Verb(v).String())
	}
	m.Auth.Success = auth.Counter("success")
	m.Auth.Refused = auth.Counter("refused")
	m.Auth.Busy = auth.Counter("busy")
	m.Auth.SourceRefused = auth.Counter("source_refused")
	m.Auth.Decode = auth.Counter("decode_error")
	m.Auth.Mechanism = auth.Counter("mechanism")
	m.Auth.Token = auth.Counter("token_refresh_failed")
	return m
}
