//go:build !linux

package upstream

import (
	"errors"
	"os"
	"time"
)

// peeker has no use where sockets cannot be looked at without reading.
type peeker struct{}

func (c *conn) initPeek() {}

// look tells on the loop whether a connection that was parked can still be used,
// from what the loop has been told so far.
func (c *conn) look() freshness {
	if c.spoiled || c.wire.partial() {
		return stale
	}
	return usable
}

// shortRead is how long alive waits for input: a read whose deadline has come
// fails before it reads.
const shortRead = 2 * time.Millisecond

// alive reports whether a connection that was parked can still be used: there
// is nothing to read, not even its end.
func (c *conn) alive() bool {
	c.deadline = time.Time{}
	if c.wire.tcp.SetReadDeadline(time.Now().Add(shortRead)) != nil {
		return false
	}
	var b [1]byte
	_, err := c.tls.Read(b[:])
	return errors.Is(err, os.ErrDeadlineExceeded)
}
