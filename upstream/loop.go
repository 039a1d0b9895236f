package upstream

import (
	"net"
	"time"
)

// Loop is an event loop that can drive connections to providers beside those of
// clients. A message that is small enough is then relayed without a change of
// goroutine.
type Loop interface {
	// Post has r run on the loop, soon; it is safe to call it on any goroutine.
	// It returns false if the loop has ended and r will not run.
	Post(r Runner) bool
	// Later has r run behind the callback that is running. It may be called on
	// the loop only.
	Later(r Runner)
	// Watch takes over an established connection that nobody reads from, and
	// waits until the loop has called d.Watched. On an error the connection is
	// closed. It may not be called on the loop.
	Watch(c *net.TCPConn, d Driven) error
	// Looked is when the loop last asked for everything that had come in, and then
	// told the connections to providers first. It may be called on the loop only.
	Looked() time.Time
}

// Runner is something to do on a loop. Run must not block.
type Runner interface{ Run() }

// Driven is told what happens on a watched connection, on its loop. Its methods
// must not block.
type Driven interface {
	// Watched is called first.
	Watched(s Socket)
	// Received is called with what was read; b is borrowed.
	Received(b []byte)
	// Closed is called once, when the connection is gone, unless it was
	// released: also inside a Write or Close of ours.
	Closed(err error)
}

// Socket is a watched connection. Its methods may be called on its loop only.
type Socket interface {
	// Write sends b, or keeps a copy of what does not fit the socket's buffer
	// and sends it later. After an error nothing of b has left, and the
	// connection is closed.
	Write(b []byte) (int, error)
	// FD is the socket's descriptor, for a look at it.
	FD() int
	// Close breaks the connection.
	Close()
	// Release ends the watch and gives the connection back.
	Release() (*net.TCPConn, error)
}
