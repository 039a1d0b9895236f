package accountfile

import (
	"net/netip"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// accountDraft is what one account of accounts.json says.
type accountDraft struct {
	a account.Account // the fields that are taken as they are
	flowDraft
	endpoint keyfile.Given[account.Endpoint]
	tls      keyfile.Given[account.TLSMode]
	sourceIP keyfile.Given[netip.Addr]
	senders  keyfile.Given[[]string]
	hourly   keyfile.Given[int]
	limits   accountkeys.Limits
	retry    accountkeys.Retry
}

// ofProcess is the reason why fields that the predecessor accepted by accident have
// no effect.
const ofProcess = "this is state of a running process, not configuration"

// accountTable is the keys of one account.
var accountTable = keyfile.NewTable(
	[]keyfile.Key[accountDraft]{
		keyfile.Set("account_id", keyfile.Text, func(d *accountDraft) *string { return &d.a.ID },
			`unique name of the account in logs; default: provider and email, as in "gmail_user_example_com"`),
		keyfile.Set("email", keyfile.Checked(checkEmail), func(d *accountDraft) *string { return &d.a.Email },
			`mailbox, and the name that clients log in with, in any case; unique; needed; "*@example.com" is every mailbox of the domain that has no account of its own: clients log in with its address, and oauth_flow must not be refresh_token`),
		keyfile.Set("provider", keyfile.Checked(lowerCase), func(d *accountDraft) *string { return &d.a.Provider },
			`"gmail", "outlook" (also "outlook-usgov", "outlook-usdod" and "outlook-china") or a section under providers in config.json; needed`),
		keyfile.Opt("oauth_endpoint", keyfile.Checked(checkEndpoint), func(d *accountDraft) *keyfile.Given[account.Endpoint] { return &d.endpoint },
			"host:port that takes the account's submissions, TLS from the start on port 465 and STARTTLS on every other; default: the provider's"),
		keyfile.Opt("tls", accountkeys.TLSMode, func(d *accountDraft) *keyfile.Given[account.TLSMode] { return &d.tls },
			`"starttls" or "implicit", where the port of oauth_endpoint does not tell`),
		keyfile.Secret(keyfile.Set("client_password", accountkeys.ClientPassword, func(d *accountDraft) *account.Secret { return &d.a.ClientPassword },
			`password of clients on listeners with passwords "account": an argon2id or bcrypt hash, or plain text, which CRAM-MD5 needs; default: nobody can log in there`)),
		keyfile.Set("auth_identity", keyfile.Text, func(d *accountDraft) *string { return &d.a.AuthIdentity },
			"user to log in as at the provider; default: email"),
		keyfile.Opt("ip_address", keyfile.Checked(checkSourceIP), func(d *accountDraft) *keyfile.Given[netip.Addr] { return &d.sourceIP },
			"address of this host to connect from; default: the system's choice"),
		keyfile.Set("vmta_name", keyfile.Text, func(d *accountDraft) *string { return &d.a.VMTA },
			`virtual MTA that uses the account, for information; default: as in "vmta-gmail-user"`),
		keyfile.Opt("senders", senders, func(d *accountDraft) *keyfile.Given[[]string] { return &d.senders },
			`array: addresses that clients may send from, in MAIL and in the From field: "user@example.com", "@example.com" for all of a domain, "self" for the mailbox of the login; all others are refused with 553; the empty sender of bounces is allowed; default: every address`),
		keyfile.Opt("max_concurrent_messages", keyfile.Whole(1, 1_000_000), func(d *accountDraft) *keyfile.Given[int] { return &d.limits.MaxConcurrent },
			"messages at one time, each on a connection of its own; it can lower the connections, not raise them"),
		keyfile.Opt("max_messages_per_hour", accountkeys.Rate, func(d *accountDraft) *keyfile.Given[int] { return &d.hourly },
			"messages in an hour, 0 for no limit; the lower of it and rate_limiting.messages_per_hour holds; default: the provider's"),
		keyfile.Secret(keyfile.NoEffect[accountDraft]("token", "tokens are fetched when they are needed")),
		keyfile.NoEffect[accountDraft]("messages_this_hour", ofProcess),
		keyfile.NoEffect[accountDraft]("concurrent_messages", ofProcess),
		keyfile.NoEffect[accountDraft]("active_connections", ofProcess),
	},
	flowKeys,
	accountkeys.RateKeys("rate_limiting_settings", func(d *accountDraft) *accountkeys.Limits { return &d.limits }),
	accountkeys.LimitKeys("connection_settings",
		func(d *accountDraft) *accountkeys.Limits { return &d.limits },
		func(d *accountDraft) *accountkeys.Retry { return &d.retry }),
	noBreakerKeys[accountDraft](),
)

// lowerCase accepts any text.
func lowerCase(s string) (string, error) { return strings.ToLower(s), nil }

// noBreakerKeys are circuit_breaker of an account.
func noBreakerKeys[T any]() []keyfile.Key[T] {
	const reason = "a breaker is for an endpoint, not for an account, whose own failures hold it back by growing pauses: set it for the provider"
	return []keyfile.Key[T]{
		keyfile.NoEffect[T]("circuit_breaker.enabled", reason),
		keyfile.NoEffect[T]("circuit_breaker.failure_threshold", reason),
		keyfile.NoEffect[T]("circuit_breaker.recovery_timeout_seconds", reason),
		keyfile.NoEffect[T]("circuit_breaker.half_open_max_calls", reason),
	}
}
