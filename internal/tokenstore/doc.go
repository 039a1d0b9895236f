// Package tokenstore keeps OAuth2 tokens in a file across restarts: for each
// account the refresh token that its provider rotated to last, and the newest
// access token.
//
// The file is a database of go.etcd.io/bbolt, for one process at a time. What
// was written is on disk before Save returns, and a process or a machine that
// dies at any moment leaves the state before or after a Save, never another.
// Saves at the same time share one write to the disk.
//
// # Layout
//
// The bucket "meta" has the version of the layout and, if the file is sealed, a
// known text under the key in use. The bucket "chains" has one JSON object for
// each [oauth.Chain], in clear or sealed (package seal) with the chain as
// context, so that no record can be put in the place of another. The bucket
// "orphans" has, for chains that no account has any more, since when.
//
// # Keys
//
// With a keyring everything is sealed, and what was in clear or under an older
// key is sealed anew when the file is opened. A file that is damaged, or sealed
// with a key that is not there, is not opened and not changed.
//
// # What is forgotten
//
// When a chain is saved, the other chains of its account are forgotten: the
// operator put in new credentials, and they work. The chain of an account that
// is gone is kept for [OrphanAge], since it may only be gone from the file for a
// while; but not if all it has is an access token that has expired, as the
// mailboxes of catch-all accounts leave behind.
package tokenstore
