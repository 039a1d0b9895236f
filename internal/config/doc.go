// Package config reads the two files of the proxy, config.json (settings) and
// accounts.json (accounts), checks them and gives typed, checked values:
// [Settings] and an [account.Snapshot].
//
// Both files are JSON with comments and trailing commas, and both are read in
// the form that the Python predecessor of this proxy wrote: keys that begin
// with "_" are notes, unknown keys are warned about and never fatal, and keys
// that meant nothing are named together with the reason why.
//
// # How a file is read
//
// A file is parsed to a syntax tree ([hujson.Value]), which keeps the position
// of every value, and walked with tables of known keys ([key]). A key is
// declared once, in its table: path, kind, range, what it means and what it
// sets, or why it is ignored. The tables are:
//
//   - keys_server.go: listeners, server, admin, log, runtime
//   - keys_upstream.go: upstream, oauth
//   - keys_oauth.go: secrets, and what oauth keeps and goes through
//   - keys_global.go: the predecessor's global and powermta_relay sections
//   - keys_provider.go: providers.NAME
//   - keys_limits.go: what a provider and an account have in common
//   - keys_account.go: accounts.json
//   - keys_flow.go: accounts.json, how an account gets its tokens
//
// Where several keys set one value (the predecessor's and a newer one), the later
// one in the table wins, whatever the order in the file.
//
// All mistakes are found in one go and come back as [*Problem] values, joined,
// each as "file:line: key.path: message". Everything else there is to say
// about a file (in force, ignored, clamped, unknown) is in the [Report], which
// is printed at start.
//
// # Reading again
//
// A program that reads its accounts again has a [Memory]: what did not change in
// the file is not parsed and not read a second time, and gives the same
// [account.Account]. An account depends on its text and on the [basis], and on
// nothing else, unless a reader says so (file.passing).
//
// # Limits
//
// What a provider allows is enforced: the presets of internal/account have
// ceilings, and a higher value in a file is clamped to the ceiling, with the
// provider's limit as the reason in the report.
//
// # Secrets
//
// A secret may be a reference or sealed (internal/seal); it is resolved while
// the file is read, with the key that the section secrets names.
//
// # What this package does not know
//
// It imports none of the packages that it configures. They declare what they
// need, Settings declares what the files can say, and the command maps one to
// the other; so neither side waits for, or is shaped by, the other.
package config
