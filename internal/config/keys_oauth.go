package config

import (
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
)

// secretsKeys is the section secrets. It is read before everything else.
var secretsKeys = []key[draft]{
	{path: "secrets.key", set: (*draft).readKey,
		doc: "where the key is that opens sealed values (accounts seal) and seals the token store: file:/path, env:NAME or credential:NAME; the token store takes another one at the next start; default none"},
}

// readKey reads the keys and has them open what the rest of the file seals.
func (d *draft) readKey(v *value) {
	ring, ok := checked(seal.LoadKeyring)(v)
	if !ok {
		return
	}
	d.settings.Secrets.Key, v.f.keys = ring, ring
}

// oauthKeys are the further keys of the section oauth.
var oauthKeys = []key[draft]{
	secret(set("oauth.proxy", checkedSecret(checkProxyURL), func(d *draft) *account.Secret { return &d.settings.OAuth.Proxy },
		`HTTP proxy for token requests, as "http://host:port" or "https://host:port", with user:password@ before the host if it wants them; default none`)),
	set("oauth.keep_alive", keepAlive, func(d *draft) *time.Duration { return &d.settings.OAuth.KeepAlive },
		`how long a refresh token may be unused before it is used to keep it from expiring, 0 for ever; default "720h"; gmail and outlook have values of their own`),
	set("oauth.max_mailboxes", whole(1, 1_000_000), func(d *draft) *int { return &d.settings.OAuth.MaxMailboxes },
		`mailboxes of one catch-all account ("*@...") that may be in use at one time; a login as another one is answered 454; one that is not used for 10 minutes makes room; default 20000`),
	set("oauth.token_store", text, func(d *draft) *string { return &d.settings.OAuth.TokenStore },
		"file that keeps tokens over restarts, for one process at a time; default none: a refresh token that its provider replaced is in memory only, and lost at a restart"),
}

// keepAlive reads how long a refresh token may be unused. Below an hour the
// provider would take it for abuse.
func keepAlive(v *value) (time.Duration, bool) {
	d, ok := span(0, 365*24*time.Hour)(v)
	if ok && d > 0 && d < time.Hour {
		v.fail("%v is less than 1h", d)
		return 0, false
	}
	return d, ok
}

// orNever turns the 0 of a file into what stands for never in a provider and
// an account.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
