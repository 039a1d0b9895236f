// Package account holds the mail accounts that the proxy may submit for: names, provider,
// limits and credentials.
//
// An [Account] is immutable once it is part of a [Snapshot], and a snapshot
// never changes: a reload builds a new one and publishes it whole through
// [Store.Swap]. Readers therefore need no lock, and one login sees one
// consistent set of accounts. State that changes while mail flows (tokens,
// connections, counters) lives elsewhere, keyed by [Account.ID], so that it
// outlives a reload.
//
// Two fingerprints decide whether state may be kept across a reload:
// [Account.CredentialsFingerprint] for tokens and [Account.ConnectionFingerprint] for
// authenticated connections.
//
// The package also is the only home of secrets ([Secret]) and of the provider
// presets ([Gmail], [Outlook], [Default]).
package account
