package config

import (
	"slices"
	"testing"

	"xoauth2-proxy/internal/seal"
)

// TestDiffering compares the defaults with a file that has another value for every
// setting: each is named once, by the key that counts.
func TestDiffering(t *testing.T) {
	t.Setenv("SHARE_KEY", seal.GenerateKey())
	changed, err := LoadSettings("../app/testdata/effective_changed.json", "accounts.json")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"config_file", "accounts_file", "listeners", "breakers", "providers", "tenants", "accounting.files", "share.key"}
	for _, k := range slices.Concat(serverKeys, upstreamKeys, oauthKeys, adminKeys, accountingKeys, shareKeys) {
		if k.Field != nil && k.Path != "admin.token" { // admin.token_file sets the same
			want = append(want, k.Path)
		}
	}
	want = append(want, "global.smtp.use_source_ip_binding", "global.smtp.use_ipv6")
	slices.Sort(want)
	defaults := newDefaults()
	got := defaults.Differing(changed)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the keys are\n%q\nwant\n%q", got, want)
	}
	if got := changed.Differing(changed); got != nil {
		t.Errorf("nothing differs: %q", got)
	}
}
