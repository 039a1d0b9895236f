package upstream

import (
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Replies of a dry run.
var (
	replyDryRun     = codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 0, 0}, Text: "dry run: not sent"}
	replyDryRunRcpt = codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 1, 5}, Text: "dry run: not sent"}
)

// giveToLoop has c carry out its order on its loop. on is the loop of the caller, nil:
// none. The shard hears of the end by an event.
func giveToLoop(c *conn, on *loop.Loop) {
	switch {
	case on == c.loop:
		on.Later(c)
	case c.loop.Post(c):
	case c.order == orderQuit:
		c.shard.enqueue(event{kind: evClosed, st: c.st, c: c, now: time.Now()})
	default:
		c.shard.enqueue(event{kind: evRetry, fresh: true, st: c.st, c: c, tx: c.tx, now: time.Now()})
	}
}

// Run implements loop.Runner: it carries out the order.
func (c *conn) Run() {
	defer c.contain()
	if c.order == orderQuit {
		c.work = workQuit
		if !c.client.Quit() {
			c.Closed(nil)
		}
		return
	}
	c.begin(time.Now())
}

// begin sends the transaction.
func (c *conn) begin(now time.Time) {
	tx, r := c.tx, c.shard.relay
	ready := c.client.Look(now)
	if ready == smtpclient.Pending && c.loop.Post(c) { // after what the loop has to read
		return
	}
	r.metrics.phase(phaseQueue, now.Sub(tx.submitted))
	switch {
	case ready != smtpclient.Ready && c.reused:
		r.metrics.stale.Inc()
		c.lose(event{kind: evRetry, tx: tx, now: now})
		return
	case !tx.claim.CompareAndSwap(claimShard, claimCarrier): // it is not to be sent any more
		c.tx = nil
		c.giveBack(event{kind: evDone, meter: tx.meter, taken: tx.taken, now: now})
		tx.release()
		return
	}
	c.work = workRelay
	c.messages++
	c.a = r.newAttempt(c, tx, now)
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

// prepare sets what is to be sent of tx.
func (c *conn) prepare(tx *Transaction, now time.Time) {
	x := &c.client.Exchange
	*x = smtpclient.Exchange{Mail: &tx.Mail, Content: tx.Content, Promised: tx.FirstAnswered, Repeat: tx.told,
		MaxSize: tx.Account.Limits.MaxMessageSize}
	if tx.Content != nil {
		tx.Mail.Size = tx.Content.Size()
	}
	if !tx.told {
		for i := range tx.Rcpts {
			tx.Rcpts[i].Reply = codec.Reply{}
		}
		tx.noted = 0
	}
	tx.admitted, tx.placed = 0, 0
	c.add(tx, now)
}

// add has the exchange go on with what the session has added to tx: recipients, content
// or both. An account may not have places for all recipients: the others are answered
// here.
func (c *conn) add(tx *Transaction, now time.Time) {
	x := &c.client.Exchange
	x.Content, x.Rcpts = tx.Content, tx.Rcpts
	x.Until = now.Add(c.shard.relay.finalTimeout(tx, now))
	x.To = c.admit(tx)
	c.a.taken = tx.taken
	for i := x.To; i < len(tx.Rcpts); i++ {
		if tx.Rcpts[i].Reply.Positive() { // the client counts on it
			x.Decline(throttle.PhaseRcpt, *tx.limited)
		}
		tx.Rcpts[i].Reply = *tx.limited
	}
}

// admit gives the recipients of tx their places within the limits of the account. From
// the first one on that gets none, none is sent; it returns the index of that one.
func (c *conn) admit(tx *Transaction) int {
	l, x := &tx.Account.Limits, &c.client.Exchange
	for tx.limited == nil && tx.admitted < len(tx.Rcpts) {
		switch {
		case !x.Sends(tx.admitted): // it was refused before
			tx.admitted++
			continue
		case l.MaxRecipients > 0 && tx.admitted >= l.MaxRecipients:
			tx.limited = &codec.ReplyTooManyRcpts
			continue
		case tx.placed < tx.taken:
		case tx.meter == nil || tx.meter.TakeRecipient():
			tx.taken++
		default:
			c.shard.relay.metrics.limited[limit.RecipientsPerDay].Inc()
			now := time.Now()
			e := &failure.LimitError{Kind: limit.RecipientsPerDay, Max: l.RecipientsPerDay,
				After: now.Truncate(time.Hour).Add(time.Hour).Sub(now)}
			r := e.Reply()
			tx.limited = &r
			continue
		}
		tx.placed++
		tx.admitted++
	}
	return tx.admitted
}

// pretend is Begin for Config.DryRun: nothing is sent.
func (c *conn) pretend() {
	x := &c.client.Exchange
	if reply := c.client.CannotCarry(); !reply.IsZero() {
		x.Decline(throttle.PhaseMail, reply)
		c.Ended()
		return
	}
	if x.Content != nil {
		x.Reply = replyDryRun
		c.Ended()
		return
	}
	tx := c.tx
	for i := range tx.Rcpts {
		if r := &tx.Rcpts[i].Reply; r.IsZero() {
			*r = replyDryRunRcpt
		}
	}
	c.letGo(time.Now(), false)
	c.answered(tx)
}

// finalTimeout is how long the provider may take for the final reply: never longer than
// the client waits.
func (r *Relay) finalTimeout(tx *Transaction, now time.Time) time.Duration {
	return max(time.Second, min(r.cfg.FinalTimeout, tx.deadline.Sub(now)*7/8))
}

// giveBack gives the connection back to the shard, by the event.
func (c *conn) giveBack(e event) {
	c.work = workNone
	e.st, e.c = c.st, c
	c.shard.postOn(e, c.loop)
}

// lose closes the connection and tells the shard that it is gone, by the event.
func (c *conn) lose(e event) {
	c.work, c.tx = workLost, nil
	c.client.Close()
	e.st, e.c = c.st, c
	c.shard.postOn(e, c.loop)
}

// Opened implements smtpclient.Owner.
func (c *conn) Opened() {
	d := c.dial
	c.dial = nil
	c.giveBack(event{kind: evDialed, dial: d, now: time.Now()})
}

// Answered implements smtpclient.Owner: the recipients have their replies, and tx goes
// to its session.
func (c *conn) Answered() {
	tx := c.tx
	c.note(tx)
	c.work = workHold
	c.answered(tx)
}

func (c *conn) answered(tx *Transaction) {
	c.a.told = true
	tx.told, tx.held = true, c
	tx.Done.RecipientsReplied(tx, c.loop)
}

// note keeps what the refusals of recipients mean for the account, and puts in their
// place what the client is told.
func (c *conn) note(tx *Transaction) {
	for ; tx.noted < c.client.Exchange.To; tx.noted++ {
		r := &tx.Rcpts[tx.noted].Reply
		if r.IsZero() {
			return
		}
		*r = c.a.note(*r)
	}
}

// Ended implements smtpclient.Owner: it tells session and shard what came of tx.
func (c *conn) Ended() {
	tx, r, s, a, x := c.tx, c.shard.relay, c.shard, &c.a, &c.client.Exchange
	now := c.client.Since()
	if now.Before(a.began) { // nothing was sent
		now = a.began
	}
	if !a.told { // what includes the client's time tells nothing of the provider
		r.metrics.phase(phaseExchange, now.Sub(a.began))
	}
	c.note(tx)
	c.reused, c.lastUsed, c.retired = true, now, c.retired || a.retires(x)
	if r.retries(tx, a, x, now) {
		c.lose(event{kind: evRetry, fresh: true, tx: tx, now: now})
		return
	}
	res := a.result(x, c.peer)
	done := event{meter: tx.meter, now: now}
	a.outcome(&done, x, tx, &res, r.cfg.DryRun)
	c.tx = nil
	if c.client.Usable() && (!x.Reset || c.retired) {
		// Before the client has its answer, so that its next message finds
		// the connection. The shard goes on even if telling the client panics.
		done.kind, done.st, done.c, c.work = evDone, c.st, c, workNone
		if s.enqueue(done) {
			defer s.drive(c.loop)
		}
		r.finish(tx, res, now, c.loop)
		return
	}
	// Before the client knows, so that its next message meets what this one has led
	// to; the connection takes a while yet.
	done.kind, done.st = evLearned, c.st
	tx.know(res)
	s.postOn(done, c.loop)
	c.clear(x.Reset && c.client.Usable() && a.inStep(x, c.client.Offer))
	r.finish(tx, res, now, c.loop)
}

// clear makes the connection fit for the next transaction, by RSET, or parts with it.
func (c *conn) clear(reset bool) {
	c.work = workClear
	if !c.client.Clear(reset && !c.retired) {
		c.Closed(nil)
	}
}

// Cleared implements smtpclient.Owner.
func (c *conn) Cleared() { c.giveBack(event{kind: evDone, now: time.Now()}) }

// Broken implements smtpclient.Owner: the shard is to drop the connection.
func (c *conn) Broken() {
	if c.work == workNone {
		c.shard.postOn(event{kind: evBroken, st: c.st, c: c, now: time.Now()}, c.loop)
	}
}

// Closed implements smtpclient.Owner.
func (c *conn) Closed(err error) {
	e := event{kind: evGone, st: c.st, c: c, now: time.Now()}
	switch c.work {
	case workDial:
		d := c.dial
		c.dial = nil
		d.failed(&Error{Phase: throttle.PhaseConnect, Err: err}, c.loop)
		return
	case workHold: // tx is the session's
		c.learnHeld(e.now)
	case workClear:
	case workQuit:
		e.kind = evClosed
	default:
		return
	}
	c.work = workLost
	c.shard.postOn(e, c.loop)
}

// Panicked implements smtpclient.Owner.
func (c *conn) Panicked(p any) error { return c.shard.relay.panicked(p) }

// contain keeps a panic in the connection it happened on, before anything was sent.
func (c *conn) contain() {
	p := recover()
	if p == nil {
		return
	}
	err := c.shard.relay.panicked(p)
	if c.tx != nil && c.work == workRelay {
		c.client.Exchange = smtpclient.Exchange{Left: true} // nothing is known any more
		c.client.Exchange.Fail(throttle.PhaseMail, err)
		c.Ended()
	}
	c.client.Close()
}

// panicked counts and logs a panic and makes an error of it.
func (r *Relay) panicked(p any) error {
	r.log.Error("panic while relaying", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
	r.metrics.panics.Inc()
	return fmt.Errorf("internal error: %v", p)
}

// breaking closes a connection, whatever it is doing: Relay.Close has lost patience.
type breaking struct{ c *conn }

// Run implements loop.Runner.
func (b breaking) Run() { b.c.client.Fail(net.ErrClosed) }
