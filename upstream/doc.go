// Package upstream relays messages to the providers: over pooled TLS
// connections that are authenticated with AUTH XOAUTH2, one pool per account.
//
// # Shards
//
// A [Relay] is a number of shards. An account's id hashes to one shard, which
// alone owns the account's connections, its counters, its queue of waiting
// transactions and its back-off state, so none of these has a lock. A shard is
// an actor: others post events to it, and whoever posts while nobody runs the
// shard runs it there and then (see shard.post). Handling an event decides; it
// never blocks and does no I/O.
//
// # Connections
//
// A connection of an account is in one of these states, and in each of them it
// counts against account.Limits.MaxConnections:
//
//	dialing  being opened, up to the provider's 235 to AUTH
//	busy     carries a transaction, held by a worker
//	parked   idle, without a goroutine, newest first
//	closing  QUIT was or is being sent
//
// Workers are goroutines that hold a connection while they do something with
// it, using plain blocking I/O with a deadline for every flight. They wait for
// their next task on a channel and end after some idle seconds.
//
// # Transactions
//
// A transaction moves: from the session to the relay by TrySubmit, and back by
// [Completer.Complete]. A transaction with several recipients is opened at the
// second one without content and then changes hands several times; whose turn
// it is is kept in one atomic (see interactive.go).
//
// # Truth
//
// The answer to a message is the provider's final reply, or the reply by which
// it refused MAIL or the only RCPT. Nothing is retried once the end of the
// content may have left this process (see attempt.mayRetry).
//
// # Locks
//
// shard.mu guards a shard's mailbox and gate.mu the global concurrency slots;
// both are leaves: nothing is called while one is held.
package upstream
