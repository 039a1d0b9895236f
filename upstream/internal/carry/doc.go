// Package carry relays a transaction over a connection. It knows nothing of queues,
// limits on connections or throttles: the [Pool] decides which connection carries which
// transaction, gives it by Conn.Give, and hears what came of it by an [Event].
//
// A [Transaction] moves: from the session to the relay by Submit, back by
// Completer.Complete. A transaction that is open at the provider changes hands in between
// (hold.go). Transaction.claim decides who answers it (claim.go). attempt.mayRetry is the
// only rule by which a transaction is sent again.
package carry
