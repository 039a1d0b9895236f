// Package handover gives the files of a process, here the old one, to another process of the
// same host, the new one, while both work: the token store, the counts of the day, the orders
// of operators and the accounting log.
//
// One process at a time has the files open; bbolt's locks see to that. The two speak over a
// unix socket (package frames). The questions, in their order:
//
//	new: hello      old: hello                both speak the newest protocol in common
//	new: snapshot   old: copies of the files  the new one sees whether it can read them
//	new: ready      old: closes its files, and answers
//	new: opened     old: answers
//	old: record, counts, orders, load         until it has ended its sessions
//	old: done       new: answers
//
// A message that a process does not know is answered by frames.ErrUnknown, and ignored.
// Without a protocol in common, or if the new process cannot read the copies, it says why
// and the old one goes on: its files are still open. So a new program that cannot read what
// an older one wrote is refused before anything has changed, and so is an older one on the
// way back.
//
// # Who dies when
//
// The end of the socket is the end of a process, and of its locks. A new one that has seen
// the copies goes on if the old one dies, opens the files, and has what the old one sent. The
// old one opens its files again if the new one dies. A process that hangs keeps its locks:
// each step has a deadline, after which the one that starts processes kills the other one,
// and then calls [Giver.TakeBack].
//
// # What is saved while a file changes hands
//
// [Tokens] holds a record until it is on the disk: of this process, or of the other one by
// its answer. While neither has the file, both hold it. Save waits for that, and returns an
// error after 10 s: then its caller tries again. Of a chain that both processes have saved,
// the refresh token that was rotated last and the newest access token stay.
//
// [Counts] adds up what both count. What a process sent and saw no answer to, it adds again
// if it gets the file: the sum may be too high after a kill, and is never too low. What the
// processes did not save in the last 5 s is lost with a kill, as always.
//
// # Locks
//
// Tokens.mu, Tokens.turns, Tokens.lot, and Counts.flushing, Counts.mu, each before the next.
// Tokens.lot and Counts.mu are not held during I/O.
package handover
