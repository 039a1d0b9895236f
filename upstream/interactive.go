package upstream

import (
	"fmt"
	"net"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

// A transaction that is opened without content changes hands between a worker,
// which holds the connection, and the session. Transaction.turn says whose turn
// it is; whoever changes it, by compare-and-swap, takes or gives ownership:
//
//	turnRelay -> turnSession   the worker, with RecipientsReplied
//	turnSession -> turnRelay   the session, by Continue
//	turnSession -> turnAborted the session, by Release: the worker releases
//	turnSession -> turnExpired the worker, which waited too long: the session owns
//	turnRelay -> turnOver      the worker, with RecipientsReplied: the session owns
//
// Leaving turnSession by the session puts one token into worker.turn; leaving
// it by the worker does not.
const (
	turnRelay uint32 = iota
	turnSession
	turnAborted
	turnExpired
	turnOver
)

// interactive opens the transaction, and sends what the session adds to it
// until there is content or no more interest. *owned becomes false when tx is
// not the worker's any more; if it stays true, the attempt has the answer.
func (w *worker) interactive(c *conn, tx *Transaction, a *attempt, owned *bool) {
	w.openEnvelope(c, tx, a)
	for a.open() {
		a.told = true
		*owned = false // until the session gives it back
		if !w.awaitSession(tx) {
			a.reset = !w.relay.cfg.DryRun
			return
		}
		*owned = true
		if w.spokenTo(c) {
			a.failed(PhaseRcpt, net.ErrClosed)
		} else {
			w.moreRecipients(c, tx, a)
		}
		switch {
		case tx.Content != nil:
			w.finishOpened(c, tx, a)
			return
		case !a.open():
			*owned = false
			w.giveUp(c, tx, a)
			return
		}
	}
}

// spokenTo reports whether the upstream has closed, or has said something that nobody
// asked for, as it may while it is the session's turn: that would be taken for the
// reply to what is sent next.
func (w *worker) spokenTo(c *conn) bool {
	return !w.relay.cfg.DryRun && (w.in.buffered() || !c.alive())
}

// openEnvelope sends MAIL and the RCPTs. If MAIL or the first recipient is
// refused, that is the answer of the attempt.
func (w *worker) openEnvelope(c *conn, tx *Transaction, a *attempt) {
	for i := range tx.Rcpts {
		tx.Rcpts[i].Reply = codec.Reply{}
	}
	a.phase = PhaseMail
	if r := unsupported(c, tx); !r.IsZero() {
		a.decline(PhaseMail, r)
		return
	}
	if w.relay.cfg.DryRun {
		w.moreRecipients(c, tx, a)
		return
	}
	w.line = tx.Mail.AppendTo(w.line[:0], c.ext)
	if !c.ext.Has(codec.ExtPIPELINING) {
		if w.step(c, a, PhaseMail, w.line) {
			w.moreRecipients(c, tx, a)
		}
		return
	}
	last := w.admitRecipients(tx, a)
	for i := range last {
		w.line = tx.Rcpts[i].Args.AppendTo(w.line, c.ext)
	}
	if !w.command(c, a, PhaseMail, w.line) {
		return
	}
	if _, ok := w.expectReply(c, a, PhaseMail); ok {
		w.recipientReplies(c, tx, a, 0, last)
	}
}

// moreRecipients sends the RCPTs that have no reply yet, in one flight if the
// upstream allows for it.
func (w *worker) moreRecipients(c *conn, tx *Transaction, a *attempt) {
	first := 0
	for first < len(tx.Rcpts) && !tx.Rcpts[first].Reply.IsZero() {
		first++
	}
	if w.relay.cfg.DryRun {
		for i := first; i < len(tx.Rcpts); i++ {
			tx.Rcpts[i].Reply = replyDryRunRcpt
		}
		return
	}
	end := w.admitRecipients(tx, a)
	flight := 1
	if c.ext.Has(codec.ExtPIPELINING) {
		flight = end
	}
	for first < end && a.open() && !a.lost {
		last := min(first+flight, end)
		w.line = w.line[:0]
		for i := first; i < last; i++ {
			w.line = tx.Rcpts[i].Args.AppendTo(w.line, c.ext)
		}
		if w.command(c, a, PhaseRcpt, w.line) {
			w.recipientReplies(c, tx, a, first, last)
		}
		first = last
	}
}

// recipientReplies reads the replies to a flight of RCPTs. The refusal of a
// recipient is its own affair, except for that of a first one whom the client
// was promised, and for 421, which ends the transaction.
func (w *worker) recipientReplies(c *conn, tx *Transaction, a *attempt, first, last int) {
	for i := first; i < last; i++ {
		reply, err := w.in.next(c, true)
		switch {
		case err != nil:
			a.failed(PhaseRcpt, err)
			return
		case a.phase == PhaseMail && a.outOfStep(&reply):
			return
		case throttle.Closes(&reply), i == 0 && tx.FirstAnswered && reply.Code >= 400:
			a.refused(PhaseRcpt, reply)
			if a.lost {
				return
			}
		case reply.Code >= 300 && reply.Code < 400:
			a.failed(PhaseRcpt, fmt.Errorf("%w: RCPT answered by %q", ErrProtocol, cut(reply.String())))
			return
		}
		tx.Rcpts[i].Reply = a.note(reply)
	}
}

// admitRecipients gives the recipients of tx their places within the limits of
// the account. From the first one on that gets none, all are answered here; it
// returns the index of that one.
func (w *worker) admitRecipients(tx *Transaction, a *attempt) int {
	l := &tx.Account.Limits
	for tx.limited == nil && tx.taken < len(tx.Rcpts) {
		switch {
		case l.MaxRecipients > 0 && tx.taken >= l.MaxRecipients:
			tx.limited = &codec.ReplyTooManyRcpts
		case tx.meter != nil && !tx.meter.TakeRecipient():
			w.relay.metrics.limited[limit.RecipientsPerDay].Inc()
			now := time.Now()
			e := &limitError{limit.RecipientsPerDay, l.RecipientsPerDay, now.Truncate(time.Hour).Add(time.Hour).Sub(now)}
			r := e.reply()
			tx.limited = &r
		default:
			tx.taken++
		}
	}
	a.taken = tx.taken
	for i := tx.taken; i < len(tx.Rcpts); i++ {
		tx.Rcpts[i].Reply = *tx.limited
	}
	return tx.taken
}

// finishOpened sends the content of an opened transaction, unless it failed
// before. The attempt has the answer.
func (w *worker) finishOpened(c *conn, tx *Transaction, a *attempt) {
	switch {
	case !a.open():
		w.answerRest(c, tx, a)
	case w.relay.cfg.DryRun:
		a.reply = replyDryRun
	case tooBig(c, tx, tx.Content.Size()):
		a.decline(PhaseContent, codec.ReplyTooBig)
		a.reset = true
	default:
		w.content(c, tx, a)
	}
}

// giveUp tells the session that the transaction failed after recipients had
// been accepted; it answers the rest of it by ClientReply of the error that
// Continue gives.
func (w *worker) giveUp(c *conn, tx *Transaction, a *attempt) {
	r := w.relay
	w.answerRest(c, tx, a)
	tx.over = a.failure(c)
	res := a.result(c)
	r.metrics.message(res, r.cfg.DryRun)
	sid, id := tx.SID, tx.Account.ID
	tx.turn.Store(turnOver)
	tx.Done.RecipientsReplied(tx)
	r.logResult(sid, id, res)
}

// answerRest answers the recipients that the upstream did not.
func (w *worker) answerRest(c *conn, tx *Transaction, a *attempt) {
	reply := a.result(c).Reply
	for i := range tx.Rcpts {
		if tx.Rcpts[i].Reply.IsZero() {
			tx.Rcpts[i].Reply = reply
		}
	}
}

// awaitSession gives tx to the session and waits until it comes back: true. If
// the session aborts tx, that is released; if it takes too long, tx is the
// session's.
func (w *worker) awaitSession(tx *Transaction) bool {
	r := w.relay
	tx.worker = w
	tx.turn.Store(turnSession)
	tx.Done.RecipientsReplied(tx)
	if w.hold == nil {
		w.hold = time.NewTimer(r.cfg.HoldTimeout)
	} else {
		w.hold.Reset(r.cfg.HoldTimeout)
	}
	select {
	case <-w.turn:
		w.hold.Stop()
	case <-w.hold.C:
		if tx.turn.CompareAndSwap(turnSession, turnExpired) {
			r.metrics.expired.Inc()
			return false
		}
		<-w.turn
	case <-r.ctx.Done():
		w.hold.Stop()
		if tx.turn.CompareAndSwap(turnSession, turnExpired) {
			return false
		}
		<-w.turn
	}
	tx.worker = nil
	if tx.turn.Load() == turnAborted {
		r.metrics.aborted.Inc()
		tx.turn.Store(turnRelay)
		tx.release()
		return false
	}
	return true
}
