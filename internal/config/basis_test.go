package config

import "xoauth2-proxy/internal/account"

// testBasis has the providers that are there without any configuration.
func testBasis() *Basis {
	b := &Basis{Path: "accounts.json", Providers: make(map[string]*account.Provider), BindSourceIP: true}
	for _, p := range append(account.Clouds(), account.Gmail(), account.Outlook(), account.Default()) {
		b.Providers[p.Name] = &p
	}
	return b
}
