package config

import (
	"testing"

	"xoauth2-proxy/internal/account"
)

func TestInitialResponse(t *testing.T) {
	for _, tt := range []struct {
		name, provider, config string
		want                   account.InitialResponse
		report                 string
	}{
		{"nothing said", "own", `{"providers": {"own": {` + own + `}}}`, "", ""},
		{"of the provider", "own", `{"providers": {"own": {` + own + `"initial_response": "never"}}}`, account.InitialResponseNever,
			`providers.own.initial_response = "never": in force`},
		{"of a preset", "gmail", `{"providers": {"gmail": {"initial_response": "ALWAYS"}}}`, account.InitialResponseAlways, ""},
		{"of the base of all others", "own", `{"providers": {"own": {` + own + `}, "default": {"initial_response": "auto"}}}`, account.InitialResponseAuto, ""},
		{"of another provider", "gmail", `{"providers": {"outlook": {"initial_response": "never"}}}`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, report := oneAccount(t, tt.provider, tt.config, "")
			if a.InitialResponse != tt.want {
				t.Errorf("%q, want %q", a.InitialResponse, tt.want)
			}
			checkReport(t, report, tt.report)
		})
	}
}
