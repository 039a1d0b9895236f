package upstream

import (
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// A transaction with several recipients is opened at the provider without content.
// Its connection is held for Config.HoldTimeout while the session has it, not for as
// long as a client uploads: then RSET ends it there, and the connection serves others.
// What the session adds later goes over any connection, after a repetition of MAIL and
// of the recipients that were accepted, which all have to be accepted again.
//
// The connection's loop decides which of the two happens: Transaction.held names the
// connection, and is good only if that still has the transaction.

// Continue gives back to the relay a transaction that RecipientsReplied gave
// to the session, with recipients added (their Reply zero), with its Content,
// or both. RecipientsReplied is called again, or Complete if there is Content. It is
// called on tx.Loop.
//
// On an error the caller owns tx: ErrClosed, or ErrTransactionExpired, which says that the upstream
// part of the transaction is over, because the first recipient was refused or because
// the connection was lost; ClientReply of that error is the answer to whatever the
// client sends next.
func (r *Relay) Continue(tx *Transaction) error {
	switch {
	case tx.over != nil:
		return &overError{tx.over}
	case r.closing.Load():
		return ErrClosed
	}
	tx.submitted = time.Now()
	tx.deadline = tx.submitted.Add(r.cfg.TransactionTimeout)
	next := (*continuation)(tx)
	if on := tx.held.loop; on == tx.Loop {
		on.Later(next)
	} else if !on.Post(next) {
		return ErrClosed
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
	if c.tx != tx || c.work != workHold {
		tx.again(now, c.loop)
		return
	}
	defer c.contain()
	if c.client.Look(now) != smtpclient.Ready {
		// The provider has closed, or has said something unasked, which would be taken
		// for the reply to what is sent next.
		c.letGo(now, false)
		tx.again(now, c.loop)
		return
	}
	c.work = workRelay
	c.add(tx, now)
	c.client.Continue()
}

// again has a transaction that has lost its connection sent over another one.
func (tx *Transaction) again(now time.Time, on *loop.Loop) {
	r := tx.shard.relay
	if !tx.claim.CompareAndSwap(claimCarrier, claimShard) {
		tx.release()
		return
	}
	tx.meter, tx.taken, tx.limited, tx.probe, tx.retried = nil, 0, nil, false, false
	if r.waiting.Add(1) > int64(r.cfg.MaxWaiting) {
		r.waiting.Add(-1)
		r.metrics.queueFull.Inc()
		err := &Error{Phase: throttle.PhaseQueue, Err: ErrQueueFull}
		r.finish(tx, Result{Reply: err.ClientReply(), Err: err, Phase: err.Phase, Upstream: tx.Account.SMTP.String()}, now, on)
		return
	}
	tx.shard.postOn(event{kind: evSubmit, tx: tx, now: now}, on)
}

// HoldExpired implements smtpclient.Owner.
func (c *conn) HoldExpired() {
	c.shard.relay.metrics.expired.Inc()
	c.letGo(time.Now(), true)
}

// letGo ends the part of the transaction on this connection, and makes the connection
// fit for others, by RSET if that will do.
func (c *conn) letGo(now time.Time, reset bool) {
	c.learnHeld(now)
	c.lastUsed, c.reused = now, true
	if c.shard.relay.cfg.DryRun {
		c.giveBack(event{kind: evDone, now: now})
		return
	}
	c.clear(reset)
}

// learnHeld tells the shard what has come of the transaction on this connection:
// nothing was accepted, its places are free again.
func (c *conn) learnHeld(now time.Time) {
	a := &c.a
	c.shard.postOn(event{kind: evLearned, st: c.st, meter: c.tx.meter, taken: a.taken, probe: a.probe, err: a.noted, now: now}, c.loop)
	c.tx = nil
}

// abortion is a transaction that its session has released while a connection may hold
// it open.
type abortion Transaction

// Run implements loop.Runner.
func (b *abortion) Run() {
	tx := (*Transaction)(b)
	c := tx.held
	if c.tx == tx && c.work == workHold {
		c.shard.relay.metrics.aborted.Inc()
		c.letGo(time.Now(), true)
	}
	tx.release()
}

// Over reports whether the upstream part of an opened transaction is over: its
// first recipient was refused although the client had been told 250, or the
// connection was lost. The reply is the answer to all that the client still
// sends. It is for the session, while tx is its own.
func (tx *Transaction) Over() (codec.Reply, bool) {
	if tx.over == nil {
		return codec.Reply{}, false
	}
	return tx.over.ClientReply(), true
}
