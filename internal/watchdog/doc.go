// Package watchdog notices stuck parts of the process: an event loop that is caught in a
// callback, a shard that never ends an event, a disk that never answers.
//
// A [Part] has a name of its own ("shard 3"). It says when it begins a piece of work and
// when it has ended one. A part without work is idle, and never stuck, however long that
// lasts. A part is stuck if it has work and ends none for Config.Patience and the time that
// its Task allows beyond that.
//
// Begin and End are one atomic operation each and do not allocate. Only a stuck part costs
// more: the checker writes one line with the stack of its goroutine and counts it, and
// [Watchdog.Stuck] names it until it comes back. The package waits for no part.
//
// # Goroutines
//
// One goroutine, the checker, looks at all parts. It counts only the time during which it
// ran itself: a process that was suspended, or got no CPU time, finds no part stuck for
// that.
//
// # Locks
//
// Watchdog.mu guards the list of parts and what the checker notes of them. It is a
// leaf, and not held while a stack is taken, a line is written or Task.Stuck runs.
package watchdog
