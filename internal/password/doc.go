// Package password checks the passwords of clients at login, for sessions that live on
// event loops and may never block. It imports no other package of this module.
//
// # Policies
//
// Each listener has a [Policy]: any password will do, one secret is shared by
// all accounts, or every account has its own. A [Secret] is kept as a slow hash
// (argon2id or bcrypt) or, where CRAM-MD5 is wanted, recoverably; [Parse] tells
// the forms apart and [Hash] makes new ones.
//
// # Where the work runs
//
// [Checker.Check] is called on an event loop. It decides at once when it can: a
// recoverable secret is compared, and a password that was found right before is
// known to the cache. Else it answers [Pending], and one of a few workers
// computes the slow hash and calls back. Sessions that wait for the same answer
// share one computation: an MTA that opens a hundred connections after a
// restart costs one. The number of waiting logins and the memory of running
// computations are bounded; a login beyond the bounds is answered [Busy], which is a
// temporary failure for the client (454 4.7.0), never a wait without end.
//
// # Timing
//
// A login that names no account takes the same path as one with a wrong
// password, down to the slow hash: [Checker.Check] verifies a decoy,
// made like most of the secrets in use ([Checker.Imitate]). With the policy
// [PolicyShared] the secret is to be checked first, under an empty account id,
// and the account looked up afterwards: known and unknown accounts then do not
// differ at all, and the hash is computed once for all accounts.
//
// The cache holds a keyed digest of account, stored secret and password under a random key
// of the process. It keeps neither the password nor anything that helps to guess it
// without that key. A stored secret that changes on reload is another entry, so that
// nothing has to be invalidated.
//
// Wrong passwords are not cached. A guesser tries each one once: caching would gain nothing
// and push out entries of value. A misconfigured MTA repeats its wrong password, which [Guard]
// slows down.
//
// # Guessing
//
// [Guard] stands before the Checker. It counts failed logins by source address, by account,
// and by both, delays the answers to them, and in the end checks nothing for a while
// ([Limited]: 454 4.7.0). A check under way counts as a failure, so that guesses sent at one
// time are no more than guesses one after the other: logins above the limit wait for it.
//
// # Locks
//
// Guard.mu guards the checks under way and the logins that wait for them, Checker.mu the
// queue of slow hashes, cache.mu the cache, and each bucket of failures has its own. None is
// held during a hash or a callback. Guard.mu may be held when a bucket's is taken; no others
// nest.
package password
