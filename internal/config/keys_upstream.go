package config

import "time"

// upstreamKeys are the sections upstream and oauth, which the original did not
// have. They come after the original's in the table, so they win.
var upstreamKeys = []key[draft]{
	set("state_dir", text, func(d *draft) *string { return &d.settings.StateDir },
		"directory for what accounts have sent in the last 24 hours, so that limits of a day hold over restarts, and for which accounts operators have paused or drained; default none: the former is kept in memory only, the latter beside oauth.token_store if that is set"),
	set("upstream.ca_file", text, func(d *draft) *string { return &d.settings.Upstream.CAFile },
		"PEM file of certificate authorities that are trusted for SMTP instead of the system's; default none"),
	set("upstream.shards", whole(0, 1024), func(d *draft) *int { return &d.settings.Upstream.Shards },
		"queues that the accounts are spread over; default 0: one for each CPU"),
	set("upstream.on_loops", boolean, func(d *draft) *bool { return &d.settings.Upstream.OnLoops },
		"has messages of up to 128 KiB for one recipient carried by the event loops, not by a goroutine each; default true"),
	set("upstream.queue_size", count, func(d *draft) *int { return &d.settings.Upstream.QueueSize },
		"messages that may wait for a connection, over all accounts; more get 451; default 10000"),
	set("upstream.max_transactions", whole(0, 10_000_000), func(d *draft) *int { return &d.settings.Upstream.MaxTransactions },
		"messages being handed to providers at one time, over all accounts; default 0: what the limits of the accounts allow"),
	opt("upstream.acquire_timeout", timeout, func(d *draft) *given[time.Duration] { return &d.acquire },
		`wait for a free connection of the account, then 451; default "5s"; for all providers that have no value of their own`),
	set("upstream.dial_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.DialTimeout },
		`DNS look-up and TCP connection; default "10s"`),
	set("upstream.tls_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.TLSTimeout },
		`TLS handshake; default "10s"`),
	set("upstream.greeting_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.GreetingTimeout },
		`wait for the provider's greeting; default "30s"`),
	set("upstream.command_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.CommandTimeout },
		`wait for the reply to each command; default "30s"`),
	set("upstream.content_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.ContentTimeout },
		`each write of content; default "3m"`),
	set("upstream.final_reply_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.FinalReplyTimeout },
		`wait for the reply to the content; default "5m"; when it passes, the client gets 451 and sends the message again, maybe for the second time`),
	set("upstream.transaction_timeout", span(time.Second, 9*time.Minute), func(d *draft) *time.Duration { return &d.settings.Upstream.TransactionTimeout },
		`everything for one message together, waiting included; default "8m"; below the ten minutes that clients wait`),
	set("upstream.quota_as_temporary", boolean, func(d *draft) *bool { return &d.settings.Upstream.QuotaAsTemporary },
		"answers 452 where the provider says by a permanent code that a quota of the account is used up (which codes: docs/provider-replies.md), so that the client keeps the message; default false: that reply passes as it is"),
	set("upstream.throttle_recovery", span(time.Second, time.Hour), func(d *draft) *time.Duration { return &d.settings.Upstream.ThrottleRecovery },
		`time in which an account that the provider asked to slow down gets one connection more; default "30s"`),
	set("upstream.breaker_failures", whole(0, 1000), func(d *draft) *int { return &d.settings.Upstream.Breaker.Failures },
		"failures in a row to connect to an endpoint, of all its accounts, after which none is tried for a while; 0 for no limit; default 5"),
	set("upstream.breaker_recovery", timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.Breaker.Recovery },
		`how long the endpoint is not tried then; default "15s"`),
	set("upstream.dns_cache_ttl", span(0, time.Hour), func(d *draft) *time.Duration { return &d.settings.Upstream.DNSCacheTTL },
		`how long the addresses of a provider are used before they are looked up again; when that fails, they are used for a day; default "60s"`),
	set("upstream.prewarm_connections", whole(0, 100), func(d *draft) *int { return &d.settings.Upstream.PrewarmConnections },
		"connections of each account to open ahead of mail, at the start and after a reload; default 0"),
	set("upstream.prewarm_rate", whole(1, 1000), func(d *draft) *int { return &d.settings.Upstream.PrewarmRate },
		"connections to open so in a second, over all accounts; default 10"),

	set("oauth.ca_file", text, func(d *draft) *string { return &d.settings.OAuth.CAFile },
		"PEM file of certificate authorities that are trusted for token endpoints besides the system's; default none"),
	set("oauth.request_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.RequestTimeout },
		`one token refresh, its retries included; default "10s"`),
	set("oauth.connect_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.ConnectTimeout },
		`connection to the token endpoint, TLS included; default "5s"`),
	set("oauth.parallel_refreshes", whole(1, 10_000), func(d *draft) *int { return &d.settings.OAuth.ParallelRefreshes },
		"token requests at one time; default 25"),
	set("oauth.connections_per_host", whole(1, 10_000), func(d *draft) *int { return &d.settings.OAuth.ConnectionsPerHost },
		"connections to one token endpoint; default 100"),
	opt("oauth.refresh_margin", refreshMargin, func(d *draft) *given[time.Duration] { return &d.margin },
		`how long before its expiry an access token is replaced; default "5m", for outlook "10m"; for all providers that have no value of their own`),
	set("oauth.default_lifetime", lifetime, func(d *draft) *time.Duration { return &d.settings.OAuth.DefaultLifetime },
		`lifetime of an access token whose answer has no expires_in; default "1h"`),
}

var (
	// refreshMargin is bounded by the usual lifetime of an access token, one
	// hour, of which enough must remain.
	refreshMargin = span(time.Minute, 45*time.Minute)
	lifetime      = span(time.Minute, 24*time.Hour)
)
