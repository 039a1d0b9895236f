package config

import (
	"testing"

	"xoauth2-proxy/internal/account"
)

func TestClientAuth(t *testing.T) {
	for _, tt := range []struct {
		name, provider, config string
		want                   account.ClientAuth
		report                 string
	}{
		{"nothing said", "own", `{"providers": {"own": {` + own + `}}}`, "", ""},
		{"of the provider", "own", `{"providers": {"own": {` + own + `"client_auth": "client_secret_basic"}}}`, account.ClientSecretBasic,
			`providers.own.client_auth = "client_secret_basic": in force`},
		{"of the base of all others", "own", `{"providers": {"own": {` + own + `}, "default": {"client_auth": "client_secret_post"}}}`, account.ClientSecretPost, ""},
		{"of another provider", "gmail", `{"providers": {"outlook": {"client_auth": "client_secret_basic"}}}`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, report := oneAccount(t, tt.provider, tt.config, "")
			if a.ClientAuth != tt.want {
				t.Errorf("%q, want %q", a.ClientAuth, tt.want)
			}
			checkReport(t, report, tt.report)
		})
	}
}
