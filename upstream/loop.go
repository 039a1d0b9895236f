package upstream

import (
	"net"
	"time"

	"xoauth2-proxy/internal/loop"
)

// Loop is an event loop that can drive connections to providers beside those of
// clients. A message that is small enough is then relayed without a change of
// goroutine. *loop.Loop implements it. This file goes together with lend.go of
// internal/loop.
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
	// Polled is when the loop last asked for everything that had come in, and then
	// told the connections to providers first. It may be called on the loop only.
	Polled() time.Time
}

// Runner is something to do on a loop.
type Runner = loop.Runner

// Driven is told what happens on a watched connection.
type Driven = loop.Driven

// Socket is a watched connection.
type Socket = loop.DrivenSocket
