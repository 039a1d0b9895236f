package carry

import (
	"net"
	"os"
	"time"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Give has c relay tx on its loop, or close if tx is nil. on is the loop of the caller,
// nil: none. The pool hears of the end by an event.
func (c *Conn) Give(tx *Transaction, on *loop.Loop) {
	c.tx = tx
	switch {
	case on == c.Loop:
		on.Later(c)
	case c.Loop.Post(c):
	case tx == nil:
		c.pool.Enqueue(Event{Kind: Closed, Conn: c, Now: time.Now()})
	default:
		c.pool.Enqueue(Event{Kind: Retry, Fresh: true, Conn: c, Tx: tx, Now: time.Now()})
	}
}

// Run implements loop.Runner: it does what Give says.
func (c *Conn) Run() {
	defer c.contain()
	if c.tx == nil {
		c.work = workQuit
		if !c.client.Quit() {
			c.Closed(nil)
		}
		return
	}
	c.begin(time.Now())
}

// begin sends the transaction.
func (c *Conn) begin(now time.Time) {
	tx, r := c.tx, c.relay
	ready := c.client.Look(now)
	if ready == smtpclient.Pending && c.Loop.Post(c) { // after what the loop has to read
		return
	}
	r.Metrics.waited(tx.Account.Provider, now.Sub(tx.Place.Submitted))
	switch {
	case ready != smtpclient.Ready && c.Reused:
		r.Metrics.stale.Inc()
		c.endedBehind(now)
		c.lose(Event{Kind: Retry, Tx: tx, Now: now})
		return
	case !tx.claim.CompareAndSwap(claimShard, claimCarrier): // it is not to be sent any more
		c.tx = nil
		c.giveBack(Event{Kind: Done, Meter: tx.Place.Meter, Taken: tx.Place.Taken, Now: now})
		tx.release()
		return
	}
	c.work = workRelay
	c.Messages++
	c.a = r.newAttempt(c, tx, now)
	tx.Passage.begin(&c.wire, now)
	c.prepare(tx, now)
	switch {
	case ready != smtpclient.Ready: // it was lost before its first message: that is a failure like others
		c.client.Exchange.Fail(throttle.PhaseMail, net.ErrClosed)
		c.Ended()
	case !now.Before(c.client.Exchange.Until) || r.ctx.Err() != nil: // the loop came to it too late
		c.client.Exchange.Fail(throttle.PhaseMail, os.ErrDeadlineExceeded)
		c.Ended()
	case !c.client.Exchange.Reply.IsZero(): // declined
		c.Ended()
	case r.cfg.DryRun:
		c.pretend()
	default:
		c.client.Begin()
	}
}

// Tell has the pool handle e.
func (c *Conn) Tell(e Event) {
	if c.pool.Enqueue(e) {
		c.pool.Drive(c.Loop)
	}
}

// giveBack gives the connection back to the pool, by the event.
func (c *Conn) giveBack(e Event) {
	c.work = workNone
	e.Conn = c
	c.Tell(e)
}

// lose closes the connection and tells the pool that it is gone, by the event.
func (c *Conn) lose(e Event) {
	c.work, c.tx = workLost, nil
	c.client.Close()
	e.Conn = c
	c.Tell(e)
}

// Opened implements smtpclient.Owner.
func (c *Conn) Opened() {
	c.offered = c.client.Offer.Extensions
	c.giveBack(Event{Kind: Dialed, Now: time.Now()})
}

// Answered implements smtpclient.Owner: the recipients have their replies, and tx goes
// to its session.
func (c *Conn) Answered() {
	tx := c.tx
	c.note(tx)
	c.work = workHold
	c.answered(tx)
}

func (c *Conn) answered(tx *Transaction) {
	c.a.told = true
	tx.told, tx.held = true, c
	tx.Done.RecipientsReplied(tx, c.Loop)
}

// note keeps what the refusals of recipients mean for the account, and puts in their
// place what the client is told.
func (c *Conn) note(tx *Transaction) {
	for ; tx.noted < c.client.Exchange.To; tx.noted++ {
		r := &tx.Rcpts[tx.noted]
		switch {
		case r.Reply.IsZero():
			return
		case r.Reply.Code >= 400 && !r.Own:
			r.Phase = throttle.PhaseRcpt
			r.Reply, r.Class = c.a.note(throttle.PhaseRcpt, r.Reply)
		}
	}
}

// Ended implements smtpclient.Owner: it tells session and shard what came of tx.
func (c *Conn) Ended() {
	tx, r, a, x := c.tx, c.relay, &c.a, &c.client.Exchange
	now := c.client.Since()
	if now.Before(a.began) { // nothing was sent
		now = a.began
	}
	if !a.told { // what includes the client's time tells nothing of the provider
		r.Metrics.exchange.Update(now.Sub(a.began).Seconds())
	}
	c.note(tx)
	c.Reused, c.LastUsed, c.Retired = true, now, c.Retired || a.retires(x)
	c.observe(tx, now)
	if x.Undeclared && x.Left {
		r.undeclared(tx, c.wire.Upstream)
	}
	if r.retries(tx, a, x, now) {
		c.passOn(tx, now)
		return
	}
	if tx.Content != nil {
		tx.Content.Discard() // its memory, whenever the session comes to the answer
	}
	res := a.result(x, c.wire.Upstream)
	tx.Passage.Left, tx.Passage.Done = x.LeftAt, now
	done := Event{Meter: tx.Place.Meter, Now: now}
	a.outcome(&done, x, tx, &res, r.cfg.DryRun)
	c.tx = nil
	if c.client.Usable() && (!x.Reset || c.Retired) {
		// Before the client has its answer, so that its next message finds
		// the connection. The pool goes on even if telling the client panics.
		done.Kind, done.Conn, c.work = Done, c, workNone
		if c.pool.Enqueue(done) {
			defer c.pool.Drive(c.Loop)
		}
		r.Finish(tx, res, now, c.Loop)
		return
	}
	// Before the client knows, so that its next message meets what this one has led
	// to; the connection takes a while yet.
	done.Kind, done.Conn = Learned, c
	tx.know(res)
	c.Tell(done)
	c.clear(x.Reset && c.client.Usable() && a.inStep(x, c.client.Offer))
	r.Finish(tx, res, now, c.Loop)
}

// passOn gives tx back to the pool, for a fresh connection. This one says QUIT, unless it
// is of no use any more.
func (c *Conn) passOn(tx *Transaction, now time.Time) {
	if c.a.noted != nil {
		c.Tell(Event{Kind: Learned, Conn: c, Err: c.a.noted, Now: now})
	}
	e := Event{Kind: Retry, Fresh: true, Tx: tx, Now: now}
	if !c.client.Usable() {
		c.lose(e)
		return
	}
	c.tx, e.Open = nil, true
	c.giveBack(e)
}

// clear makes the connection fit for the next transaction, by RSET, or parts with it. A
// provider that does not know BDAT must not get RSET: it reads the content as commands.
func (c *Conn) clear(reset bool) {
	c.work = workClear
	if c.client.Exchange.NoBDAT {
		c.client.Close()
		return
	}
	if !c.client.Clear(reset && !c.Retired) {
		c.Closed(nil)
	}
}

// Cleared implements smtpclient.Owner.
func (c *Conn) Cleared() {
	if c.work == workRepeat {
		c.Loop.Later((*repetition)(c))
		return
	}
	c.giveBack(Event{Kind: Done, Now: time.Now()})
}

// Broken implements smtpclient.Owner: the pool is to drop the connection.
func (c *Conn) Broken() {
	if c.work == workNone {
		c.endedBehind(time.Now())
		c.Tell(Event{Kind: Broken, Conn: c, Now: time.Now()})
	}
}

// Closed implements smtpclient.Owner.
func (c *Conn) Closed(err error) {
	e := Event{Kind: Gone, Conn: c, Now: time.Now()}
	switch c.work {
	case workDial:
		c.Login.Failed(&failure.Error{Phase: throttle.PhaseConnect, Err: err}, c.Loop)
		return
	case workRelay: // by a panic: Ended was not called, or did not come to its end
		c.drop(err, e.Now)
		return
	case workHold: // tx is the session's
		c.learnHeld(e.Now)
	case workRepeat:
		tx := c.tx
		defer tx.again(e.Now, c.Loop) // after the pool knows that the connection is gone
		c.learnHeld(e.Now)
	case workClear:
	case workQuit:
		e.Kind = Closed
	default:
		return
	}
	c.work = workLost
	c.Tell(e)
}

// Panicked implements smtpclient.Owner.
func (c *Conn) Panicked(p any) error { return c.relay.Panicked(p) }

// contain keeps a panic in the connection it happened on.
func (c *Conn) contain() {
	p := recover()
	if p == nil {
		return
	}
	err := c.relay.Panicked(p)
	if c.work == workRelay {
		c.drop(err, time.Now())
	}
	c.client.Close()
}

// drop ends the relaying of tx after a panic: nothing is known any more, but that tx has
// to have an answer and the pool to hear that the connection is gone.
func (c *Conn) drop(err error, now time.Time) {
	tx, gone := c.tx, Event{Kind: Gone, Conn: c, Now: now}
	c.work, c.tx = workLost, nil
	if tx == nil {
		c.Tell(gone)
		return
	}
	res := Failed(&failure.Error{Phase: throttle.PhaseRcpt, Err: err, Upstream: c.wire.Upstream}, c.wire.Upstream)
	learned := Event{Kind: Learned, Conn: c, Meter: tx.Place.Meter, Taken: tx.Place.Taken, Counted: c.a.counted(0), Probe: tx.Place.Probe, Err: res.Err, Now: now}
	if tx.Content != nil { // which may have left
		res.Err.Phase, res.Phase = throttle.PhaseFinal, throttle.PhaseFinal
		learned.Accepted, learned.Counted = tx.Place.Taken, tx.Place.Taken
	}
	tx.Passage.Done = now
	tx.know(res)
	c.Tell(learned)
	c.Tell(gone)
	c.relay.Finish(tx, res, now, c.Loop)
}

// Break closes a connection, whatever it is doing.
func (c *Conn) Break() { c.Loop.Post((*breaking)(c)) }

type breaking Conn

// Run implements loop.Runner.
func (b *breaking) Run() { b.client.Fail(net.ErrClosed) }

// BreakUnlessLeft closes a connection, unless it relays a message whose end of content has
// left: the provider may have that.
func (c *Conn) BreakUnlessLeft() { c.Loop.Post((*unlessLeft)(c)) }

type unlessLeft Conn

// Run implements loop.Runner.
func (b *unlessLeft) Run() {
	if b.work != workRelay || !b.client.Exchange.Left {
		(*breaking)(b).Run()
	}
}
