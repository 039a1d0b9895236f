// Package smtpclient speaks SMTP with a provider (RFC 5321, 2920, 3030, 4954).
//
// A goroutine opens the connection and logs in, with blocking I/O ([Login]). Then a
// loop adopts the connection, for life ([Conn]). From there on the [Owner] gives it
// one [Exchange] after the other, and is told what came of each.
//
// # States of a connection
//
// The state is how far sending has come. The replies that are due are a queue of
// their own (due): PIPELINING and CHUNKING only decide how many commands go out before
// the first reply of them is awaited. A group of commands is one write.
//
//	              Begin                        all replies are there
//	   idle ----------------> envelope -------------------------------> open
//	    ^                      |   |  \                                  | Continue:
//	    |                      |   |   \ one recipient, small content    | more recipients:
//	    |                      |   |    \ goes with the envelope         |   envelope
//	    |          354 after   |   |     v                               | content:
//	    |          a refusal   |   |    content -- its end has left      |
//	    |                 v----+   |     ^   ^                \          |
//	    |             aborting     |     |   +-----------------\---------+
//	    |                 |        | 354 or all accepted        v
//	    |                 |        +-----+                     final
//	    |                 v                                      |
//	    +------------- the exchange has ended <------------------+  (Ended)
//	    |                     |
//	    |   2yz               | Clear(true)
//	    +-------- resetting <-+
//
//	Quit:            idle -> quitting -> closed
//	Clear(false):    any  -> leaving  -> closed
//
// Clear passes by clearing, up to the end of the callback that is running.
//
// Any state goes to closed when the connection ends. That ends the exchange too, but an
// open one, of which only Closed is told. A connection that said something
// unasked is broken: it ends its exchange and takes no other one.
//
// # Truth
//
// Exchange.Left is set by the write that holds the end of the content: until then the
// provider cannot have taken the message. It is also set where that is not known any more:
// after a panic, and when the content is accepted before its end. After it, its own
// refusal proves that it has not (Exchange.Untaken). A reply that accepts after a refusal
// of what it needs shows that the replies are out of step: then none of them is passed on.
// So do missing replies, unless the provider has ended the connection. A 421 that content
// has crossed therefore ends the exchange only with the connection, or after Config.Quit.
//
// # Time
//
// Each group of commands has a timeout, the content one for each turn that leaves, and
// everything the time in Exchange.Until. A turn is at most 256 KiB of content, and 1 MiB
// where the socket took the last one at once, so that a big message does not hold up the
// other connections of the loop.
package smtpclient
