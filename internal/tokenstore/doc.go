// Package tokenstore keeps OAuth2 tokens in a file across restarts: for each
// account the refresh token that its provider rotated to last, and the newest
// access token.
//
// The file is a database of go.etcd.io/bbolt, for one process at a time. A record is on
// disk before Save returns. A process or a machine that dies at any moment leaves the state
// before or after a Save, never another. Saves at the same time share one write to the
// disk.
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
// With a keyring everything is sealed. When the file is opened, records in clear or under
// an older key are sealed anew; [Store.Rekey] does so while the store is open. A file that
// is damaged, or sealed with a missing key, is neither opened nor changed.
//
// # A file that breaks while it is in use
//
// Package boltfile survives faults of bbolt. After one, every operation returns an error that
// is boltfile.ErrLost, until the store is opened again; [Store.Failing] tells. Accounts whose
// chain was read before go on in memory. The others get no token by a refresh token: the one
// that is configured may be an old one.
//
// # What is removed
//
// When a chain is saved, the other chains of its account are removed: the operator put in
// new credentials, and they work. The chain of an account that is gone is kept for
// [OrphanAge], since the account may come back to the file. It is removed at once if it has
// only an access token that has expired: mailboxes of catch-all accounts leave such chains.
package tokenstore
