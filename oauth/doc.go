// Package oauth has an OAuth2 access token ready for every account that sends
// mail (RFC 6749), in the form that AUTH XOAUTH2 and AUTH OAUTHBEARER want.
//
// A [Manager] holds one [Source] for each account in use. A source publishes
// its token through an atomic pointer: [Source.Cached] is what the hot path
// calls, and it takes no lock while the token is fresh. A source without a
// token fetches one, once for all who ask ([Source.Get], [Source.Request]),
// and an account that was used lately has its token replaced in the background
// before it expires.
//
// # Flows
//
// How a token is got is the account's choice: by a refresh token that a person
// consented to, by the client for itself with a secret or a certificate, by a
// Google service account for one mailbox, or from a command or an HTTP endpoint
// of the operator's. golang.org/x/oauth2 speaks the protocol, over connections of
// fasthttp. The mailboxes of a catch-all account with client credentials share
// one token; of those, sources that are out of use are forgotten, and how many
// there may be is bounded ([Config.MaxMailboxes]). [Authorizer] gets the consent that a first refresh token needs.
//
// # What lasts
//
// What a refresh brings goes to [Config.Store] before anybody uses it: a refresh
// token that its provider rotated, so that no crash loses it, and the access
// token, so that a restart need not ask for ten thousand of them. Accounts
// that nobody uses have their refresh tokens used now and then, before they die
// of disuse.
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
//	held      not a state of its own: the circuit of the account's client is open,
//	          for a reason that another account found; see clients.go
//	retired   the account was removed or its credentials changed; a token that is
//	          there serves messages under way of a removed one for a while
//
// # Who runs where
//
// Refreshes are queued and run by at most Config.MaxParallel workers, which
// start on demand and end when the queue is empty; those that somebody waits
// for go first. A refresh has its own context: a caller that gives up does not
// end it. [Manager.Close] waits for the workers.
//
// # Locks
//
// They are taken in the order Manager.retaining, Manager.setMu, Source.mu, then
// Manager.mu or clients.mu. None is held during I/O or while a caller's function
// runs, and none but the first, which only Retain takes, while all sources are
// looked through.
//
// # Secrets
//
// No token, refresh token, client secret, private key, assertion or proxy password
// is in any error, log line or metric.
// What a token endpoint says about a failure is shown with everything removed
// that resembles a secret of the account.
package oauth
