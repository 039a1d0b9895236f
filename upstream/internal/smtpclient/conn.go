package smtpclient

import (
	"io"
	"net"
	"os"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Owner is told what becomes of a connection, on its loop. Its methods must not
// block, and must not begin or continue an exchange: they have that done by Loop.Later.
type Owner interface {
	// Opened is called first: the loop serves the connection.
	Opened()
	// Answered is called when everything sent of the exchange has its reply and the
	// exchange needs more, recipients or content.
	Answered()
	// HoldExpired is called in place of what Answered waits for, after Config.Hold.
	HoldExpired()
	// Ended is called once for each exchange, but for one that is open when the owner
	// calls Clear, or when the connection ends. The connection is idle, unless
	// Conn.Usable says otherwise or Exchange.Reset asks for Clear.
	Ended()
	// Cleared is called when Clear has made the connection idle.
	Cleared()
	// Broken is called when an idle connection has become of no use. Closed may follow.
	Broken()
	// Closed is called last and once, alone if the loop could not take the connection.
	Closed(err error)
	// Panicked is told of a panic that was contained, and returns it as an error.
	Panicked(p any) error
}

// state is what a connection is doing.
type state uint8

const (
	idle      state = iota
	envelope        // MAIL, RCPT or DATA wait for their replies, no content has left
	open            // all replies are there, the owner has to go on
	content         // content is leaving
	final           // the end of the content has left, its reply is due
	aborting        // "." ends content that a refused envelope must not have
	clearing        // RSET will be sent after the callback that is running
	resetting       // RSET was sent
	quitting        // QUIT was sent
	leaving         // our side is closed
	closed
)

var stateNames = [...]string{"idle", "envelope", "open", "content", "final", "aborting", "clearing", "resetting", "quitting",
	"leaving", "closed"}

// String names the state for logs and tests.
func (s state) String() string { return stateNames[s] }

// Conn is a logged-in connection that a loop serves. Its methods may be called on the
// loop only.
type Conn struct {
	// Offer is what the provider's EHLO reply offers.
	Offer Offer
	// Exchange is the one under way, or what came of the last one.
	Exchange Exchange

	cfg   *Config
	owner Owner
	loop  *loop.Loop
	conn  *loop.Conn // nil before Opened, and when the connection is closed
	timer loop.Timer

	state   state
	broken  bool      // closed, or the provider has said something unasked
	writing bool      // inside of a write, which may close the connection
	eof     bool      // the provider sends nothing more
	rest    []byte    // input after the reply that is being handled
	since   time.Time // it became idle or open
	looks   uint8     // see Look

	due    due
	in     *codec.Buffer // the beginning of a reply; nil: none
	looked int           // how much of in has no end of a reply, in octets
	sent   bool          // MAIL was

	declared codec.Extensions // by that MAIL

	rcpt    int  // the next recipient to send
	go354   bool // DATA has its 354
	dots    bool // the content goes by DATA
	segment int  // of the content, the next one to send
	fast    bool // whole turns leave at once

	awaited int64 // since this tick the provider has all of the content
}

// due is the queue of replies that are to come, in the order of its fields.
type due struct {
	mail         bool
	rcpt, rcpts  int // recipients from..to
	data, ending bool
}

func (d *due) any() bool { return d.mail || d.rcpt < d.rcpts || d.data || d.ending }

// Opened implements loop.Handler.
func (c *Conn) Opened(lc *loop.Conn) {
	defer c.contain()
	c.conn, c.since = lc, time.Now()
	c.timer.Expirer = c
	c.owner.Opened()
}

// Secured implements loop.Handler: TLS is there before the loop adopts a connection.
func (c *Conn) Secured(error) {}

// EndOfInput implements loop.Handler.
func (c *Conn) EndOfInput() {
	defer c.contain()
	c.eof = true
	if c.state == leaving || c.state == quitting {
		c.Close()
		return
	}
	c.fail(io.EOF)
}

// Closed implements loop.Handler.
func (c *Conn) Closed(err error) {
	defer c.contain()
	c.conn = nil
	c.eof = c.eof || err != nil
	if !c.writing { // else what writes sees it
		c.gone(err)
	}
}

// gone is the end of a connection that is closed, or cannot be written to.
func (c *Conn) gone(err error) {
	if c.conn != nil {
		c.writing = true
		c.conn.Close()
		c.writing = false
	}
	if err == nil {
		err = net.ErrClosed
	}
	c.loop.StopTimer(&c.timer)
	defer func() { // even if Ended panics
		c.forget()
		c.state = closed
		c.owner.Closed(err)
	}()
	c.fail(err)
}

// fail ends the exchange under way for that reason, or tells that an idle connection
// is of no use.
func (c *Conn) fail(err error) {
	switch c.state {
	case envelope, content, final, aborting:
		if !c.saidAll() {
			c.Exchange.missing(err)
		}
		c.Exchange.Fail(c.phase(), err)
		c.end()
	case open, clearing:
		c.broken = true
	case idle:
		c.spoil()
	case resetting:
		c.leave()
	}
}

// saidAll reports whether the provider has ended the connection, after a whole reply.
func (c *Conn) saidAll() bool {
	return c.eof && c.in == nil && (c.conn == nil || !c.conn.PartialRecord())
}

// spoil has the owner drop an idle connection.
func (c *Conn) spoil() {
	if !c.broken {
		c.broken = true
		c.owner.Broken()
	}
}

// phase is that of the next reply or, if none is due, of what is being sent.
func (c *Conn) phase() throttle.Phase {
	switch d := &c.due; {
	case d.mail:
		return throttle.PhaseMail
	case d.rcpt < d.rcpts:
		return throttle.PhaseRcpt
	case d.data:
		return throttle.PhaseData
	case c.state == content:
		return throttle.PhaseContent
	case c.state == aborting:
		return throttle.PhaseData
	}
	return throttle.PhaseFinal
}

// contain keeps a panic in the connection it happened on.
func (c *Conn) contain() {
	p := recover()
	if p == nil {
		return
	}
	c.loop.Discard()
	err := c.owner.Panicked(p)
	switch c.state {
	case closed:
		return
	case envelope, content, final, aborting:
		c.Exchange.Left = true // nothing is known any more
	}
	c.gone(err)
}

// Usable reports whether the connection can go on: it is not closed, and the provider
// has said nothing unasked.
func (c *Conn) Usable() bool {
	return !c.broken && len(c.rest) == 0 && c.conn != nil && !c.Exchange.Lost
}

// Since is when the connection became idle or open.
func (c *Conn) Since() time.Time { return c.since }

// Begin sends the first commands of Exchange, which the owner has set. The connection
// must be idle, or closed: then the exchange ends at once.
func (c *Conn) Begin() {
	defer c.contain()
	c.due, c.sent, c.rcpt, c.segment = due{}, false, 0, 0
	c.go354, c.dots, c.rest, c.looks = false, false, nil, 0
	if c.refuseClosed() {
		return
	}
	c.state = envelope
	if reply := c.CannotCarry(); !reply.IsZero() {
		c.Exchange.Decline(throttle.PhaseMail, reply)
	}
	c.proceed()
}

// Continue goes on with an open exchange, to which the owner has added recipients,
// content or both.
func (c *Conn) Continue() {
	defer c.contain()
	if c.refuseClosed() {
		return
	}
	c.state, c.looks = envelope, 0
	x := &c.Exchange
	if reply := c.CannotCarry(); x.Content != nil && x.open() && !reply.IsZero() {
		x.Decline(throttle.PhaseContent, reply)
		x.Reset = true
	}
	c.proceed()
}

// refuseClosed ends an exchange that a closed connection is to begin or to continue.
func (c *Conn) refuseClosed() bool {
	if c.state != closed {
		return false
	}
	c.Exchange.Fail(c.answered(), net.ErrClosed)
	c.owner.Ended()
	return true
}

// proceed sends what comes next, when no reply is due, or ends the exchange.
func (c *Conn) proceed() {
	x := &c.Exchange
	switch {
	case !x.open() && c.go354:
		c.abort()
	case !x.open():
		c.end()
	case c.sent && !c.nextRcpt() && x.Content == nil:
		c.state, c.since = open, time.Now()
		c.setTimer(c.cfg.Hold)
		c.owner.Answered()
	case len(c.rest) > 0: // it came before what is to be sent, and so cannot be its reply
		x.Fail(c.answered(), errUnasked)
		c.end()
	case c.go354:
		c.sendContent(nil)
	case !c.sent || c.nextRcpt():
		c.sendEnvelope()
	case c.Offer.Has(codec.ExtCHUNKING):
		c.sendContent(nil)
	default:
		c.sendData()
	}
}

// end ends the exchange.
func (c *Conn) end() {
	c.state, c.since = idle, time.Now()
	c.due = due{}
	c.loop.SuspendTimer(&c.timer)
	c.owner.Ended()
	c.Exchange.Mail, c.Exchange.Rcpts, c.Exchange.Content = nil, nil, nil // the owner's
}

// Fail ends the exchange under way, or the connection if there is none.
func (c *Conn) Fail(err error) {
	defer c.contain()
	c.fail(err)
	switch c.state {
	case open, resetting, quitting, leaving:
		c.Close()
	}
}

// setTimer gives what is under way d, from now on.
func (c *Conn) setTimer(d time.Duration) {
	c.loop.SetTimer(&c.timer, c.loop.Now()+loop.Ticks(d))
}

// Expired implements loop.Expirer.
func (c *Conn) Expired() {
	defer c.contain()
	switch c.state {
	case open:
		c.owner.HoldExpired()
	case resetting:
		c.leave()
	case quitting, leaving:
		c.Close()
	case final:
		if x := &c.Exchange; x.open() && c.conn != nil && c.conn.Buffered() == 0 && c.phase() == throttle.PhaseFinal {
			x.Silence = time.Duration(c.loop.Now()-c.awaited) * loop.Tick
		}
		fallthrough
	default:
		c.fail(os.ErrDeadlineExceeded)
	}
}
