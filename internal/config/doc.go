// Package config reads config.json, checks it, and gives typed, checked [Settings].
// Load reads accounts.json too, by internal/accountfile.
//
// Settings embed the configurations of the packages that they are for: each setting
// is declared once, where it is used, with its unit and its default. The tables of
// keys here say how a file gives it (internal/keyfile has the mechanism):
//
//   - keys_server.go: listeners, server
//   - keys_upstream.go: upstream, oauth
//   - keys_oauth.go: secrets, and further keys of oauth
//   - keys_admin.go: admin, log, runtime, state_dir
//   - keys_accounting.go: accounting
//   - keys_global.go: the predecessor's sections global and powermta_relay
//   - keys_provider.go: providers.NAME
//   - keys_tenants.go: tenants.NAME
//
// The predecessor's form of the file is read too. Where one of its keys and a newer
// one set the same value, the newer one wins.
//
// # Limits
//
// The limits of a provider are enforced: the presets of internal/account have
// ceilings. A higher value in a file is clamped to the ceiling, and the report names
// the provider's limit as the reason.
//
// # What a restart is needed for
//
// [Settings.Differing] compares settings by the tables, and names what differs by
// the keys of the file.
package config
