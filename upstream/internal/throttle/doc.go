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
// # What refusals lead to
//
// An account is
//
//	throttled  the connections are halved, and grow by one in each recovery time;
//	    at one connection there are pauses
//	logins paused  no login for a while, live connections stay
//	quota      a pause of one hour, two, ... 24
//	held       until an operator acts, or a probe goes well: after 1, 4, 12, and
//	    then every 24 hours one message of a client is passed on (probes)
//
// While the account is stopped so, its messages get 451 or 452 with the reason,
// at once, and the client keeps them. A hold is in memory: after a restart the
// next refusal brings it back.
//
// # Circuit breakers
//
// An account has its back-off: the first failure to connect or log in
// opens it, for a time that doubles, and then one attempt at a time is made.
// The breaker of an endpoint is shared by all shards and counts failures
// in a row before the provider has said a word: while it is open all accounts
// that need a connection there are refused at once, and one connection at a
// time tries the endpoint. A provider that replies is alive, so accounts whose
// login is refused do not open it.
//
// # Locks
//
// A breaker has a lock of its own. Its changes of state are counted and logged under
// it.
package throttle
