package config

import (
	"reflect"
	"testing"

	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/keyfile/keytest"
)

const samples = "../../configs/"

func TestSamples(t *testing.T) {
	for _, tt := range []struct {
		config, accounts string
		unused           bool // keys without effect are shown too
	}{
		{"config.json", "accounts.json", false},
		{"config.complete.json", "accounts.complete.json", true},
	} {
		t.Run(tt.config, func(t *testing.T) {
			_, snapshot, report, err := Load(samples+tt.config, samples+tt.accounts, nil)
			if err != nil {
				t.Fatal(err)
			}
			if snapshot.Len() < 2 {
				t.Errorf("%d accounts", snapshot.Len())
			}
			for _, e := range report.Entries() {
				if e.Status == keyfile.Unknown || e.Status != keyfile.InForce && !tt.unused {
					t.Errorf("%v", e)
				}
			}
		})
	}
}

// TestCompleteConfigShowsDefaults checks that a value in the complete sample is
// the default, but for further listeners, and for providers and tenants.
func TestCompleteConfigShowsDefaults(t *testing.T) {
	s, _, _, err := Load(samples+"config.complete.json", samples+"accounts.complete.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := newDefaults()
	s.Server.Listeners, s.Upstream.Breakers, s.Upstream.Tenants = s.Server.Listeners[:1], nil, nil
	for _, part := range []struct{ got, want any }{
		{s.Server, want.Server}, {s.Upstream, want.Upstream}, {s.OAuth, want.OAuth},
		{s.Admin, want.Admin}, {s.Log, want.Log}, {s.Runtime, want.Runtime}, {s.Accounting, want.Accounting},
	} {
		if !reflect.DeepEqual(part.got, part.want) {
			t.Errorf("got  %+v\nwant %+v", part.got, part.want)
		}
	}
}

// TestCompleteConfigExplainsEveryKey holds the complete sample against the
// tables: every key is there, and its documentation in a comment before it.
func TestCompleteConfigExplainsEveryKey(t *testing.T) {
	config := keytest.Read(t, samples+"config.complete.json")
	keytest.CheckExplained(t, config, configTable)
	keytest.CheckExplained(t, config.At(t, "listeners"), listenerTable)
	keytest.CheckExplained(t, config.At(t, "providers.relay"), providerTable)
	keytest.CheckExplained(t, config.At(t, "accounting.files"), accountingFileTable)
	keytest.CheckExplained(t, config.At(t, "tenants.contoso.example"), tenantTable)
}

// TestProvidersHaveNoSecrets: what is in a section providers.NAME is for every
// account of it.
func TestProvidersHaveNoSecrets(t *testing.T) {
	for _, k := range providerTable.Keys {
		if k.Secret {
			t.Errorf("%s is a secret: which requests may have it sent elsewhere?", k.Path)
		}
	}
}
