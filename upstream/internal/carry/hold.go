package carry

import (
	"time"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// A transaction with several recipients is opened at the provider without content.
// Its connection is held for Config.HoldTimeout while the session has it, not for as
// long as a client uploads: then RSET ends it there, and the connection serves others.
// What the session adds later goes over any connection, after a repetition of MAIL and
// of the recipients that were accepted, which all have to be accepted again. The same
// connection repeats them, after RSET, if the content needs what MAIL does not declare.
//
// The connection's loop decides which of the two happens: Transaction.held names the
// connection, and is good only if that still has the transaction.

// Continue takes tx back from the session, which has added to it; see
// upstream.Relay.Continue.
func (r *Relay) Continue(tx *Transaction) error {
	switch {
	case tx.over != nil:
		return &overError{tx.over}
	case r.Closing.Load():
		return failure.ErrClosed
	}
	tx.Place.Submitted = time.Now()
	tx.Passage.Left, tx.Passage.Done = time.Time{}, time.Time{}
	tx.deadline = tx.Place.Submitted.Add(r.cfg.TransactionTimeout)
	next := (*continuation)(tx)
	if on := tx.held.Loop; on == tx.Loop {
		on.Later(next)
	} else if !on.Post(next) {
		return failure.ErrClosed
	}
	return nil
}

// continuation is a transaction that its session has given back, on the loop of the
// connection that held it.
type continuation Transaction

// Run implements loop.Runner.
func (n *continuation) Run() {
	tx, now := (*Transaction)(n), time.Now()
	c := tx.held
	tx.held = nil
	if c.work != workHold || c.tx != tx { // without workHold, c.tx may be the shard's
		tx.again(now, c.Loop)
		return
	}
	defer c.contain()
	c.work, tx.Passage.Began = workRelay, now
	switch {
	case c.client.Look(now) != smtpclient.Ready:
		// The provider has closed, or has said something unasked, which would be taken
		// for the reply to what is sent next.
		c.moveOn(now)
	case !c.client.Covers(smtpclient.Needs(&tx.Mail, tx.Rcpts, tx.Content)):
		// MAIL does not declare what the message turns out to need: RSET, and Cleared.
		c.work = workRepeat
		c.client.Clear(true)
	default:
		c.add(tx, now)
		c.client.Continue()
	}
}

// moveOn has the transaction that is held open sent over another connection.
func (c *Conn) moveOn(now time.Time) {
	tx := c.tx
	c.letGo(now, false)
	tx.again(now, c.Loop)
}

// repetition is a connection that repeats the envelope of its transaction, after RSET.
type repetition Conn

// Run implements loop.Runner.
func (n *repetition) Run() {
	c, now := (*Conn)(n), time.Now()
	if c.work != workRepeat { // it has closed
		return
	}
	defer c.contain()
	switch ready := c.client.Look(now); {
	case ready == smtpclient.Pending && c.Loop.Post(n): // after what the loop has to read
		return
	case ready != smtpclient.Ready:
		c.moveOn(now)
		return
	}
	c.work, c.tx.limited = workRelay, nil
	c.prepare(c.tx, now)
	if !c.client.Exchange.Reply.IsZero() { // declined
		c.Ended()
		return
	}
	c.client.Begin()
}

// again has a transaction that has lost its connection sent over another one.
func (tx *Transaction) again(now time.Time, on *loop.Loop) {
	r := tx.relay
	if !tx.claim.CompareAndSwap(claimCarrier, claimShard) {
		tx.release()
		return
	}
	tx.Place, tx.limited, tx.retried = Place{Submitted: tx.Place.Submitted}, nil, false
	tx.wornAt = 0
	if !r.room(tx.Account.Provider) {
		r.Finish(tx, Failed(&failure.Error{Phase: throttle.PhaseQueue, Err: failure.ErrQueueFull}, tx.Account.SMTP.String()), now, on)
		return
	}
	tx.wait(now, on)
}

// HoldExpired implements smtpclient.Owner.
func (c *Conn) HoldExpired() {
	c.relay.Metrics.expired.Inc()
	c.letGo(time.Now(), true)
}

// letGo ends the part of the transaction on this connection, and makes the connection
// fit for others, by RSET if that will do.
func (c *Conn) letGo(now time.Time, reset bool) {
	c.learnHeld(now)
	c.LastUsed, c.Reused = now, true
	if c.relay.cfg.DryRun {
		c.giveBack(Event{Kind: Done, Now: now})
		return
	}
	c.clear(reset)
}

// learnHeld tells the pool what has come of the transaction on this connection:
// nothing was accepted, its places in the meter are free again.
func (c *Conn) learnHeld(now time.Time) {
	a := &c.a
	c.Tell(Event{Kind: Learned, Conn: c, Meter: c.tx.Place.Meter, Taken: a.taken, Counted: a.counted(0), Probe: a.probe, Err: a.noted, Now: now})
	c.tx = nil
}

// abortion is a transaction that its session has released while a connection may hold
// it open.
type abortion Transaction

// Run implements loop.Runner.
func (b *abortion) Run() {
	tx := (*Transaction)(b)
	c := tx.held
	if c.work == workHold && c.tx == tx {
		c.relay.Metrics.aborted.Inc()
		c.letGo(time.Now(), true)
	}
	tx.release()
}

// Over reports whether the upstream part of an opened transaction is over: its
// first recipient was refused although the client had been told 250, or the
// connection was lost, and why; nil: it is not. ClientReply of that is the answer to all
// that the client still sends. It is for the session, while tx is its own.
func (tx *Transaction) Over() *failure.Error { return tx.over }

// overError is ErrTransactionExpired with the reason.
type overError struct{ cause *failure.Error }

func (e *overError) Error() string {
	return failure.ErrTransactionExpired.Error() + ": " + e.cause.Error()
}
func (e *overError) Unwrap() []error { return []error{e.cause, failure.ErrTransactionExpired} }
