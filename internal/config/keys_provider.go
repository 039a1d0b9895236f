package config

import (
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// providerTable is the keys of a section providers.NAME.
var providerTable = keyfile.NewTable(
	[]keyfile.Key[providerDraft]{
		keyfile.Opt("smtp_host", keyfile.Checked(accountkeys.CheckHost), func(p *providerDraft) *keyfile.Given[string] { return &p.smtpHost },
			"host that takes submissions; known for gmail and outlook"),
		keyfile.Opt("smtp_port", keyfile.Whole(1, 65535), func(p *providerDraft) *keyfile.Given[int] { return &p.smtpPort },
			"its port; default 587"),
		keyfile.Opt("tls", accountkeys.TLSMode, func(p *providerDraft) *keyfile.Given[account.TLSMode] { return &p.tls },
			`"starttls" or "implicit"; default: implicit on port 465, starttls on every other`),
		keyfile.Opt("token_url", keyfile.Checked(accountkeys.CheckTokenURL), func(p *providerDraft) *keyfile.Given[string] { return &p.tokenURL },
			"https URL of the OAuth2 token endpoint; known for gmail and outlook"),
		keyfile.Opt("scope", keyfile.Text, func(p *providerDraft) *keyfile.Given[string] { return &p.scope },
			"scope to send with a refresh; default none, which keeps the scope of the consent"),
		keyfile.Opt("send_client_secret", keyfile.Boolean, func(p *providerDraft) *keyfile.Given[bool] { return &p.sendSecret },
			"sends the client_secret with a refresh; default true, for outlook false: its public clients are refused with one"),
		keyfile.Opt("client_auth", keyfile.OneOf(nil, account.ClientSecretPost, account.ClientSecretBasic), func(p *providerDraft) *keyfile.Given[account.ClientAuth] { return &p.clientAuth },
			`how the client_secret is sent to the token endpoint: "client_secret_post", as a field of the form, or "client_secret_basic", in the header Authorization (RFC 6749 section 2.3.1); default "client_secret_post"`),
		keyfile.Opt("client_secret_expires", accountkeys.SecretExpires, func(p *providerDraft) *keyfile.Given[time.Time] { return &p.secretExpires },
			`when the client_secret of the accounts ends that do not say it themselves: a date, or a date and time, as in RFC 3339; "xoauth2-proxy forecast" warns before it; default none`),
		keyfile.Opt("auth_url", keyfile.Checked(accountkeys.CheckTokenURL), func(p *providerDraft) *keyfile.Given[string] { return &p.consent.authURL },
			"https URL that a person gives consent at, in a browser; known for gmail and outlook"),
		keyfile.Opt("device_url", keyfile.Checked(accountkeys.CheckTokenURL), func(p *providerDraft) *keyfile.Given[string] { return &p.consent.deviceURL },
			"https URL that gives a device code for consent (RFC 8628); known for outlook; gmail has none for mail"),
		keyfile.Opt("consent_scope", keyfile.Text, func(p *providerDraft) *keyfile.Given[string] { return &p.consent.scope },
			"scope that consent is asked for; known for gmail and outlook"),
		keyfile.Opt("app_scope", keyfile.Text, func(p *providerDraft) *keyfile.Given[string] { return &p.consent.appScope },
			"scope of client_credentials and service_account; known for gmail and outlook"),
		keyfile.Opt("keep_alive", accountkeys.KeepAlive, func(p *providerDraft) *keyfile.Given[time.Duration] { return &p.keepAlive },
			`how long a refresh token may be unused before it is used to keep it from expiring, 0 for ever; default: gmail "1440h", outlook "720h", others oauth.keep_alive`),
		keyfile.Opt("refresh_margin", refreshMargin, func(p *providerDraft) *keyfile.Given[time.Duration] { return &p.refreshMargin },
			`how long before its expiry an access token is replaced; default "5m", outlook "10m", which is also its least`),
		keyfile.Opt("extensions", readExtensions, func(p *providerDraft) *keyfile.Given[announced] { return &p.extensions },
			`what its EHLO reply announces after TLS: a list of "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME" and "SIZE=octets"; messages that need more are refused, and clients are offered what the providers of all accounts have; SIZE bounds max_message_size and holds in place of the announced one; known for gmail and outlook, default for others ["8BITMIME"]`),
		keyfile.Opt("initial_response", keyfile.OneOf(nil, account.InitialResponseAuto, account.InitialResponseAlways, account.InitialResponseNever),
			func(p *providerDraft) *keyfile.Given[account.InitialResponse] { return &p.initialResponse },
			`how the access token is sent at login: "always" in the AUTH line, "never" there but on a line of its own after the provider's 334, or "auto": in the AUTH line up to 512 octets, which is as much as every server takes; default "auto"; a provider that refuses one way by 501 or 504 is asked the other way`),
		keyfile.Opt("avoid", readAvoid, func(p *providerDraft) *keyfile.Given[account.Keywords] { return &p.avoid },
			`what is not used with it though its EHLO reply announces it, because it does not work there: a list of "CHUNKING", "PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN" and "BINARYMIME"; default []; without CHUNKING content goes by DATA; a provider that refuses BDAT is avoided so for 24 hours by itself`),
		keyfile.Opt("max_concurrent_messages", keyfile.Whole(1, 1_000_000), func(p *providerDraft) *keyfile.Given[int] { return &p.limits.MaxConcurrent },
			"messages of an account at one time, each on a connection of its own; the lower of it and connection_pool.max_connections_per_account holds"),
	},
	accountkeys.LimitKeys("connection_pool",
		func(p *providerDraft) *accountkeys.Limits { return &p.limits },
		func(p *providerDraft) *accountkeys.Retry { return &p.retry }),
	breakerKeys(func(p *providerDraft) *breakerDraft { return &p.breaker }),
)
