package accountfile

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// flowDraft is what an account says about how it gets its access tokens.
type flowDraft struct {
	clientSecret, refreshToken       keyfile.Given[string]
	certificate, privateKey, keyID   keyfile.Given[string]
	serviceAccount                   keyfile.Given[account.ServiceAccount]
	subject, tokenURL, scope, tenant keyfile.Given[string]
	command                          keyfile.Given[[]string]
	sendSecret                       keyfile.Given[bool]
	keepAlive                        keyfile.Given[time.Duration]
	secretExpires                    keyfile.Given[time.Time]
}

// flowKeys are the keys of an account about its tokens.
var flowKeys = []keyfile.Key[accountDraft]{
	keyfile.Set("oauth_flow", keyfile.OneOf(nil, account.Flows...), func(d *accountDraft) *account.Flow { return &d.a.Flow },
		`how access tokens are got: "refresh_token" (a person consented), "client_credentials" (the client for itself), "service_account" (Google's, for one mailbox) or "external" (from token_command, or from oauth_token_url by a POST); default "refresh_token"`),
	keyfile.Set("auth_mechanism", keyfile.OneOf(nil, account.MechanismXOAUTH2, account.MechanismOAUTHBEARER), func(d *accountDraft) *account.Mechanism { return &d.a.Mechanism },
		`"xoauth2" or "oauthbearer" (RFC 7628), to log in with at the provider; default "xoauth2"`),
	keyfile.Set("client_id", keyfile.Text, func(d *accountDraft) *string { return &d.a.ClientID },
		"OAuth2 client that the consent was given to; needed, unless service_account_key has it or oauth_flow is external"),
	keyfile.Secret(keyfile.Opt("client_secret", keyfile.SecretText, func(d *accountDraft) *keyfile.Given[string] { return &d.clientSecret },
		"secret of the client, or a reference to it (env:NAME, file:/path, credential:NAME or sealed:v2:..., as for every secret); needed for gmail, and for client_credentials without a certificate; an external endpoint gets it as bearer token")),
	keyfile.Secret(keyfile.Opt("refresh_token", keyfile.SecretText, func(d *accountDraft) *keyfile.Given[string] { return &d.refreshToken },
		"refresh token that came with the consent; needed for oauth_flow refresh_token")),
	keyfile.Secret(keyfile.Opt("client_certificate", keyfile.PEM, func(d *accountDraft) *keyfile.Given[string] { return &d.certificate },
		"certificate of the client in PEM form, instead of a client_secret; default none")),
	keyfile.Secret(keyfile.Opt("client_private_key", keyfile.PEM, func(d *accountDraft) *keyfile.Given[string] { return &d.privateKey },
		"private key in PEM form: that of client_certificate, or that of a service account without service_account_key; default none")),
	keyfile.Opt("private_key_id", keyfile.Text, func(d *accountDraft) *keyfile.Given[string] { return &d.keyID },
		"ID of a service account's private key; default: that of service_account_key"),
	keyfile.Secret(keyfile.Opt("service_account_key", serviceAccountKey, func(d *accountDraft) *keyfile.Given[account.ServiceAccount] { return &d.serviceAccount },
		`the JSON key file of a Google service account, as text or as in "file:/path"; default none`)),
	keyfile.Opt("subject", keyfile.Text, func(d *accountDraft) *keyfile.Given[string] { return &d.subject },
		"mailbox that a service account acts for; default: the user to log in as"),
	keyfile.Secret(keyfile.Opt("token_command", keyfile.List, func(d *accountDraft) *keyfile.Given[[]string] { return &d.command },
		"array: a program and its arguments, which prints an access token, or a JSON object with access_token and expires_in; run without a shell, for oauth_flow external; default none")),
	keyfile.Opt("tenant", keyfile.Text, func(d *accountDraft) *keyfile.Given[string] { return &d.tenant },
		"Microsoft tenant, a domain or a GUID, for the provider's URLs; needed for client_credentials at Microsoft; default: any"),
	keyfile.Opt("oauth_token_url", keyfile.Checked(accountkeys.CheckTokenURL), func(d *accountDraft) *keyfile.Given[string] { return &d.tokenURL },
		"https URL of the OAuth2 token endpoint; default: the provider's; for outlook, addresses of persons (hotmail.com, outlook.com, live.com, msn.com) have one of their own"),
	keyfile.Opt("scope", keyfile.Text, func(d *accountDraft) *keyfile.Given[string] { return &d.scope },
		"scope to send with a token request; default: the provider's"),
	keyfile.Opt("send_client_secret", keyfile.Boolean, func(d *accountDraft) *keyfile.Given[bool] { return &d.sendSecret },
		"sends the client_secret with a refresh; default: the provider's"),
	keyfile.Opt("client_secret_expires", accountkeys.SecretExpires, func(d *accountDraft) *keyfile.Given[time.Time] { return &d.secretExpires },
		`when the client_secret ends, as the provider's page of the client shows it: a date, or a date and time, as in RFC 3339; "xoauth2-proxy forecast" warns before it; default: the provider's`),
	keyfile.Opt("oauth_keep_alive", accountkeys.KeepAlive, func(d *accountDraft) *keyfile.Given[time.Duration] { return &d.keepAlive },
		"how long the refresh token may be unused before it is used to keep it from expiring, 0 for ever; default: the provider's"),
	keyfile.Secret(keyfile.Set("oauth_proxy", keyfile.CheckedSecret(accountkeys.CheckProxyURL), func(d *accountDraft) *account.Secret { return &d.a.TokenProxy },
		"HTTP proxy for the account's token requests, as oauth.proxy in config.json, which is the default; \"none\" for none")),
	keyfile.Set("oauth_ca_file", readable, func(d *accountDraft) *string { return &d.a.TokenCAFile },
		"PEM file of certificate authorities that are trusted for the account's token requests besides oauth.ca_file; default none"),
}

// serviceAccountKey reads the key file of a service account.
func serviceAccountKey(v *keyfile.Value) (sa account.ServiceAccount, ok bool) {
	s, ok := keyfile.SecretLines(v)
	if !ok || v.IsUnresolved(s) {
		return account.ServiceAccount{Email: s, PrivateKey: account.NewSecret(s)}, ok
	}
	sa, err := account.ParseServiceAccount([]byte(s))
	if err == nil && sa.TokenURL != "" {
		if _, err = accountkeys.CheckTokenURL(sa.TokenURL); err != nil {
			err = errors.New("its token_uri " + err.Error())
		}
	}
	if err != nil {
		v.Fail("%v", err)
	}
	return sa, err == nil
}

// readable reads a path of a file that can be opened.
func readable(v *keyfile.Value) (string, bool) {
	v.File.Passing = true
	return keyfile.Checked(checkReadable)(v)
}

// checkReadable accepts a path of a file that can be opened.
func checkReadable(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", errors.New("cannot be read: " + keyfile.WithoutPath(err).Error())
	}
	return filepath.Clean(path), f.Close()
}
