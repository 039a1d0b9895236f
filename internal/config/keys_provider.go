package config

import (
	"time"

	"xoauth2-proxy/internal/account"
)

// providerDraft is what a section providers.NAME says.
type providerDraft struct {
	limits          limitsDraft
	retry           retryDraft
	smtpHost        given[string]
	smtpPort        given[int]
	tls             given[account.TLSMode]
	tokenURL, scope given[string]
	sendSecret      given[bool]
	refreshMargin   given[time.Duration]
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
		opt("refresh_margin", refreshMargin, func(p *providerDraft) *given[time.Duration] { return &p.refreshMargin },
			`how long before its expiry an access token is replaced; default "5m", outlook "10m", which is also its least`),
		opt("max_concurrent_messages", whole(1, 1_000_000), func(p *providerDraft) *given[int] { return &p.limits.maxConcurrent },
			"messages of an account at one time, each on a connection of its own; the lower of it and connection_pool.max_connections_per_account holds"),
	},
	sharedLimitKeys("connection_pool",
		func(p *providerDraft) *limitsDraft { return &p.limits },
		func(p *providerDraft) *retryDraft { return &p.retry }),
)
