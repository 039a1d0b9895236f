// Package upstream relays messages to the providers: over pooled TLS
// connections that are authenticated with AUTH XOAUTH2, one pool per account.
//
// # Shards
//
// A [Relay] is a number of shards. Endpoint and identity of an account hash to one shard, which
// alone owns the account's connections, its counters, its queue of waiting
// transactions, its meter, its back-off and its throttle, so none of these has
// a lock. A shard is an actor: events are posted to it, and the goroutine that posts
// runs it there and then, unless another one does (shard.Enqueue, Drive). Handling an
// event decides; it never blocks and does no I/O.
//
// The timer of a shard looks at an account when something of it comes to its end: a
// connection that idles, a message that waits, a pause, a limit. Each account that a
// shard knows is in one heap by its next due time, which is ten minutes away at the
// most and, when the timer has just looked, never at hand: what was due has been
// done. So neither a wrong due time nor a panic can keep a shard busy, or stop its
// timer, or have it forget an account.
//
// # Connections
//
// A connection of an account is in one of these states, and in each of them it
// counts against account.Limits.MaxConnections:
//
//	dialing  being opened, up to the provider's 235 to AUTH (dialing)
//	busy     relays a transaction, is held open for one, or is made fit for the next one
//	parked   idle, newest first
//	closing  QUIT was or is being sent
//
// A goroutine opens a connection, with blocking I/O. Then an event loop has it for
// life (carry.Conn, package smtpclient). The shard gives it an order on that loop, to relay a
// transaction or to quit, by Later if the shard is being handled there and else by Post,
// and hears what came of it by an event. So a message needs no goroutine of its own.
// A loop sees at once when a parked connection ends, and says so by carry.Broken.
//
// Logins take turns (loginLine): a shard has few of them under way at one
// endpoint, and an account that waits for its turn takes a connection that comes
// free in the meantime.
//
// Package login opens a connection.
//
// # Transactions
//
// A transaction moves: from the session to the relay by TrySubmit, and back by
// [Completer.Complete]. One with several recipients is opened at the provider without
// content, at the second recipient, and then changes hands: Completer.RecipientsReplied
// gives it to the session, Continue back to the relay. If a reload gives its account another
// mailbox while it waits, it goes to the shard and the queue of that (shard.follow). While the session has it, its
// connection is held for Config.HoldTimeout and not for longer, whatever the client
// takes its time for; after that the envelope is repeated over any connection (package carry).
//
// # Limits
//
// Messages in a minute, an hour and a day, recipients in a day and logins in a
// minute are counted in sliding windows (package limit), by one meter for each mailbox:
// for the accounts that log in as one identity at one endpoint, which are in one shard and
// share Limits.MaxConnections too (mailbox.go). An event counts for the whole span and for at most a
// 60th of it more (an hour more for the day), and from when the provider
// answered; until then its place is taken. So no span of the provider's own
// count has more than the limit, unlike with a token bucket. Only what the
// provider accepted, or may have, counts. A message that gets its place before
// the acquire timeout waits for it; another one is refused at once, with the
// limit and the seconds until there is a place: 451 4.7.1, or 452 4.7.1 for the
// limits of a day. Recipients of an opened transaction take their places one by
// one. The hours of the day go to Config.Quota every few seconds, and at Close.
//
// # Several processes
//
// With Config.Share other processes use the same mailboxes within one set of limits (packages
// internal/share and lease). The counts here stay as they are; beside them, a connection needs
// a slot and a message its permits, which the mailbox has leased. What waits asks for more
// (mailbox.report), after each event that changes something; onLease obeys what comes: parked
// connections above the slots are closed, busy ones after their message. Several accounts of
// a mailbox lease the largest of their limits, and each keeps its own by the counts of
// this process.
//
// # What refusals lead to
//
// Package throttle says what a provider's refusal leads to beyond the message, and when an
// endpoint is left alone.
//
// # Fairness
//
// Each account waits in a queue of its own with a cap of its own. With
// Config.GlobalConcurrency the slots are handed on: to the shard that waits
// longest, and there to the account that waits longest, one at a time (limit.Gate).
//
// # Truth
//
// The answer to a message is the provider's final reply, or the reply by which
// it refused MAIL or the only RCPT. Once the end of the content may have left this
// process, a message is sent again only if the provider's own replies prove that it has
// not taken it, and another connection helps: this one had carried enough, or the
// provider does not know BDAT (package carry, mayRetry).
//
// # Locks
//
// shard.mu guards a shard's inbox, the lock of limit.Gate the global concurrency slots,
// and latest.Run.mu the run of Prewarm. They are leaves: nothing is called while one is held.
// A breaker has a lock of its own, and so has a carry.endpoint whose limit of messages
// changes: the change is counted and logged under it.
package upstream
