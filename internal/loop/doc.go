// Package loop serves sockets on event loops, those of clients and those to providers
// alike. It is the only package that imports gnet, links to unexported names of another
// package, or uses unsafe memory for sockets.
//
// # A loop
//
// A [Loop] is one goroutine, on a thread of its own that may be pinned to a CPU. It
// calls epoll_wait, handles everything that is ready, and waits again. All that it
// calls, the methods of a [Handler] and of a [Runner], must not block: no dial, no
// file, no lock that is held during I/O. A panic in them is contained: it is
// reported, and the connection that it happened on is closed, or the Failer told.
//
// Other goroutines reach a loop by Post only. The loop is woken once for everything
// that is posted before it looks. Later runs something on the loop itself, right
// after the callback that is running, so that a handler is not entered twice.
//
// In one batch of events the connections to providers come first: the loop knows which of
// them have ended before a client's message wants one (Polled).
//
// # A connection
//
// A [Conn] belongs to its loop for life: the loop that accepted it or was given it
// ([Loop.Serve]), or that adopted it after the login at a provider ([Loop.Adopt]). Its
// handler is told:
//
//	Opened      first
//	Received    octets of the peer, in clear if the connection has TLS; borrowed
//	Secured     the TLS handshake of StartTLS has ended, well or not
//	EndOfInput  the peer sends nothing more: FIN, or close_notify under TLS. It may
//	            read on, so the connection stays open for writing
//	Drained     what Write had to keep has left; a Progressor is told of parts too
//	Closed      last and once: Close was called, or the connection broke
//
// Closed may run inside a Write, Flush or Close of ours: a failing write closes.
// EndOfInput comes once at most, after all octets. After it the loop asks epoll for
// nothing of the connection, which then costs nothing until something is written.
//
// # TLS
//
// crypto/tls drives the TLS of both sides. For it the loop is a net.Conn below the
// tls.Conn: "no more input" is an expired read deadline, which by the contract of
// crypto/tls is not sticky, and what it writes is gathered and leaves in one write.
// Only a handshake has a goroutine, since it computes for too long. A client's handshake
// has one from its first whole record to its end. There may be maxHandshakes of them at a
// time; the oldest gives way. A handshake with a provider runs on the goroutine that dials
// and logs in, up to [Loop.Adopt]. A connection has a buffer for records only while
// there is something in it (memory.go).
//
// # Time
//
// A [Timer] fires on its loop, within a tick (100 ms) after its time. Moving it later
// costs one store. A [Heartbeat] is told when a tick is posted to a loop and when the loop
// runs it, so that a loop that is stuck in a callback is noticed.
//
// # Tests
//
// A [Fake] is a loop without sockets, for tests of handlers.
//
// # Locks
//
// Loop.mu guards a loop's inbox, handshakes.mu the handshakes under way, wire.mu
// the input of one of them. They are leaves.
package loop
