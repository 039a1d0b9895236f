package config

import (
	"errors"
	"io/fs"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/seal"
)

// secretsKeys is the section secrets. It is read before everything else.
var secretsKeys = []keyfile.Key[draft]{
	{Path: "secrets.key", Set: (*draft).readKey,
		Doc: "where the key is that opens sealed values (accounts seal) and seals the token store: file:/path, env:NAME or credential:NAME; rotate-key replaces it; default none"},
}

// readKey reads the keys, which then open the sealed values in the rest of the file.
func (d *draft) readKey(v *keyfile.Value) {
	ring, ok := keyfile.Checked(func(ref string) (*seal.Keyring, error) {
		if warning := seal.Exposed(ref); warning != "" {
			v.Entry.Status, v.Entry.Note = keyfile.Warned, warning
		}
		d.settings.Secrets.Ref = ref
		ring, err := seal.LoadKeyring(ref)
		switch {
		case d.keys != nil && errors.Is(err, fs.ErrNotExist):
			return d.keys, nil
		case v.File.Lenient && errors.Is(err, seal.ErrReference):
			return nil, nil
		}
		return ring, err
	})(v)
	if !ok {
		return
	}
	d.settings.Secrets.Key, v.File.Keys = ring, ring
}

// oauthKeys are the further keys of the section oauth.
var oauthKeys = []keyfile.Key[draft]{
	keyfile.Secret(keyfile.Set("oauth.proxy", keyfile.CheckedSecret(accountkeys.CheckProxyURL), func(d *draft) *account.Secret { return &d.settings.OAuth.Proxy },
		`HTTP proxy for token requests, as "http://host:port" or "https://host:port", with user:password@ before the host if it wants them; "none" for none, and the proxy of the environment is never used; default none`)),
	keyfile.Set("oauth.keep_alive", accountkeys.KeepAlive, func(d *draft) *time.Duration { return &d.settings.OAuth.KeepAlive },
		`how long a refresh token may be unused before it is used to keep it from expiring, 0 for ever; default "720h"; gmail and outlook have values of their own`),
	keyfile.Set("oauth.max_mailboxes", keyfile.Whole(1, 1_000_000), func(d *draft) *int { return &d.settings.OAuth.MaxMailboxes },
		`mailboxes of one catch-all account ("*@...") that may be in use at one time; a login as another one is answered 454; one that is not used for 10 minutes makes room; default 20000`),
	keyfile.Set("oauth.token_store", keyfile.Text, func(d *draft) *string { return &d.settings.OAuth.TokenStore },
		"file that keeps tokens over restarts, for one process at a time; default none: a refresh token that its provider replaced is in memory only, and lost at a restart"),
}
