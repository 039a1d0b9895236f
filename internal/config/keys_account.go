package config

import (
	"net/netip"
	"strings"

	"xoauth2-proxy/internal/account"
)

// accountDraft is what one account of accounts.json says.
type accountDraft struct {
	a account.Account // the fields that are taken as they are
	flowDraft
	endpoint given[account.Endpoint]
	tls      given[account.TLSMode]
	sourceIP given[netip.Addr]
	hourly   given[int]
	limits   limitsDraft
	retry    retryDraft
}

// ofProcess is why fields that the original accepted by accident mean nothing.
const ofProcess = "this is state of a running process, not configuration"

// accountTable is the keys of one account.
var accountTable = newTable(
	[]key[accountDraft]{
		set("account_id", text, func(d *accountDraft) *string { return &d.a.ID },
			`unique name of the account in logs; default: provider and email, as in "gmail_user_example_com"`),
		set("email", checked(checkEmail), func(d *accountDraft) *string { return &d.a.Email },
			`mailbox, and the name that clients log in with, in any case; unique; needed; "*@example.com" is every mailbox of the domain that has no account of its own: clients log in with its address, and oauth_flow must not be refresh_token`),
		set("provider", checked(lowerCase), func(d *accountDraft) *string { return &d.a.Provider },
			`"gmail", "outlook" (also "outlook-usgov", "outlook-usdod" and "outlook-china") or a section under providers in config.json; needed`),
		opt("oauth_endpoint", checked(checkEndpoint), func(d *accountDraft) *given[account.Endpoint] { return &d.endpoint },
			"host:port that takes the account's submissions, TLS from the start on port 465 and STARTTLS on every other; default: the provider's"),
		opt("tls", tlsMode, func(d *accountDraft) *given[account.TLSMode] { return &d.tls },
			`"starttls" or "implicit", where the port of oauth_endpoint does not tell`),
		secret(set("client_password", clientPassword, func(d *accountDraft) *account.Secret { return &d.a.ClientPassword },
			`password of clients on listeners with passwords "account": an argon2id or bcrypt hash, or plain text, which CRAM-MD5 needs; default: nobody can log in there`)),
		set("auth_identity", text, func(d *accountDraft) *string { return &d.a.AuthIdentity },
			"user to log in as at the provider; default: email"),
		opt("ip_address", checked(checkSourceIP), func(d *accountDraft) *given[netip.Addr] { return &d.sourceIP },
			"address of this host to connect from; default: the system's choice"),
		set("vmta_name", text, func(d *accountDraft) *string { return &d.a.VMTA },
			`virtual MTA that uses the account, for information; default: as in "vmta-gmail-user"`),
		opt("max_concurrent_messages", whole(1, 1_000_000), func(d *accountDraft) *given[int] { return &d.limits.maxConcurrent },
			"messages at one time, each on a connection of its own; it can lower the connections, not raise them"),
		opt("max_messages_per_hour", rate, func(d *accountDraft) *given[int] { return &d.hourly },
			"messages in an hour, 0 for no limit; the lower of it and rate_limiting.messages_per_hour holds; default: the provider's"),
		secret(ignored[accountDraft]("token", "tokens are fetched when they are needed")),
		ignored[accountDraft]("messages_this_hour", ofProcess),
		ignored[accountDraft]("concurrent_messages", ofProcess),
		ignored[accountDraft]("active_connections", ofProcess),
	},
	flowKeys,
	rateKeys("rate_limiting_settings", func(d *accountDraft) *limitsDraft { return &d.limits }),
	sharedLimitKeys("connection_settings",
		func(d *accountDraft) *limitsDraft { return &d.limits },
		func(d *accountDraft) *retryDraft { return &d.retry }),
	noBreakerKeys[accountDraft](),
)

// lowerCase accepts any text.
func lowerCase(s string) (string, error) { return strings.ToLower(s), nil }
