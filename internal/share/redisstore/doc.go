// Package redisstore keeps what package share leases in a server that speaks the protocol of
// Redis 7.0, Valkey included. It decides as package ledger does, in scripts that the server
// runs. docs/internals/share.md has the keys, what a user of the server must be allowed, and
// what a restart of it leads to.
//
// Errors are those of share, and texts that say why no answer came: "the store refuses: ...",
// "no answer of the store: ...", "cannot reach the store: ...". None has a secret in it.
package redisstore
