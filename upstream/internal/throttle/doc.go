// Package throttle knows what a provider's refusal means, and holds accounts and
// endpoints back as it asks for.
//
// # Verdicts
//
// Beyond the message, a refusal may concern its connection and its account. One table
// (verdictRows) says so, by provider, [Phase] and code; [Judge] is the only way to
// it, and no other code looks at what a refusal means.
//
// # What holds back
//
//	State     one account: fewer connections, or a suspension, by the provider's
//	          refusals or an operator's order
//	Backoff   one account: a pause after failures to connect or log in
//	Breakers  one endpoint: no attempt after failures to reach it, for all accounts
//
// A State or a Backoff belongs to the one goroutine that handles its account.
//
// # Locks
//
// A breaker has a lock of its own, under which its change is counted and logged.
package throttle
