// Package counters has the metrics of one server.
package counters

import (
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
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
	Refusals                              *Refusals
}

// Refusals counts the replies 4yz and 5yz to clients. It makes the counter of a hint at
// the first one, so that the page has those that happen.
type Refusals struct {
	family metric.Family
	by     [hint.NumIDs]atomic.Pointer[metrics.Counter]
}

// Count counts a reply with that code, if it refuses.
func (r *Refusals) Count(code int, id hint.ID) {
	if code < 400 {
		return
	}
	c := r.by[id].Load()
	if c == nil {
		c = r.family.Shared(id.String())
		r.by[id].Store(c)
	}
	c.Inc()
}

// latencyBuckets are in seconds.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// New makes the metrics, and registers them with set.
func New(set *metrics.Set) *Counters {
	counter := func(name, help, do string) *metrics.Counter { return metric.New(set, name, help).Do(do).Counter() }
	connections := metric.New(set, "smtp_connections_total", "Connections of clients, by what became of them at accept.",
		"result: accepted; over_cap, above server.max_connections, or max_connections or max_per_source of the listener; not_allowed, not in allow of the listener").
		Do("over_cap: raise the bound, or have the client keep fewer connections. not_allowed: an address that allow of the listener lacks, or a stranger.")
	handshakes := metric.New(set, "smtp_tls_handshakes_total", "TLS handshakes with clients, by outcome; gave_way: ended for another client's.",
		"result: success; failed; gave_way, ended because too many ran").
		Do("failed: compare the client's TLS versions and the names in the certificate. gave_way: more clients connect at one time than the CPUs can serve.")
	commands := metric.New(set, "smtp_commands_total", "SMTP commands of clients, by verb; HTTP: lines of a web client.",
		"command: EHLO, HELO, AUTH, MAIL, RCPT, DATA, BDAT, RSET, NOOP, VRFY, EXPN, HELP, QUIT, STARTTLS; unknown, none of SMTP; HTTP, a line of a web client").
		Do("Nothing by itself. HTTP or unknown: a program that does not speak SMTP connects here.")
	auth := metric.New(set, "auth_attempts_total", "Attempts of clients to log in, by outcome.",
		"result: success; refused, unknown login or wrong password; busy, too many hashes at one time; source_refused, the source failed too often; "+
			"decode_error, not PLAIN or LOGIN as RFC 4954 has it; mechanism, one that is not offered; token_refresh_failed, no access token for the account").
		Do("refused: compare the login and password of the client with the accounts. token_refresh_failed: `accounts list --state broken` says why.")
	m := &Counters{
		Accepted:   connections.Counter("accepted"),
		OverCap:    connections.Counter("over_cap"),
		NotAllowed: connections.Counter("not_allowed"),
		AcceptErrors: counter("smtp_accept_errors_total", "Connections of clients that could not be accepted.",
			"Compare process_open_fds with process_max_fds, and raise LimitNOFILE of the service. The log has the error of the system."),
		Pauses: counter("smtp_read_pauses_total", "Times that reading from a client was paused, since it had sent ahead.",
			"Nothing: the client pipelines faster than it is served."),
		BadProxyHeaders: counter("smtp_bad_proxy_headers_total", "Connections closed for a missing or malformed PROXY header.",
			"Have the load balancer send PROXY headers, or take its addresses out of proxy_from of the listener."),
		Timeouts: counter("smtp_timeouts_total", "Sessions ended because the client did not send in time.",
			"Nothing for idle clients. Many at once: the network to the clients stalls."),
		UnreadReplies: counter("smtp_unread_replies_closed_total", "Sessions ended because the client did not read its replies.",
			"Look at the client: it sends and does not read."),
		Panics: counter("smtp_session_panics_total", "Sessions ended by a fault of the proxy.",
			"A fault of the program: report the stack that the log has."),
		ContentBytes: counter("smtp_content_bytes_total", "Bytes of message content received from clients.",
			"Nothing: it is the throughput."),
		SenderRefusals: counter("smtp_sender_refusals_total", "Messages refused because the account's list of senders does not have their sender, or because their From field cannot be read.",
			"Compare the sender in the log with `senders` of the account: a new sender is added there; another one is not the account's mail."),
		ContentRefusals: counter("smtp_content_refused_total", "Messages refused for their content: too large, with bare CR or LF, or more than memory is left for.",
			"The log lines of the sessions say which. Too large: server.max_message_size. Bare line ends: server.bare_newlines."),
		BudgetRefusals: counter("smtp_content_budget_refusals_total", "Messages refused because the memory for content was used up.",
			"Raise server.content_budget, or find what makes messages wait: upstream_queue_depth, messages_duration_seconds."),
		LostReplies: counter("smtp_final_replies_lost_total", "Final replies that a client may not have read.",
			"The client closed before its answer and may send the message again: raise its timeout after the content."),
		LogDropped: counter("smtp_log_lines_dropped_total", "Log lines about sessions that were left out because too many waited.",
			"Set log.messages to failed or none, or log to a faster disk."),
		HandshakeOK:     handshakes.Counter("success"),
		HandshakeFailed: handshakes.Counter("failed"),
		Evicted:         handshakes.Counter("gave_way"),
		LoopLag: metric.New(set, "smtp_loop_lag_seconds", "Seconds by which the ticks of event loops were late.").
			Do("Above a tenth of a second: the CPUs are too few or taken by others. Compare process_pressure_cpu_waiting_seconds_total.").
			Histogram(latencyBuckets),
	}
	m.Refusals = &Refusals{family: metric.New(set, "refusals_total", "Replies 4yz and 5yz to clients, by hint; each is there from its first reply on.",
		"hint: a heading of [troubleshooting.md](troubleshooting.md)").
		Do("Look up the heading of what grows: it has the cause and the remedy.")}
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

// Gauges registers what the server counts itself.
func Gauges(set *metrics.Set, active, used, limit func() int64) {
	gauge := func(name, help, do string, read func() int64) {
		metric.New(set, name, help).Do(do).Gauge(func() float64 { return float64(read()) })
	}
	gauge("smtp_connections_active", "Connections of clients that are open.",
		"Near server.max_connections: raise that, or have clients keep fewer.", active)
	gauge("smtp_content_budget_used_bytes", "Bytes of memory that hold content of messages.",
		"Near the limit: messages wait for the providers or for clients that send slowly. See upstream_queue_depth.", used)
	gauge("smtp_content_budget_limit_bytes", "Bytes of memory that content of messages may use.",
		"Nothing: it is server.content_budget.", limit)
	gauge("smtp_content_segments_live", "Segments of memory that hold content.",
		"Nothing. More than 0 while no message is on its way is a fault of the program: report it.", codec.LiveSegments)
}
