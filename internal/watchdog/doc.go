// Package watchdog notices parts of the process that do not come back: an event
// loop that is caught in a callback, a shard that never ends an event, a disk that
// never answers.
//
// A [Part] is one such thing, with a name of its own ("shard 3"). It says when it
// begins a piece of work and when it has ended one. A part without work is idle,
// and never stuck, however long that lasts. A part that has work and ends none for
// Config.Patience, and the time beyond that it is allowed, is stuck.
//
// Begin and End are one atomic operation each and do not allocate. What is of
// interest about a stuck part costs only then: the checker writes one line with the
// stack of its goroutine, counts it, and has [Watchdog.Stuck] name it until it comes
// back. Nothing here waits for a part.
//
// # Who runs where
//
// One goroutine, the checker, looks at all parts. It counts the time that it has
// seen itself: a process that was suspended, or got no CPU time, finds no part stuck
// for that.
//
// # Locks
//
// Watchdog.mu guards the list of parts and what the checker notes of them. It is a
// leaf, and not held while a stack is taken, a line is written or Task.Stuck runs.
package watchdog
