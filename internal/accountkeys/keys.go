package accountkeys

import (
	"slices"
	"time"

	"xoauth2-proxy/internal/keyfile"
)

// MaxContent is the most that a limit on the octets of content may be.
const MaxContent int64 = 1 << 40

// NoPrewarm is the reason why the predecessor's keys about connections ahead of mail have no
// effect.
const NoPrewarm = "upstream.prewarm_connections and upstream.prewarm_rate decide, for all providers alike"

// Rate reads a number of messages, recipients or logins in some time; 0: no limit.
var Rate = keyfile.Whole(0, 1_000_000_000)

// poolKeys are connection_pool of a provider and connection_settings of an
// account, which have the same keys; section is either name.
func poolKeys[T any](section string, l func(*T) *Limits) []keyfile.Key[T] {
	keys := []keyfile.Key[T]{
		keyfile.Opt(section+".max_connections_per_account", keyfile.Whole(1, 10_000), func(t *T) *keyfile.Given[int] { return &l(t).MaxConnections },
			"connections of an account at one time; default: gmail 10, outlook 3, others 3; gmail and outlook allow no more"),
		keyfile.Opt(section+".max_messages_per_connection", keyfile.Whole(0, 1_000_000), func(t *T) *keyfile.Given[int] { return &l(t).MaxMessages },
			"messages after which a connection is closed, 0 for no limit; default 100"),
		keyfile.Opt(section+".connection_max_age_seconds", keyfile.Duration(time.Second, 24*time.Hour), func(t *T) *keyfile.Given[time.Duration] { return &l(t).MaxAge },
			`age at which a connection is closed; default "10m"; at most "10m" for gmail and "15m" for outlook`),
		keyfile.Opt(section+".connection_idle_timeout_seconds", keyfile.Duration(time.Second, time.Hour), func(t *T) *keyfile.Given[time.Duration] { return &l(t).Idle },
			`time without use after which a connection is closed; default "60s", which is also the most for gmail and outlook`),
		keyfile.Opt(section+".connection_acquire_timeout_seconds", Timeout, func(t *T) *keyfile.Given[time.Duration] { return &l(t).Acquire },
			`wait for a free connection, then 451; default "5s"`),
		keyfile.NoEffect[T](section+".idle_connection_reuse_timeout", "connection_idle_timeout_seconds alone decides"),
	}
	for _, name := range []string{
		"adaptive_prewarm_enabled", "prewarm_min_connections", "prewarm_max_connections", "prewarm_min_message_threshold",
		"prewarm_messages_per_connection", "prewarm_concurrent_tasks", "prewarm_percentage",
		"periodic_rewarm_enabled", "periodic_rewarm_interval_seconds", "rewarm_concurrent_tasks",
	} {
		keys = append(keys, keyfile.NoEffect[T](section+"."+name, NoPrewarm))
	}
	return keys
}

// RateKeys are rate_limiting; section is its name or the alias.
func RateKeys[T any](section string, l func(*T) *Limits) []keyfile.Key[T] {
	return []keyfile.Key[T]{
		keyfile.Opt(section+".enabled", keyfile.Boolean, func(t *T) *keyfile.Given[bool] { return &l(t).RateEnabled },
			"false takes back the rates of this section; those of the provider stay in force; default true"),
		keyfile.Opt(section+".messages_per_minute", Rate, func(t *T) *keyfile.Given[int] { return &l(t).PerMinute },
			"messages of an account in a minute; default: outlook 30, which is also the most, others 0: no limit"),
		keyfile.Opt(section+".messages_per_hour", Rate, func(t *T) *keyfile.Given[int] { return &l(t).PerHour },
			"messages of an account in an hour; default 0: no limit"),
		keyfile.Opt(section+".messages_per_day", Rate, func(t *T) *keyfile.Given[int] { return &l(t).PerDay },
			"messages of an account in 24 hours; default: gmail 2000, which is also the most (a free account has about 500), others 0: no limit"),
		keyfile.Opt(section+".recipients_per_day", Rate, func(t *T) *keyfile.Given[int] { return &l(t).RecipientsPerDay },
			"recipients of an account in 24 hours; default: gmail and outlook 10000, which is also the most, others 0: no limit"),
		keyfile.Opt(section+".count_refused", keyfile.Boolean, func(t *T) *keyfile.Given[bool] { return &l(t).CountRefused },
			"counts recipients and messages that the provider refused at RCPT or later for the limits of messages and recipients, as it does itself; default: outlook true, others false"),
		keyfile.Opt(section+".logins_per_minute", Rate, func(t *T) *keyfile.Given[int] { return &l(t).Logins },
			"new connections of an account in a minute, 0 for no limit; default 30"),
		keyfile.NoEffect[T](section+".messages_per_minute_per_connection", "rates are kept for each account: set messages_per_minute"),
		keyfile.NoEffect[T](section+".burst_size", "the rates alone decide"),
	}
}

// retryKeys are retry.
func retryKeys[T any](r func(*T) *Retry) []keyfile.Key[T] {
	return []keyfile.Key[T]{
		keyfile.Opt("retry.max_attempts", keyfile.Whole(1, 10),
			func(t *T) *keyfile.Given[int] { return &r(t).attempts },
			"tries of a token request, for failures that may pass; default 2"),
		keyfile.Opt("retry.backoff_factor", keyfile.Fraction(1, 10),
			func(t *T) *keyfile.Given[float64] { return &r(t).factor },
			"growth of the delay between tries; default 2"),
		keyfile.Opt("retry.max_delay_seconds", keyfile.Duration(MinTimeout, MaxTimeout),
			func(t *T) *keyfile.Given[time.Duration] { return &r(t).maxDelay },
			`longest delay between tries; default "30s"`),
		keyfile.Opt("retry.jitter_enabled", keyfile.Boolean, func(t *T) *keyfile.Given[bool] { return &r(t).jitter },
			"spreads the delays at random; default true"),
	}
}

// LimitKeys are the keys that a provider and an account have alike.
func LimitKeys[T any](pool string, l func(*T) *Limits, r func(*T) *Retry) []keyfile.Key[T] {
	return slices.Concat([]keyfile.Key[T]{
		keyfile.Opt("max_recipients", keyfile.Whole(1, 100_000),
			func(t *T) *keyfile.Given[int] { return &l(t).MaxRecipients },
			"recipients of one message; default: gmail 100, which is also the most, outlook 500 and at most 1000, others 100"),
		keyfile.Opt("max_message_size", keyfile.Size(1, MaxContent),
			func(t *T) *keyfile.Given[int64] { return &l(t).MaxMessageSize },
			"octets of content; default: what the provider announces, which is also the most; others 35882577"),
	}, poolKeys(pool, l), RateKeys("rate_limiting", l), retryKeys(r))
}
