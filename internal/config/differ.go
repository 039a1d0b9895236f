package config

import "reflect"

// Differing names the settings that differ between s and other, by their keys in the
// file. Settings that do not come from a single key have names of their own.
func (s *Settings) Differing(other *Settings) (keys []string) {
	add := func(key string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			keys = append(keys, key)
		}
	}
	add("config_file", s.ConfigFile, other.ConfigFile)
	add("accounts_file", s.AccountsFile, other.AccountsFile)
	add("listeners", s.Server.Listeners, other.Server.Listeners)
	add("accounting.files", s.Accounting.Files, other.Accounting.Files)
	a, b := draftOf(*s), draftOf(*other)
	last := make(map[any]int) // of several keys for one field, the last one counts
	for i, k := range configTable.Keys {
		if k.Field != nil {
			last[k.Field(a)] = i
		}
	}
	for i, k := range configTable.Keys {
		if k.Field != nil && last[k.Field(a)] == i {
			add(k.Path, k.Field(a), k.Field(b))
		}
	}
	add("secrets", s.Secrets, other.Secrets)
	add("share.key", s.Share.Key, other.Share.Key)
	add("breakers", s.Upstream.Breakers, other.Upstream.Breakers)
	add("providers", s.Providers, other.Providers)
	add("tenants", s.Upstream.Tenants, other.Upstream.Tenants)
	add("dry_run", s.Upstream.DryRun, other.Upstream.DryRun)
	return keys
}
