// Loadgen puts SMTP submission load on a server on this machine and tells,
// with proof where the sandbox can give it, what became of every message.
//
// It knows two ways of loading:
//
//   - Open loop (--rate or --steps): arrivals are scheduled beforehand, Poisson
//     or evenly spaced, and a latency counts from the scheduled instant. A
//     server that stalls therefore does not slow its own measurement down
//     (coordinated omission), and waiting for a free connection is part of
//     the latency, as it is for a message in an MTA's queue.
//   - Closed loop (no rate): each connection sends its next message as soon as
//     the last one is answered. This finds the throughput; its latencies say
//     little, since a slow server is asked less.
//
// How it is put together:
//
//	schedule.go   phases of a run and the arrival instants within them
//	pacer.go      gives out tickets (one per message) when they are due
//	accounts.go   whom a connection logs in as
//	worker.go     one goroutine per connection: takes tickets, sends messages
//	dialogue.go, smtp.go  the SMTP client up to the first message
//	transaction.go, reply.go  a message: one write per step, no allocation
//	turn.go       a write and the wait for its answer, in few system calls
//	content.go    messages rendered in advance, stamped with their id all over
//	recorder.go   histograms and counters, sharded
//	journal.go    what became of each message, eight bytes a message
//	proof.go      the journal against what the sandbox says was delivered
//	dryrun.go     the proxy's own counts, where it sends nothing
//	process.go    CPU time and memory of the server under load, and our own
//	run.go        puts these together; report/ renders the result
//
// All addresses must be loopback addresses. A load generator that accepts any
// other is a weapon when a flag is mistyped, and this one has no use for them.
//
// Exit codes: 0 all messages were accepted and the proof, if asked for,
// holds; 1 a message failed, or the proof does; 2 usage error.
package main
