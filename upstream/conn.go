package upstream

import (
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/smtpclient"
)

// conn is a connection of an account to its provider. The shard has it while it is
// parked, and else its loop: from conn.Run to the event that gives it back.
type conn struct {
	client  smtpclient.Conn
	loop    *loop.Loop // serves it for life
	shard   *shard
	st      *accountState // to be named in events; the loop must not touch it
	account *account.Account
	print   [32]byte // ConnectionFingerprint of account
	peer    string   // the endpoint, "host:port"

	born, lastUsed time.Time
	messages       int  // transactions carried
	reused         bool // was parked or has carried a message, so it may have gone stale
	retired        bool // the provider said that it has done its share

	newer, older *conn     // in list
	list         *connList // of the account; nil: in none
	broken       bool      // its loop has said so, and the shard had no use for that yet

	// What follows belongs to the loop, but order and tx to who gives it to the loop.

	order order
	tx    *Transaction // to relay, being relayed or held open; nil: none
	work  work
	a     attempt
	dial  *dialing // until the loop has taken it
}

// order is what a loop is to do with a connection.
type order uint8

const (
	orderRelay order = iota // send tx
	orderQuit               // close it
)

// work is what a loop is doing with a connection, which says what its end means.
type work uint8

const (
	workNone  work = iota // nothing: the shard has it
	workDial              // takes it
	workRelay             // relays tx
	workHold              // tx is open at the provider and with its session
	workClear             // makes it fit for the next transaction, or parts with it
	workQuit              // closes it
	workLost              // the shard was told already that it is gone
)

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

// connList holds connections, linked through them, newest first.
type connList struct{ newest, oldest *conn }

func (l *connList) push(c *conn) {
	c.older, c.newer, c.list = l.newest, nil, l
	if l.newest != nil {
		l.newest.newer = c
	} else {
		l.oldest = c
	}
	l.newest = c
}

// unlink takes c out of its list, if it is in one.
func (c *conn) unlink() {
	l := c.list
	if l == nil {
		return
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		l.newest = c.older
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		l.oldest = c.newer
	}
	c.newer, c.older, c.list = nil, nil, nil
}
