// Package oauth has an OAuth2 access token ready for every account that sends
// mail (RFC 6749), in the form that AUTH XOAUTH2 and AUTH OAUTHBEARER want.
//
// A [Manager] holds one [Source] for each account in use. A source publishes
// its token through an atomic pointer: [Source.Cached] is what the hot path
// calls, and it takes no lock while the token is fresh. A source without a
// token fetches one, once for all callers ([Source.Get], [Source.Request]). The
// token of an account that was used lately is replaced in the background before
// it expires.
//
// # Rooms
//
//	oauth                 sources, refreshes, circuits, keep-alive
//	oauth/consent         browser and device consent
//	oauth/internal/circuit  circuit breakers of clients
//	oauth/internal/flow   the token flows, their errors and error classes
//	oauth/internal/httpc  requests over fasthttp
//	oauth/internal/pending  records that could not be written yet
//	oauth/internal/refusal  what a refusal at login means
//	oauth/internal/workers  who refreshes, and the queue before them
//
// The mailboxes of a catch-all account with client credentials share one token.
// The source of a mailbox of a catch-all account is forgotten after it is out of
// use, and there are at most [Config.MaxMailboxes] of them for each account.
//
// # What lasts
//
// What a refresh brings goes to [Config.Store] before any caller gets it: a
// refresh token that its provider rotated, so that no crash loses it, and the
// access token, so that a restart need not ask for ten thousand of them. Refresh
// tokens of idle accounts are refreshed before they expire from inactivity
// (keep-alive). What cannot be saved is kept in memory for all sources of its chain,
// and tried again every few seconds and at the end.
//
// # Several processes
//
// With [Config.Share] processes on one or on many hosts have the same accounts. A refresh of
// a chain first claims it; who does not get the claim waits for what the other one publishes,
// and uses that access token and that refresh token. So all processes use one access token,
// and no refresh token is used twice. What a refresh brought is saved here, and then
// published; what could not be published is published later, also by the next process that
// has the same store. Without an answer of the share no refresh token is used: the access
// token at hand serves until it ends, and then callers get an error of ErrStore.
//
// The fence of a claim guards the share, not the token endpoint, which knows of no fence. A
// process that stands still while it asks may rotate a refresh token after its claim has
// ended. Then the record that was committed is used by all; the other refresh token is kept
// by that process (Record.Spare), and is tried when the committed one is refused.
//
// Flows without a refresh token claim nothing: each process gets access tokens of its own,
// and none of them ends another one.
//
// # States of a source
//
//	empty     no token: the next caller starts a refresh
//	fetching  a refresh is queued or running: callers join it
//	fresh     a token that is far from its expiry
//	due       a token near its expiry: still handed out, replaced in the background
//	waiting   the last refresh failed for a passing reason: callers get that
//	          error at once until the back-off ends; a valid token stays in use
//	refused   the last refresh failed for good: callers get that error until
//	          the account's credentials change or the accounts are read again
//	retired   the account was removed or its credentials changed; the token of a
//	          removed account serves messages under way for a while
//
// In any of them, the circuit of the account's OAuth2 client may be open for a
// reason that another account found: see oauth/internal/circuit.
//
// # Ownership
//
// A [Token] and an [Error] are immutable and shared. Refreshes are queued and run
// by at most Config.MaxParallel workers, which start on demand and end when the
// queue is empty; refreshes that a caller waits for go first. A refresh has its
// own context: a caller that gives up does not end it. [Manager.Close] waits for
// the workers.
//
// # Locks
//
// They are taken in the order Manager.retaining, Manager.setMu, Source.mu, then
// the lock of the workers or the lock of the circuits. None is held during I/O or while a caller's function
// runs. None but the first, which only Retain takes, is held while all sources are
// looked through.
//
// # Secrets
//
// No token, refresh token, client secret, private key, assertion or proxy password
// is in any error, log line or metric.
package oauth
