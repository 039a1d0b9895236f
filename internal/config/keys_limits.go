package config

import (
	"slices"
	"time"
)

// limitsDraft is what a provider's section, or an account, says about limits.
type limitsDraft struct {
	maxConnections, maxConcurrent, maxMessages, maxRecipients given[int]
	maxAge, idle, acquire                                     given[time.Duration]
	rateEnabled                                               given[bool]
	perMinute, perHour, perDay, recipientsPerDay, logins      given[int]
	maxMessageSize                                            given[int64]
}

// retryDraft is what a provider's section, or an account, says about retries.
type retryDraft struct {
	attempts given[int]
	factor   given[float64]
	maxDelay given[time.Duration]
	jitter   given[bool]
}

// maxContent is the most that a limit on the octets of content may be.
const maxContent int64 = 1 << 40

// rate reads a number of messages or the like in some time.
var rate = whole(0, 1_000_000_000)

// poolKeys are connection_pool of a provider and connection_settings of an
// account, which have the same keys; section is either name.
func poolKeys[T any](section string, l func(*T) *limitsDraft) []key[T] {
	keys := []key[T]{
		opt(section+".max_connections_per_account", whole(1, 10_000), func(t *T) *given[int] { return &l(t).maxConnections },
			"connections of an account at one time; default: gmail 10, outlook 3, others 3; gmail and outlook allow no more"),
		opt(section+".max_messages_per_connection", whole(0, 1_000_000), func(t *T) *given[int] { return &l(t).maxMessages },
			"messages after which a connection is closed, 0 for no limit; default 100"),
		opt(section+".connection_max_age_seconds", span(time.Second, 24*time.Hour), func(t *T) *given[time.Duration] { return &l(t).maxAge },
			`age at which a connection is closed; default "10m"; at most "10m" for gmail and "15m" for outlook`),
		opt(section+".connection_idle_timeout_seconds", span(time.Second, time.Hour), func(t *T) *given[time.Duration] { return &l(t).idle },
			`time without use after which a connection is closed; default "60s", which is also the most for gmail and outlook`),
		opt(section+".connection_acquire_timeout_seconds", timeout, func(t *T) *given[time.Duration] { return &l(t).acquire },
			`wait for a free connection, then 451; default "5s"`),
		ignored[T](section+".idle_connection_reuse_timeout", "connection_idle_timeout_seconds alone decides"),
	}
	for _, name := range []string{
		"adaptive_prewarm_enabled", "prewarm_min_connections", "prewarm_max_connections", "prewarm_min_message_threshold",
		"prewarm_messages_per_connection", "prewarm_concurrent_tasks", "prewarm_percentage",
		"periodic_rewarm_enabled", "periodic_rewarm_interval_seconds", "rewarm_concurrent_tasks",
	} {
		keys = append(keys, ignored[T](section+"."+name, noPrewarm))
	}
	return keys
}

// rateKeys are rate_limiting; section is its name or the alias.
func rateKeys[T any](section string, l func(*T) *limitsDraft) []key[T] {
	return []key[T]{
		opt(section+".enabled", boolean, func(t *T) *given[bool] { return &l(t).rateEnabled },
			"false takes back the rates of this section; those of the provider stay in force; default true"),
		opt(section+".messages_per_minute", rate, func(t *T) *given[int] { return &l(t).perMinute },
			"messages of an account in a minute; default: outlook 30, which is also the most, others 0: no limit"),
		opt(section+".messages_per_hour", rate, func(t *T) *given[int] { return &l(t).perHour },
			"messages of an account in an hour; default 0: no limit"),
		opt(section+".messages_per_day", rate, func(t *T) *given[int] { return &l(t).perDay },
			"messages of an account in 24 hours; default: gmail 2000, which is also the most (a free account has about 500), others 0: no limit"),
		opt(section+".recipients_per_day", rate, func(t *T) *given[int] { return &l(t).recipientsPerDay },
			"recipients of an account in 24 hours; default: gmail and outlook 10000, which is also the most, others 0: no limit"),
		opt(section+".logins_per_minute", rate, func(t *T) *given[int] { return &l(t).logins },
			"new connections of an account in a minute, 0 for no limit; default 30"),
		ignored[T](section+".messages_per_minute_per_connection", "rates are kept for each account: set messages_per_minute"),
		ignored[T](section+".burst_size", "the rates alone decide"),
	}
}

