// Package control holds what operators have ordered for single accounts while
// the proxy runs: to pause one, or to drain it. Orders outlive a reload of the
// accounts and, with [Orders.Open], a restart: an account that an operator has
// stopped stays stopped until an operator lets it go on, or takes it out.
//
// An account is in one of these states:
//
//	active    the normal one
//	paused    no new login and no new transaction; connections stay
//	draining  like paused, and its connections to the provider are closed
//
// [Orders.Held] is what the sessions ask, at each login and each transaction;
// it takes no lock. The package imports nothing of the proxy.
package control
