package config

import (
	"time"

	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/upstream"
)

// upstreamKeys are the sections upstream and oauth, which the predecessor did not
// have. They come after the predecessor's in the table, so they win.
var upstreamKeys = []keyfile.Key[draft]{
	keyfile.Set("upstream.ca_file", keyfile.Text, func(d *draft) *string { return &d.settings.Upstream.CAFile },
		"PEM file of certificate authorities that are trusted for SMTP instead of the system's; default none"),
	keyfile.Set("upstream.ehlo_name", keyfile.Checked(upstream.CheckEhloName), func(d *draft) *string { return &d.settings.Upstream.EhloName },
		`name in EHLO to the providers, with its domain, or an address literal such as "[192.0.2.1]"; default: server.hostname if it has a domain, else the name of this host with its domain, else the address that the connection comes from`),
	keyfile.Set("upstream.shards", keyfile.Whole(0, 1024), func(d *draft) *int { return &d.settings.Upstream.Shards },
		"queues that the accounts are spread over; default 0: one for each CPU"),
	keyfile.Set("upstream.on_loops", keyfile.Boolean, func(d *draft) *bool { return &d.settings.Upstream.OnLoops },
		"has no effect any more: event loops carry all messages"),
	keyfile.Set("upstream.queue_size", count, func(d *draft) *int { return &d.settings.Upstream.MaxWaiting },
		"messages that may wait for a connection, over all accounts; more get 451; default 10000"),
	keyfile.Set("upstream.max_transactions", keyfile.Whole(0, 10_000_000), func(d *draft) *int { return &d.settings.Upstream.GlobalConcurrency },
		"messages being handed to providers at one time, over all accounts; default 0: what the limits of the accounts allow"),
	keyfile.Opt("upstream.acquire_timeout", accountkeys.Timeout, func(d *draft) *keyfile.Given[time.Duration] { return &d.acquire },
		`wait for a free connection of the account, then 451; default "5s"; for all providers that have no value of their own`),
	keyfile.Set("upstream.dial_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.DialTimeout },
		`DNS look-up and TCP connection; default "10s"`),
	keyfile.Set("upstream.tls_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.TLSTimeout },
		`TLS handshake; default "10s"`),
	keyfile.Set("upstream.greeting_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.GreetingTimeout },
		`wait for the provider's greeting; default "30s"`),
	keyfile.Set("upstream.command_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.CommandTimeout },
		`wait for the reply to each command; default "30s"`),
	keyfile.Set("upstream.content_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.ContentTimeout },
		`each write of content; default "3m"`),
	keyfile.Set("upstream.final_reply_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.FinalTimeout },
		`wait for the reply to the content; default "5m"; when it passes, the client gets 451 and sends the message again, maybe for the second time`),
	keyfile.Set("upstream.transaction_timeout", keyfile.Duration(time.Second, 9*time.Minute), func(d *draft) *time.Duration { return &d.settings.Upstream.TransactionTimeout },
		`everything for one message together, waiting included; default "8m"; below the ten minutes that clients wait`),
	keyfile.Set("upstream.quota_as_temporary", keyfile.Boolean, func(d *draft) *bool { return &d.settings.Upstream.QuotaAsTemporary },
		"answers 452 where the provider says by a permanent code that a quota of the account is used up (which codes: docs/provider-replies.md), so that the client keeps the message; default true; false passes that reply as it is"),
	keyfile.Set("upstream.throttle_recovery", keyfile.Duration(time.Second, time.Hour), func(d *draft) *time.Duration { return &d.settings.Upstream.ThrottleRecovery },
		`time in which an account that the provider asked to slow down gets one connection more; default "30s"`),
	keyfile.Set("upstream.breaker_failures", keyfile.Whole(0, 1000), func(d *draft) *int { return &d.settings.Upstream.Breaker.Failures },
		"failures in a row to connect to an endpoint, of all its accounts, after which none is tried for a while; 0 for no limit; default 5"),
	keyfile.Set("upstream.breaker_recovery", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.Upstream.Breaker.Recovery },
		`how long the endpoint is not tried then; default "15s"`),
	keyfile.Set("upstream.dns_cache_ttl", keyfile.Duration(0, time.Hour), func(d *draft) *time.Duration { return &d.settings.Upstream.DNSCacheTTL },
		`how long the addresses of a provider are used before they are looked up again; when that fails, they are used for a day; default "60s"`),
	keyfile.Set("upstream.prewarm_connections", keyfile.Whole(0, 100), func(d *draft) *int { return &d.settings.Upstream.PrewarmConnections },
		"connections of each account to open ahead of mail, at the start and after a reload; default 0"),
	keyfile.Set("upstream.prewarm_rate", keyfile.Whole(1, 1000), func(d *draft) *int { return &d.settings.Upstream.PrewarmRate },
		"connections to open so in a second, over all accounts; default 10"),

	keyfile.Set("oauth.ca_file", keyfile.Text, func(d *draft) *string { return &d.settings.OAuth.CAFile },
		"PEM file of certificate authorities that are trusted for token endpoints besides the system's; default none"),
	keyfile.Set("oauth.request_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.Timeout },
		`one token refresh, its retries included; default "10s"`),
	keyfile.Set("oauth.connect_timeout", accountkeys.Timeout, func(d *draft) *time.Duration { return &d.settings.OAuth.ConnectTimeout },
		`connection to the token endpoint, TLS included; default "5s"`),
	keyfile.Set("oauth.parallel_refreshes", keyfile.Whole(1, 10_000), func(d *draft) *int { return &d.settings.OAuth.MaxParallel },
		"token requests at one time; default 25"),
	keyfile.Set("oauth.connections_per_host", keyfile.Whole(1, 10_000), func(d *draft) *int { return &d.settings.OAuth.ConnectionsPerHost },
		"connections to one token endpoint; default 100"),
	keyfile.Opt("oauth.refresh_margin", refreshMargin, func(d *draft) *keyfile.Given[time.Duration] { return &d.margin },
		`how long before its expiry an access token is replaced; default "5m", for outlook "10m"; for all providers that have no value of their own`),
	keyfile.Set("oauth.default_lifetime", lifetime, func(d *draft) *time.Duration { return &d.settings.OAuth.DefaultLifetime },
		`lifetime of an access token whose answer has no expires_in; default "1h"`),
}

var (
	// refreshMargin is bounded by the usual lifetime of an access token, one
	// hour, of which enough must remain.
	refreshMargin = keyfile.Duration(time.Minute, 45*time.Minute)
	lifetime      = keyfile.Duration(time.Minute, 24*time.Hour)
)
