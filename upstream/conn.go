package upstream

import (
	"crypto/tls"
	"io"
	"syscall"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// conn is a connection to a provider. One goroutine at a time has it: a worker
// or the loop that drives it while it is busy, the shard while it is parked.
type conn struct {
	st      *accountState // to be named in events; not to be touched
	account *account.Account
	print   [32]byte // ConnectionFingerprint of account
	peer    string   // the endpoint, "host:port"

	wire *wire
	tls  *tls.Conn // nil before the handshake
	rw   io.ReadWriter
	raw  syscall.RawConn
	peek peeker

	ext        codec.Extensions
	size       int64 // the limit of SIZE, 0: none
	mechanisms mechanisms

	born, lastUsed time.Time
	messages       int       // transactions carried
	deadline       time.Time // as set on the socket
	reused         bool      // was parked, so it may have gone stale
	retired        bool      // the provider said that it has done its share

	newer, older *conn // in a parkedList
	listed       bool  // is in one
	useless      bool  // its loop has said so, and it is not in a list yet

	loop  Loop   // drives the connection; nil: a worker does, if anybody
	shard *shard // set with loop
	driven
}

// suits reports whether transactions of a may go over c: it was logged in to
// with the same identity, at the same endpoint, from the same address.
func (c *conn) suits(a *account.Account) bool {
	if c.account == a {
		return true
	}
	if c.account.ID != a.ID || c.print != a.ConnectionFingerprint() {
		return false
	}
	c.account = a // found at once the next time
	return true
}

// worn reports whether c has done its share and is to be closed.
func (c *conn) worn(a *account.Account, now time.Time) bool {
	l := &a.Limits
	return c.retired || l.MaxMessagesPerConnection > 0 && c.messages >= l.MaxMessagesPerConnection ||
		l.ConnectionMaxAge > 0 && now.Sub(c.born) >= l.ConnectionMaxAge
}

// setDeadline gives the flight that starts now at least d. The deadline is set
// somewhat later, so that it is good for the next flights too: setting it
// costs more than looking at it.
func (c *conn) setDeadline(now time.Time, d time.Duration) error {
	slack := d / 8
	if left := c.deadline.Sub(now); left >= d && left <= d+slack {
		return nil
	}
	c.deadline = now.Add(d + slack)
	return c.wire.tcp.SetDeadline(c.deadline)
}

// leave closes a connection that is out of step or of which the login failed.
// It waits a little for the peer to close too, because until then the provider
// counts the connection, and so must we.
func (c *conn) leave(patience time.Duration) {
	if c.wire.tcp.CloseWrite() == nil && c.wire.tcp.SetReadDeadline(time.Now().Add(patience)) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c.wire.tcp, maxFarewell))
	}
	c.close()
}

// maxFarewell is how much of what the peer still says leave reads, in octets.
const maxFarewell = 1 << 20

// close breaks the connection without ceremony; it is safe to call it from
// another goroutine and more than once.
func (c *conn) close() { _ = c.wire.tcp.Close() }
