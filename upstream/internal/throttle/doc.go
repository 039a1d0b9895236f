// Package throttle has the verdicts on a provider's refusals, and slows or suspends
// accounts and endpoints accordingly.
//
// # Verdicts
//
// Beyond the message, a refusal may concern its connection and its account. One table
// (verdictRows) decides that, by provider, [Phase] and code. [Judge] is the only way
// to the table, and no other code interprets the code of a refusal.
//
// # Throttle, back-off, breakers
//
//	State     of an account: fewer connections, or a suspension, because of the
//	          provider's refusals
//	Backoff   of an account: a pause after failures to connect or log in
//	Breakers  of an endpoint, for all accounts: no attempts after failures to reach it
//
// One goroutine at a time may use a State or a Backoff. Breakers are safe for
// concurrent use.
//
// # Locks
//
// A breaker has a lock of its own. Its changes of state are counted and logged under
// it.
package throttle
