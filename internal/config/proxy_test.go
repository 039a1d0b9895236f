package config

import (
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
)

// TestProxyOfTheEnvironment: it is not used, and not in silence, unless oauth.proxy says
// what is.
func TestProxyOfTheEnvironment(t *testing.T) {
	all := []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}
	for _, tt := range []struct {
		set, config string
		said        bool
	}{
		{"", `{}`, false},
		{"HTTPS_PROXY", `{}`, true},
		{"https_proxy", `{}`, true},
		{"ALL_PROXY", `{}`, true},
		{"HTTPS_PROXY", `{"oauth": {"proxy": "http://proxy.example:3128"}}`, false},
		{"HTTPS_PROXY", `{"oauth": {"proxy": "None"}}`, false},
	} {
		for _, name := range all {
			t.Setenv(name, "")
		}
		if tt.set != "" {
			t.Setenv(tt.set, "http://user:canary@proxy.example:3128")
		}
		_, report := oneAccount(t, "gmail", tt.config, `"scope": "s"`)
		var text strings.Builder
		if _, err := report.WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(text.String(), "is set in the environment and is not used"); said != tt.said || strings.Contains(text.String(), "canary") {
			t.Errorf("%s, %s: said %t:\n%s", tt.set, tt.config, said, text.String())
		}
	}
}

// TestNoProxy takes an account out of oauth.proxy.
func TestNoProxy(t *testing.T) {
	for _, value := range []string{"none", "NONE"} {
		a, _ := oneAccount(t, "gmail", `{"oauth": {"proxy": "http://proxy.example:3128"}}`, `"oauth_proxy": "`+value+`"`)
		if a.TokenProxy.Reveal() != account.NoProxy {
			t.Errorf("%s: %q", value, a.TokenProxy.Reveal())
		}
	}
}
