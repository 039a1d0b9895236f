package config

import (
	"reflect"
	"testing"

	"xoauth2-proxy/upstream"
)

// TestLicensed compares the formula with Microsoft's table.
func TestLicensed(t *testing.T) {
	for licences, want := range map[int]int{
		1: 10_000, 2: 10_312, 10: 12_006, 25: 14_259, 100: 22_059, 1_000: 72_446, 10_000: 324_979, 100_000: 1_590_639,
	} {
		if got := licensed(licences); got != want {
			t.Errorf("%d licences: %d external recipients, want %d", licences, got, want)
		}
	}
}

func TestTenants(t *testing.T) {
	tests := []struct {
		name, config string
		want         map[string]upstream.Tenant
		report       string
	}{
		{"none", `{}`, nil, ""},
		{"empty", `{"tenants": {}}`, nil, ""},
		{"licences", `{"tenants": {"Contoso.example": {"licences": 100}}}`,
			map[string]upstream.Tenant{"contoso.example": {ExternalRecipients: 22059}}, "tenants.Contoso.example.licences = 100: in force"},
		{"a trial", `{"tenants": {"contoso.example": {"external_recipients_per_day": 5000, "domains": ["Contoso.COM"], "aliases": ["01234567-89AB-cdef-0123-456789abcdef"]}}}`,
			map[string]upstream.Tenant{"contoso.example": {ExternalRecipients: 5000, Domains: []string{"contoso.com"}, Aliases: []string{"01234567-89ab-cdef-0123-456789abcdef"}}}, ""},
		{"less than the licences", `{"tenants": {"contoso.example": {"licences": 1, "external_recipients_per_day": 4000}}}`,
			map[string]upstream.Tenant{"contoso.example": {ExternalRecipients: 4000}}, ""},
		{"more than the licences", `{"tenants": {"contoso.example": {"licences": 1, "external_recipients_per_day": 40000}}}`,
			map[string]upstream.Tenant{"contoso.example": {ExternalRecipients: 10000}},
			"external_recipients_per_day = 40000: clamped: 10000 is in force: Microsoft allows no more for the licences"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _, report := mustLoad(t, tt.config, "")
			if !reflect.DeepEqual(s.Upstream.Tenants, tt.want) {
				t.Errorf("tenants %+v, want %+v", s.Upstream.Tenants, tt.want)
			}
			checkReport(t, report, tt.report)
		})
	}
}

// TestCountRefused: what a provider refuses counts at Microsoft, unless a file says otherwise.
func TestCountRefused(t *testing.T) {
	for _, tt := range []struct {
		name, provider, config, account string
		want                            bool
	}{
		{"outlook", "outlook", `{}`, ``, true},
		{"a cloud of Microsoft", "outlook-usgov", `{}`, ``, true},
		{"gmail", "gmail", `{}`, ``, false},
		{"off for the provider", "outlook", `{"providers": {"outlook": {"rate_limiting": {"count_refused": false}}}}`, ``, false},
		{"on for the provider", "gmail", `{"providers": {"gmail": {"rate_limiting": {"count_refused": true}}}}`, ``, true},
		{"off for the account", "outlook", `{}`, `"rate_limiting": {"count_refused": false}`, false},
		{"on for the account", "outlook", `{"providers": {"outlook": {"rate_limiting": {"count_refused": false}}}}`, `"rate_limiting": {"count_refused": true}`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a, _ := oneAccount(t, tt.provider, tt.config, tt.account); a.Limits.CountRefused != tt.want {
				t.Errorf("counts what is refused: %v", a.Limits.CountRefused)
			}
		})
	}
}
