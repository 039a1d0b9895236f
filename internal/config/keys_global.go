package config

import (
	"time"

	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// noWorkers is the reason that several of the predecessor's keys share.
const noWorkers = "there is no fixed set of workers; the limits of the accounts and the upstream section bound what runs at one time"

// noRelay is the reason of the keys about token requests.
const noRelay = "the original did not read this section; oauth.parallel_refreshes bounds the token requests at one time"

// globalKeys are the predecessor's sections global, powermta_relay, features and
// monitoring.
var globalKeys = []keyfile.Key[draft]{
	keyfile.Set("global.concurrency.global_concurrency_limit", keyfile.Whole(0, 10_000_000), func(d *draft) *int { return &d.settings.Upstream.GlobalConcurrency },
		"the same as upstream.max_transactions"),
	// The predecessor read the nested key only, and its samples had the other one.
	keyfile.Set("global.backpressure_queue_size", count, func(d *draft) *int { return &d.settings.Upstream.MaxWaiting },
		"the same as upstream.queue_size"),
	keyfile.Set("global.concurrency.backpressure_queue_size", count, func(d *draft) *int { return &d.settings.Upstream.MaxWaiting },
		"the same as upstream.queue_size"),
	keyfile.NoEffect[draft]("global.concurrency.connection_backlog", "the system's net.core.somaxconn is the listen backlog"),

	keyfile.Set("global.oauth2_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.Timeout },
		"seconds; the same as oauth.request_timeout"),
	keyfile.Set("global.timeouts.oauth2_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.Timeout },
		"seconds; the same as oauth.request_timeout"),
	keyfile.Opt("global.timeouts.connection_acquire_timeout", accountkeys.Timeout, func(d *draft) *keyfile.Given[time.Duration] { return &d.acquire },
		"seconds; the same as upstream.acquire_timeout"),
	keyfile.Set("global.timeouts.smtp_command_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Server.CommandTimeout },
		"seconds; the same as server.command_timeout"),
	keyfile.Set("global.timeouts.smtp_data_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Server.ContentTimeout },
		"seconds; the same as server.content_timeout"),
	keyfile.Set("global.timeouts.smtp_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.CommandTimeout },
		"seconds; the same as upstream.command_timeout"),

	keyfile.Opt("global.oauth2.token_refresh_buffer_seconds", refreshMargin, func(d *draft) *keyfile.Given[time.Duration] { return &d.margin },
		"seconds; the same as oauth.refresh_margin"),
	keyfile.NoEffect[draft]("global.oauth2.token_cache_ttl_seconds", "a token is kept as long as the provider says that it lives"),
	keyfile.Set("global.oauth2.token_default_lifetime_seconds", lifetime, func(d *draft) *time.Duration { return &d.settings.OAuth.DefaultLifetime },
		"seconds; the same as oauth.default_lifetime"),

	keyfile.NoEffect[draft]("global.http_pool.total_connections", "oauth.parallel_refreshes bounds the token requests at one time"),
	keyfile.Set("global.http_pool.connections_per_host", keyfile.Whole(1, 10_000), func(d *draft) *int { return &d.settings.OAuth.ConnectionsPerHost },
		"the same as oauth.connections_per_host"),
	keyfile.NoEffect[draft]("global.http_pool.dns_cache_ttl_seconds", "the connections of token requests are kept, and few; for SMTP there is upstream.dns_cache_ttl"),
	keyfile.Set("global.http_pool.connect_timeout_seconds", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.ConnectTimeout },
		"seconds; the same as oauth.connect_timeout"),
	keyfile.NoEffect[draft]("global.http_pool.max_retries", "retry.max_attempts of the provider or account alone decides, or tries would multiply"),

	keyfile.Set("global.smtp.server_hostname", keyfile.Checked(accountkeys.CheckHost), func(d *draft) *string { return &d.settings.Server.Hostname },
		"the same as server.hostname"),
	keyfile.Set("global.smtp.max_message_size", keyfile.Size(1, accountkeys.MaxContent), func(d *draft) *int64 { return &d.settings.Server.MaxMessageSize },
		"octets; the same as server.max_message_size"),
	keyfile.Set("global.smtp.max_recipients", keyfile.Whole(100, 100_000), func(d *draft) *int { return &d.settings.Server.MaxRecipients },
		"the same as server.max_recipients"),
	keyfile.NoEffect[draft]("global.smtp.max_line_length", "the limits of RFC 5321 hold for command lines; content passes as it is"),
	keyfile.Set("global.smtp.use_source_ip_binding", keyfile.Boolean, func(d *draft) *bool { return &d.settings.Upstream.BindSourceIP },
		"connects to the provider from the account's ip_address; default true"),
	keyfile.NoEffect[draft]("global.smtp.validate_source_ip", "an ip_address is always checked, and one that this host does not have makes sending fail; no other is taken instead"),
	keyfile.Set("global.smtp.use_ipv6", keyfile.Boolean, func(d *draft) *bool { return &d.settings.Upstream.IPv6 },
		"connects to providers over IPv6 too; default false"),

	keyfile.Set("global.logging.level", keyfile.OneOf(levels, "debug", "info", "warn", "error"), func(d *draft) *string { return &d.settings.Log.Level },
		"the same as log.level"),
	keyfile.Set("global.logging.format", keyfile.OneOf(nil, "text", "json"), func(d *draft) *string { return &d.settings.Log.Format },
		"the same as log.format"),
	keyfile.Set("global.logging.log_file_override", keyfile.Text, func(d *draft) *string { return &d.settings.Log.File },
		"the same as log.file"),
	keyfile.Set("global.logging.console_output", keyfile.Boolean, func(d *draft) *bool { return &d.settings.Log.Console },
		"the same as log.console"),

	keyfile.NoEffect[draft]("powermta_relay.max_concurrent_connections_per_account",
		"the original did not read this section; providers.NAME.connection_pool.max_connections_per_account bounds the connections of an account"),
	keyfile.NoEffect[draft]("powermta_relay.max_workers", noWorkers),
	keyfile.NoEffect[draft]("powermta_relay.num_token_fetching_workers", noRelay),
	keyfile.NoEffect[draft]("powermta_relay.num_pre_auth_connections_workers", accountkeys.NoPrewarm),
	keyfile.NoEffect[draft]("powermta_relay.num_token_refresh_workers", noRelay),
	keyfile.NoEffect[draft]("powermta_relay.num_pool_invalidation_workers", noWorkers),
	keyfile.NoEffect[draft]("powermta_relay.num_pool_closing_workers", noWorkers),

	keyfile.NoEffect[draft]("features", "the original read nothing here either"),
	keyfile.NoEffect[draft]("monitoring", "the original read nothing here either; see admin and log"),
}
