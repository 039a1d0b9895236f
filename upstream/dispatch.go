package upstream

import (
	"errors"
	"time"

	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// onSubmit gives a new transaction a connection, or has it wait for one.
func (s *shard) onSubmit(tx *Transaction, now time.Time) {
	st := s.state(tx.Account)
	stopped := st.throttle.Suspended(now)
	probe := st.throttle.MayProbe(now) && !st.backoff.Pausing(now)
	switch {
	case s.closing:
		s.fail(st, tx, &Error{Phase: throttle.PhaseQueue, Err: ErrClosed}, now)
	case st.waiting.n >= s.relay.cfg.MaxWaitingPerAccount:
		s.relay.metrics.queueFull.Inc()
		s.fail(st, tx, &Error{Phase: throttle.PhaseQueue, Err: ErrQueueFull}, now)
	case stopped != nil && !probe:
		s.fail(st, tx, failure.Stopped(stopped, now), now)
	case st.backoff.Pausing(now) && !st.usable():
		s.fail(st, tx, st.backoff.Cause(), now)
	case !s.admit(st, tx, now):
	default:
		if probe {
			s.probe(st, tx, now)
		}
		st.waiting.push(tx)
		s.dispatch(st, now)
		if st.waiting.n > 0 {
			s.touch(st, tx.submitted.Add(st.acquireTimeout()))
		}
	}
}

// dispatch starts all that waiting transactions of st allow for: first on
// parked connections, then on new ones.
func (s *shard) dispatch(st *accountState, now time.Time) {
	if s.closing {
		return
	}
	if st.meter != nil {
		st.meter.Advance(now)
	}
	for st.parked.newest != nil && s.first(st, &st.waiting, now) != nil && st.mayStart(st.waiting.head) {
		if !s.slot() {
			s.block(st)
			return
		}
		c := s.takeParked(st, st.waiting.head, now)
		if c == nil {
			s.relay.gate.release()
			break
		}
		s.send(c, s.take(st, &st.waiting))
	}
	if st.fresh.n > st.count[connDialing]+st.count[connClosing] && !st.room(now) && st.parked.newest != nil {
		s.retire(st, st.parked.oldest) // makes room: evClosed comes back here
	}
	for st.mayDial(now) {
		d := &dialing{relay: s.relay, shard: s, st: st, account: st.account}
		if st.fresh.n > 0 {
			d.account, d.loop = st.fresh.head.Account, st.fresh.head.Loop
		} else {
			// Whichever connection comes first is for the head, which may be of a
			// session from before the credentials changed: any other would be
			// of no use to it, and a new one be opened for ever.
			d.account, d.loop = st.waiting.head.Account, st.waiting.at(st.count[connDialing]).Loop
		}
		if !s.mayBegin(d, now) {
			break
		}
		if !s.slot() {
			s.block(st)
			return
		}
		s.login(d, now)
	}
	s.plan(st, now)
}

// plan has the timer look at st when something that waits may go, or has waited
// for too long.
func (s *shard) plan(st *accountState, now time.Time) {
	if st.waiting.n+st.fresh.n == 0 {
		return
	}
	s.touch(st, st.nextDue(now))
}

// take removes the first transaction of q for a connection. It takes its place
// among the messages that the limits of the account allow.
func (s *shard) take(st *accountState, q *txQueue) *Transaction {
	s.relay.waiting.Add(-1)
	tx := q.pop()
	if st.meter != nil && tx.meter == nil {
		st.meter.Take()
		tx.meter = st.meter
	}
	tx.taken = max(1, tx.taken)
	return tx
}

// block queues st for a global slot.
func (s *shard) block(st *accountState) {
	if !st.blocked {
		st.blocked = true
		s.blocked = append(s.blocked, st)
	}
}

// onDialed hands a new connection to the transaction that waits longest.
func (s *shard) onDialed(e *event) {
	st := e.st
	s.move(st, connDialing, connBusy)
	st.inUse.push(e.c)
	st.countLogins(e.dial.logins, e.now)
	st.backoff = backoff{}
	q := &st.fresh
	if s.first(st, q, e.now) == nil {
		q = &st.waiting
	}
	s.reuse(e, q)
}

// onDone takes back a connection.
func (s *shard) onDone(e *event) {
	s.learn(e)
	s.reuse(e, &e.st.waiting)
}

// send has a transaction relayed over a busy connection.
func (s *shard) send(c *conn, tx *Transaction) {
	c.order, c.tx = orderRelay, tx
	s.relay.give(c, s.on)
}

// reuse gives the busy connection of e its next transaction from q, or parks it, or has
// it closed.
func (s *shard) reuse(e *event, q *txQueue) {
	st, c := e.st, e.c
	if st.meter != nil {
		st.meter.Advance(e.now)
	}
	s.first(st, q, e.now)
	if s.closing || c.broken && q.head == nil || st.excess(e.now) > 0 || c.messages > 0 && c.worn(st.account, e.now) || !st.wants(c, q) {
		s.move(st, connBusy, connClosing)
		s.relay.gate.release()
		s.quit(c)
		s.dispatch(st, e.now)
		return
	}
	startable := q.head != nil && st.mayStart(q.head)
	if startable && !s.relay.gate.contended() {
		s.send(c, s.take(st, q))
		return
	}
	s.move(st, connBusy, connParked)
	c.reused = true // or used for the first time after a while: it may have ended
	c.unlink()
	st.parked.push(c)
	if idle := st.account.Limits.IdleTimeout; idle > 0 {
		s.touch(st, c.lastUsed.Add(idle))
	}
	s.relay.gate.release()
	if startable { // others wait for a slot: they go first
		s.block(st)
		s.relay.gate.enlist(s)
	}
	if st.fresh.n > 0 { // the one that is parked now may have to make room
		s.dispatch(st, e.now)
		return
	}
	s.plan(st, e.now)
}

// onRetry puts back a transaction whose connection failed before anything was
// lost.
func (s *shard) onRetry(e *event) {
	st := e.st
	s.gone(st, e.c, connBusy)
	s.relay.gate.release()
	s.relay.waiting.Add(1)
	stopped := st.throttle.Suspended(e.now)
	switch {
	case s.closing:
		s.fail(st, e.tx, &Error{Phase: throttle.PhaseQueue, Err: ErrClosed}, e.now)
		return
	case stopped != nil && !e.tx.probe:
		s.fail(st, e.tx, failure.Stopped(stopped, e.now), e.now)
	case st.backoff.Pausing(e.now) && (e.fresh || !st.usable()):
		s.fail(st, e.tx, st.backoff.Cause(), e.now)
	case e.fresh:
		st.fresh.push(e.tx)
	default:
		st.waiting.pushFront(e.tx)
		s.touch(st, e.now.Add(st.acquireTimeout()))
	}
	s.dispatch(st, e.now)
}

// onDialFailed fails what waits for the attempt, unless another connection may
// serve it.
func (s *shard) onDialFailed(e *event) {
	st := e.st
	s.move(st, connDialing, connGone)
	s.relay.gate.release()
	st.countLogins(e.dial.logins, e.now)
	s.backOff(st, e.err, e.now)
	for st.fresh.n > st.count[connDialing] {
		s.fail(st, st.fresh.pop(), e.err, e.now)
	}
	if !st.usable() {
		s.failAll(st, e.err, e.now)
	}
	s.loginRefused(st, e.err, e.now)
	s.dispatch(st, e.now)
	s.touch(st, st.nextDue(e.now))
}

// first returns the first transaction of q that is still wanted, nil if there is
// none. It fails those before it, which were abandoned.
func (s *shard) first(st *accountState, q *txQueue, now time.Time) *Transaction {
	for q.head != nil && q.head.abandoned.Load() {
		s.fail(st, q.pop(), &Error{Phase: throttle.PhaseQueue, Err: failure.ErrAbandoned}, now)
	}
	return q.head
}

// failAll fails all transactions that wait.
func (s *shard) failAll(st *accountState, err *Error, now time.Time) {
	for st.fresh.n > 0 {
		s.fail(st, st.fresh.pop(), err, now)
	}
	for st.waiting.n > 0 {
		s.fail(st, st.waiting.pop(), err, now)
	}
}

// fail ends a transaction that has no connection.
func (s *shard) fail(st *accountState, tx *Transaction, err *Error, now time.Time) {
	s.relay.waiting.Add(-1)
	if tx.probe {
		s.probed(st, err, false, now)
	}
	if tx.meter != nil {
		tx.meter.Settle(now, tx.taken, 0)
		tx.meter = nil
	}
	if e, ok := errors.AsType[*failure.LimitError](err.Err); ok {
		s.relay.metrics.limited[e.Kind].Inc()
	}
	s.relay.finish(tx, Result{Reply: err.ClientReply(), Err: err, Phase: err.Phase, Upstream: st.account.SMTP.String()}, now, s.on)
}
