// Package password checks what clients give as password at login, for sessions
// that live on event loops and may never block. It imports nothing else of this
// module.
//
// # Policies
//
// Each listener has a [Policy]: any password will do, one secret is shared by
// all accounts, or every account has its own. A [Secret] is kept as a slow hash
// (argon2id or bcrypt) or, where CRAM-MD5 is wanted, recoverably; [Parse] tells
// the forms apart and [Hash] makes new ones.
//
// # What runs where
//
// [Checker.Check] is called on an event loop. It decides at once when it can: a
// recoverable secret is compared, and a password that was found right before is
// known to the cache. Else it answers [Pending], and one of a few workers
// computes the slow hash and calls back. Sessions that wait for the same answer
// share one computation: an MTA that opens a hundred connections after a
// restart costs one. The number of waiting logins and the memory of running
// computations are bounded; what does not fit is answered [Busy], which is a
// temporary failure for the client (454 4.7.0), never a wait without end.
//
// # What an observer learns
//
// A login that names no account takes the same path as one with a wrong
// password, down to the slow hash: [Checker.CheckUnknown] verifies a decoy,
// made like most of the secrets in use ([Checker.Imitate]). With the policy
// [PolicyShared] the secret is to be checked first, under an empty account id,
// and the account looked up afterwards: known and unknown accounts then do not
// differ at all, and the hash is computed once for all accounts.
//
// The cache holds a keyed digest of account, stored secret and password under a
// random key of the process. Neither the password nor anything that could be
// searched for it without that key is kept. A stored secret that changes on
// reload is another entry, so that nothing has to be invalidated.
//
// Wrong passwords are not cached. A guesser tries each one once, so it would
// gain nothing and push out entries of value; and the one client that repeats
// itself, a misconfigured MTA, is held back by [Failures], which counts failed
// logins by source address, delays the answers to them and has a source
// refused for a while in the end.
//
// # Locks
//
// Checker.mu guards the computations under way, cache.mu the cache, and each
// bucket of Failures has its own. None is held during a hash or a callback, and
// they do not nest.
package password
