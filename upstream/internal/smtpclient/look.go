package smtpclient

import (
	"time"

	"xoauth2-proxy/internal/loop"
)

// Readiness is what a look at an idle or open connection shows.
type Readiness uint8

const (
	// Ready: an exchange can begin or go on.
	Ready Readiness = iota
	// Pending: something has come in that the loop has not read yet. Look again after
	// the loop has served its sockets.
	Pending
	// Stale: the connection has ended, or the provider has said something unasked.
	Stale
)

const (
	// recent is how long ago the loop may have asked for what has come in.
	recent = time.Millisecond
	// mostLooks is how often Look returns Pending, one time after the other.
	mostLooks = 3
)

// Look tells whether the connection can be used after a rest.
func (c *Conn) Look(now time.Time) Readiness {
	if c.broken || c.conn == nil || c.conn.PartialRecord() || c.in != nil {
		return Stale
	}
	if at := c.loop.Polled(); at.After(c.since) && now.Sub(at) < recent {
		return Ready // whatever had come was handed to Received
	}
	unread := c.conn.Unread()
	switch {
	case unread == loop.NothingUnread:
		c.looks = 0
		return Ready
	case unread == loop.InputUnread && c.looks < mostLooks:
		c.looks++
		return Pending
	}
	return Stale
}
