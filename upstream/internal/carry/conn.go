package carry

import (
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/smtpclient"
)

// Conn is a connection of an account to its provider. The pool has it while it is
// parked, and else its loop: from Give to the event that gives it back.
type Conn struct {
	client  smtpclient.Conn
	Loop    *loop.Loop // serves it for life
	Of      any        // the pool's name for the account
	relay   *Relay
	pool    Pool
	account *account.Account
	print   [32]byte // ConnectionFingerprint of account
	wire    Wire
	at      *endpoint

	Born, LastUsed time.Time
	Messages       int  // transactions carried
	Reused         bool // was parked or has carried a message, so it may have gone stale
	Retired        bool // the provider said that it has done its share
	Quitting       bool // was given nothing more but to quit
	SaidBroken     bool // its loop has said so, and the pool had no use for that yet

	newer, older *Conn // in list
	list         *List // of the account; nil: in none

	// What follows belongs to the loop, but tx to who gives it to the loop, and Login to
	// the pool after Dialed.

	Login   Login            // that has opened it
	offered codec.Extensions // by the provider, whether they work or not
	tx      *Transaction     // to relay, being relayed or held open; nil: none
	work    work
	a       attempt
	ended   bool // the provider has ended it right after a 250, which is noted
}

// Login is the opening of a connection.
type Login interface {
	// Failed tells that the loop on could not take the connection.
	Failed(err *failure.Error, on *loop.Loop)
}

// NewConn returns a connection of a that the loop on is to take, for Adopt.
func (r *Relay) NewConn(p Pool, of any, a *account.Account, on *loop.Loop, l Login) *Conn {
	now, peer := time.Now(), a.SMTP.String()
	return &Conn{relay: r, pool: p, Of: of, Loop: on, account: a, print: a.ConnectionFingerprint(),
		wire: Wire{Number: r.wires.Add(1), Upstream: peer}, at: r.endpoint(peer), Born: now, LastUsed: now, work: workDial, Login: l}
}

// Adopt has the loop take the connection that l has opened. The event Dialed follows, or
// Login.Failed.
func (c *Conn) Adopt(l *smtpclient.Login) error {
	c.wire.Local, c.wire.Remote = l.Addresses()
	return l.Adopt(c.Loop, c, &c.client)
}

// work is what a loop is doing with a connection, which says what its end means.
type work uint8

const (
	workNone   work = iota // nothing: the pool has it
	workDial               // takes it
	workRelay              // relays tx
	workHold               // tx is open at the provider and with its session
	workRepeat             // makes it fit for tx from the beginning
	workClear              // makes it fit for the next transaction, or parts with it
	workQuit               // closes it
	workLost               // the pool was told already that it is gone
)

// Suits reports whether transactions of a may go over c: it was logged in to
// with the same identity, at the same endpoint, from the same address.
func (c *Conn) Suits(a *account.Account) bool {
	if c.account == a {
		return true
	}
	if c.account.ID != a.ID || c.print != a.ConnectionFingerprint() {
		return false
	}
	c.account = a // found at once the next time
	return true
}

// Worn reports whether c has done its share and is to be closed.
func (c *Conn) Worn(a *account.Account, now time.Time) bool {
	l, most := &a.Limits, c.at.most(now)
	return c.Retired || most > 0 && c.Messages >= most || l.MaxMessagesPerConnection > 0 && c.Messages >= l.MaxMessagesPerConnection ||
		l.ConnectionMaxAge > 0 && now.Sub(c.Born) >= l.ConnectionMaxAge
}