// breakerDraft is what a provider's section says about its circuit breaker.
type breakerDraft struct {
	enabled  given[bool]
	failures given[int]
	recovery given[time.Duration]
}

// settle makes the breaker of a provider out of that for all; ok is false if
// the section does not say anything.
func (d *breakerDraft) settle(common Breaker) (b Breaker, ok bool) {
	b = common
	if d.failures.ok() {
		b.Failures = d.failures.value
	}
	if d.recovery.ok() {
		b.Recovery = d.recovery.value
	}
	if d.enabled.ok() && !d.enabled.value {
		b.Failures = 0
	}
	return b, d.failures.ok() || d.recovery.ok() || d.enabled.ok()
}

// oneProbe is why half_open_max_calls has no effect.
const oneProbe = "one connection at a time tries an endpoint that does not answer"

// breakerKeys are circuit_breaker of a provider.
func breakerKeys[T any](b func(*T) *breakerDraft) []key[T] {
	return []key[T]{
		opt("circuit_breaker.enabled", boolean, func(t *T) *given[bool] { return &b(t).enabled },
			"false tries an endpoint that does not answer for every account; default true"),
		opt("circuit_breaker.failure_threshold", whole(1, 1000), func(t *T) *given[int] { return &b(t).failures },
			"failures in a row to connect to the provider, of all its accounts, after which none is tried for a while; refused logins do not count; default upstream.breaker_failures"),
		opt("circuit_breaker.recovery_timeout_seconds", timeout, func(t *T) *given[time.Duration] { return &b(t).recovery },
			"how long the provider is not tried then; default upstream.breaker_recovery"),
		ignored[T]("circuit_breaker.half_open_max_calls", oneProbe),
	}
}

// noBreakerKeys are circuit_breaker of an account.
func noBreakerKeys[T any]() []key[T] {
	const reason = "a breaker is for an endpoint, not for an account, whose own failures hold it back by growing pauses: set it for the provider"
	return []key[T]{
		ignored[T]("circuit_breaker.enabled", reason),
		ignored[T]("circuit_breaker.failure_threshold", reason),
		ignored[T]("circuit_breaker.recovery_timeout_seconds", reason),
		ignored[T]("circuit_breaker.half_open_max_calls", reason),
	}
}

// retryKeys are retry.
func retryKeys[T any](r func(*T) *retryDraft) []key[T] {
	return []key[T]{
		opt("retry.max_attempts", whole(1, 10), func(t *T) *given[int] { return &r(t).attempts },
			"tries of a token request, for failures that may pass; default 2"),
		opt("retry.backoff_factor", fraction(1, 10), func(t *T) *given[float64] { return &r(t).factor },
			"growth of the delay between tries; default 2"),
		opt("retry.max_delay_seconds", span(minTimeout, maxTimeout), func(t *T) *given[time.Duration] { return &r(t).maxDelay },
			`longest delay between tries; default "30s"`),
		opt("retry.jitter_enabled", boolean, func(t *T) *given[bool] { return &r(t).jitter },
			"spreads the delays at random; default true"),
	}
}

// sharedLimitKeys are the keys that a provider and an account have alike.
func sharedLimitKeys[T any](pool string, l func(*T) *limitsDraft, r func(*T) *retryDraft) []key[T] {
	return slices.Concat([]key[T]{
		opt("max_recipients", whole(1, 100_000), func(t *T) *given[int] { return &l(t).maxRecipients },
			"recipients of one message; default: gmail 100, which is also the most, outlook 500 and at most 1000, others 100"),
		opt("max_message_size", size(1, maxContent), func(t *T) *given[int64] { return &l(t).maxMessageSize },
			"octets of content; default: what the provider announces, which is also the most; others 35882577"),
	}, poolKeys(pool, l), rateKeys("rate_limiting", l), retryKeys(r))
}
