package config

import "time"

// Reasons that several of the original's keys share.
const (
	noWorkers = "there is no fixed set of workers; the limits of the accounts and the upstream section bound what runs at one time"
	noPrewarm = "upstream.prewarm_connections and upstream.prewarm_rate decide, for all providers alike"
)

// globalKeys are the original's sections global, powermta_relay, features and
// monitoring.
var globalKeys = []key[draft]{
	set("global.concurrency.global_concurrency_limit", whole(0, 10_000_000), func(d *draft) *int { return &d.settings.Upstream.MaxTransactions },
		"the same as upstream.max_transactions"),
	// The original read the nested key only and shipped the other.
	set("global.backpressure_queue_size", count, func(d *draft) *int { return &d.settings.Upstream.QueueSize },
		"the same as upstream.queue_size"),
	set("global.concurrency.backpressure_queue_size", count, func(d *draft) *int { return &d.settings.Upstream.QueueSize },
		"the same as upstream.queue_size"),
	ignored[draft]("global.concurrency.connection_backlog", "the system's net.core.somaxconn is the listen backlog"),

	set("global.oauth2_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.RequestTimeout },
		"seconds; the same as oauth.request_timeout"),
	set("global.timeouts.oauth2_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.RequestTimeout },
		"seconds; the same as oauth.request_timeout"),
	opt("global.timeouts.connection_acquire_timeout", timeout, func(d *draft) *given[time.Duration] { return &d.acquire },
		"seconds; the same as upstream.acquire_timeout"),
	set("global.timeouts.smtp_command_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Server.CommandTimeout },
		"seconds; the same as server.command_timeout"),
	set("global.timeouts.smtp_data_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Server.ContentTimeout },
		"seconds; the same as server.content_timeout"),
	set("global.timeouts.smtp_timeout", timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.CommandTimeout },
		"seconds; the same as upstream.command_timeout"),

	opt("global.oauth2.token_refresh_buffer_seconds", refreshMargin, func(d *draft) *given[time.Duration] { return &d.margin },
		"seconds; the same as oauth.refresh_margin"),
	ignored[draft]("global.oauth2.token_cache_ttl_seconds", "a token is kept as long as the provider says that it lives"),
	set("global.oauth2.token_default_lifetime_seconds", lifetime, func(d *draft) *time.Duration { return &d.settings.OAuth.DefaultLifetime },
		"seconds; the same as oauth.default_lifetime"),

	ignored[draft]("global.http_pool.total_connections", "oauth.parallel_refreshes bounds the token requests at one time"),
	set("global.http_pool.connections_per_host", whole(1, 10_000), func(d *draft) *int { return &d.settings.OAuth.ConnectionsPerHost },
		"the same as oauth.connections_per_host"),
	ignored[draft]("global.http_pool.dns_cache_ttl_seconds", "the connections of token requests are kept, and few; for SMTP there is upstream.dns_cache_ttl"),
	set("global.http_pool.connect_timeout_seconds", timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.ConnectTimeout },
		"seconds; the same as oauth.connect_timeout"),
	ignored[draft]("global.http_pool.max_retries", "retry.max_attempts of the provider or account alone decides, or tries would multiply"),

	set("global.smtp.server_hostname", checked(checkHost), func(d *draft) *string { return &d.settings.Server.Hostname },
		"the same as server.hostname"),
	set("global.smtp.max_message_size", size(1, maxContent), func(d *draft) *int64 { return &d.settings.Server.MaxMessageSize },
		"octets; the same as server.max_message_size"),
	set("global.smtp.max_recipients", whole(100, 100_000), func(d *draft) *int { return &d.settings.Server.MaxRecipients },
		"the same as server.max_recipients"),
	ignored[draft]("global.smtp.max_line_length", "the limits of RFC 5321 hold for command lines; content passes as it is"),
	set("global.smtp.use_source_ip_binding", boolean, func(d *draft) *bool { return &d.settings.Upstream.BindSourceIP },
		"connects to the provider from the account's ip_address; default true"),
	ignored[draft]("global.smtp.validate_source_ip", "an ip_address is always checked, and one that this host does not have makes sending fail; no other is taken instead"),
	set("global.smtp.use_ipv6", boolean, func(d *draft) *bool { return &d.settings.Upstream.IPv6 },
		"connects to providers over IPv6 too; default false"),

	set("global.logging.level", oneOf(levels, "debug", "info", "warn", "error"), func(d *draft) *string { return &d.settings.Log.Level },
		"the same as log.level"),
	set("global.logging.format", oneOf(nil, "text", "json"), func(d *draft) *string { return &d.settings.Log.Format },
		"the same as log.format"),
	set("global.logging.log_file_override", text, func(d *draft) *string { return &d.settings.Log.File },
		"the same as log.file"),
	set("global.logging.console_output", boolean, func(d *draft) *bool { return &d.settings.Log.Console },
		"the same as log.console"),

	opt("powermta_relay.max_concurrent_connections_per_account", whole(1, 10_000), func(d *draft) *given[int] { return &d.relayConnections },
		"connections of any account at one time, whatever its provider; default none"),
	ignored[draft]("powermta_relay.max_workers", noWorkers),
	ignored[draft]("powermta_relay.num_token_fetching_workers", "oauth.parallel_refreshes and num_token_refresh_workers bound the token requests at one time"),
	ignored[draft]("powermta_relay.num_pre_auth_connections_workers", noPrewarm),
	set("powermta_relay.num_token_refresh_workers", whole(1, 10_000), func(d *draft) *int { return &d.settings.OAuth.ParallelRefreshes },
		"the same as oauth.parallel_refreshes"),
	ignored[draft]("powermta_relay.num_pool_invalidation_workers", noWorkers),
	ignored[draft]("powermta_relay.num_pool_closing_workers", noWorkers),

	ignored[draft]("features", "the original read nothing here either"),
	ignored[draft]("monitoring", "the original read nothing here either; see admin and log"),
}
