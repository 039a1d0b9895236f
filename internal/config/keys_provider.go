package config

import (
	"time"

	"xoauth2-proxy/internal/account"
)

// providerDraft is what a section providers.NAME says.
type providerDraft struct {
	limits          limitsDraft
	retry           retryDraft
	breaker         breakerDraft
	smtpHost        given[string]
	smtpPort        given[int]
	tls             given[account.TLSMode]
	tokenURL, scope given[string]
	consent         consentDraft
	keepAlive       given[time.Duration]
	sendSecret      given[bool]
	refreshMargin   given[time.Duration]
	extensions      given[announced]
	initialResponse given[account.InitialResponse]
}

// consentDraft is how consent is got, and applications go without.
type consentDraft struct {
	authURL, deviceURL, scope, appScope given[string]
}

// tlsMode reads a TLS mode.
var tlsMode = oneOf(map[string]account.TLSMode{"ssl": account.TLSImplicit}, account.TLSStartTLS, account.TLSImplicit)

// providerTable is the keys of a section providers.NAME.
var providerTable = newTable(
	[]key[providerDraft]{
		opt("smtp_host", checked(checkHost), func(p *providerDraft) *given[string] { return &p.smtpHost },
			"host that takes submissions; known for gmail and outlook"),
		opt("smtp_port", whole(1, 65535), func(p *providerDraft) *given[int] { return &p.smtpPort },
			"its port; default 587"),
		opt("tls", tlsMode, func(p *providerDraft) *given[account.TLSMode] { return &p.tls },
			`"starttls" or "implicit"; default: implicit on port 465, starttls on every other`),
		opt("token_url", checked(checkTokenURL), func(p *providerDraft) *given[string] { return &p.tokenURL },
			"https URL of the OAuth2 token endpoint; known for gmail and outlook"),
		opt("scope", text, func(p *providerDraft) *given[string] { return &p.scope },
			"scope to send with a refresh; default none, which keeps the scope of the consent"),
		opt("send_client_secret", boolean, func(p *providerDraft) *given[bool] { return &p.sendSecret },
			"sends the client_secret with a refresh; default true, for outlook false: its public clients are refused with one"),
		opt("auth_url", checked(checkTokenURL), func(p *providerDraft) *given[string] { return &p.consent.authURL },
			"https URL that a person gives consent at, in a browser; known for gmail and outlook"),
		opt("device_url", checked(checkTokenURL), func(p *providerDraft) *given[string] { return &p.consent.deviceURL },
			"https URL that gives a device code for consent (RFC 8628); known for outlook; gmail has none for mail"),
		opt("consent_scope", text, func(p *providerDraft) *given[string] { return &p.consent.scope },
			"scope that consent is asked for; known for gmail and outlook"),
		opt("app_scope", text, func(p *providerDraft) *given[string] { return &p.consent.appScope },
			"scope of client_credentials and service_account; known for gmail and outlook"),
		opt("keep_alive", keepAlive, func(p *providerDraft) *given[time.Duration] { return &p.keepAlive },
			`how long a refresh token may be unused before it is used to keep it from expiring, 0 for ever; default: gmail "1440h", outlook "720h", others oauth.keep_alive`),
		opt("refresh_margin", refreshMargin, func(p *providerDraft) *given[time.Duration] { return &p.refreshMargin },
			`how long before its expiry an access token is replaced; default "5m", outlook "10m", which is also its least`),
		opt("extensions", readExtensions, func(p *providerDraft) *given[announced] { return &p.extensions },
			`what its EHLO reply announces after TLS: a list of "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME" and "SIZE=octets"; messages that ask for more are refused, and clients are offered what the providers of all accounts have; SIZE bounds max_message_size; known for gmail and outlook, default for others ["8BITMIME"]`),
		opt("initial_response", oneOf(nil, account.InitialResponseAuto, account.InitialResponseAlways, account.InitialResponseNever),
			func(p *providerDraft) *given[account.InitialResponse] { return &p.initialResponse },
			`how the access token is sent at login: "always" in the AUTH line, "never" there but on a line of its own after the provider's 334, or "auto": in the AUTH line up to 512 octets, which is as much as every server takes; default "auto"; a provider that refuses one way by 501 or 504 is asked the other way`),
		opt("max_concurrent_messages", whole(1, 1_000_000), func(p *providerDraft) *given[int] { return &p.limits.maxConcurrent },
			"messages of an account at one time, each on a connection of its own; the lower of it and connection_pool.max_connections_per_account holds"),
	},
	sharedLimitKeys("connection_pool",
		func(p *providerDraft) *limitsDraft { return &p.limits },
		func(p *providerDraft) *retryDraft { return &p.retry }),
	breakerKeys(func(p *providerDraft) *breakerDraft { return &p.breaker }),
)
