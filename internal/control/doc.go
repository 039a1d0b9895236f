// Package control holds the operators' orders for single accounts: to pause one, or to
// drain it. Orders outlive a reload of the accounts and, with [Orders.Open], a restart: an
// account that an operator has paused stays paused until an operator resumes or removes
// it.
//
// An account is in one of these states:
//
//	active    the normal one
//	paused    no new login and no new transaction; connections stay
//	draining  like paused, and its connections to the provider are closed
//
// Sessions call [Orders.Held] at each login and each transaction; it takes no lock.
package control
