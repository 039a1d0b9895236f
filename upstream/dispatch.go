package upstream

import (
	"errors"
	"time"

	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// onSubmit gives a new transaction a connection, or has it wait for one.
func (s *shard) onSubmit(tx *Transaction, now time.Time) {
	st := s.state(tx.Account)
	stopped := st.throttle.Suspended(now)
	probe := st.throttle.MayProbe(now) && !st.backoff.Pausing(now)
	switch {
	case s.follow(st, tx, now):
	case s.closing:
		s.fail(st, tx, &Error{Phase: throttle.PhaseQueue, Err: ErrClosed}, now)
	case st.waiting.Len() >= s.relay.cfg.MaxWaitingPerAccount:
		s.relay.desk.Metrics.QueueFull(tx.Account.Provider)
		s.fail(st, tx, &Error{Phase: throttle.PhaseQueue, Err: ErrQueueFull}, now)
	case stopped != nil && !probe:
		s.fail(st, tx, failure.Stopped(stopped, now), now)
	case st.backoff.Pausing(now) && !st.usable() && !st.outlasts(now):
		s.fail(st, tx, st.backoff.Cause(), now)
	case !s.admit(st, tx, now):
	default:
		if probe {
			s.probe(st, tx, now)
		}
		st.waiting.Push(tx)
		s.note(st.mailbox)
		s.dispatch(st, now)
		if st.waiting.Len() > 0 {
			s.touch(st, tx.Place.Submitted.Add(st.acquireTimeout()))
		}
	}
}

// admit reports whether tx may wait for its place within the limits of the
// account, which it must get before the acquire timeout. If not, it fails tx.
func (s *shard) admit(st *accountState, tx *Transaction, now time.Time) bool {
	if e := st.outage(); e != nil {
		s.fail(st, tx, e, now)
		return false
	}
	if st.meter == nil && (!st.logins.Counted() || st.usable()) {
		return true
	}
	n := st.waiting.Len() + 1
	if st.meter != nil {
		st.meter.Advance(now)
		if st.meter.Room(&st.account.Limits) >= n && (!st.logins.Counted() || st.usable()) {
			return true
		}
	}
	err := s.limited(st, n, now)
	if err == nil {
		return true
	}
	e, _ := errors.AsType[*failure.LimitError](err)
	if e.After < st.acquireTimeout() {
		return true
	}
	s.fail(st, tx, err, now)
	return false
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
	s.shed(st.mailbox)
	for st.parked.Newest() != nil && s.first(st, &st.waiting, now) != nil && s.mayStart(st, st.waiting.Head()) {
		if !s.slot() {
			s.block(st)
			return
		}
		c := s.takeParked(st, st.waiting.Head(), now)
		if c == nil {
			s.relay.gate.Release()
			break
		}
		tx := s.take(st, &st.waiting)
		if tx == nil {
			s.park(st, c, now)
			break
		}
		s.send(c, tx)
	}
	if st.fresh.Len() > st.count[connDialing]+st.count[connClosing] && !st.room(now) && st.parked.Newest() != nil {
		s.retire(st, st.parked.Oldest()) // makes room: carry.Closed comes back here
	}
	for st.mayDial(now) {
		d := &dialing{relay: s.relay, shard: s, st: st, account: st.account}
		if st.fresh.Len() > 0 {
			d.account, d.loop = st.fresh.Head().Account, st.fresh.Head().Loop
		} else {
			// Whichever connection comes first is for the head, which may be of a
			// session from before the credentials changed: any other would be
			// of no use to it, and a new one be opened for ever.
			d.account, d.loop = st.waiting.Head().Account, st.waiting.At(st.count[connDialing]).Loop
		}
		if !s.mayBegin(d, now) {
			break
		}
		if !s.slot() {
			s.block(st)
			return
		}
		if !s.login(d, now) {
			s.relay.gate.Release()
			break
		}
	}
	s.makeRoom(st, now)
	s.plan(st, now)
}

// plan has the timer look at st when something that waits may go, or has waited
// for too long.
func (s *shard) plan(st *accountState, now time.Time) {
	if st.waiting.Len()+st.fresh.Len() == 0 {
		return
	}
	s.touch(st, st.nextDue(now))
}

// take removes the first transaction of q for a connection. It takes its place
// among the messages that the limits of the account allow; nil if that has gone since
// mayStart found it.
func (s *shard) take(st *accountState, q *carry.Queue) *Transaction {
	tx := q.Head()
	if st.meter != nil && tx.Place.Meter == nil {
		placed := st.meter.Take(&st.account.Limits, tx.Places())
		if placed == 0 {
			return nil
		}
		tx.Place.Meter, tx.Place.Taken = st.meter, placed
	}
	q.Pop()
	s.note(st.mailbox)
	s.relay.desk.Waiting.Add(tx.Account.Provider, -1)
	tx.Place.Taken = max(1, tx.Place.Taken)
	return tx
}

// onDialed hands a new connection to the transaction that waits longest.
func (s *shard) onDialed(st *accountState, e *carry.Event) {
	d := e.Conn.Login.(*dialing)
	e.Conn.Login = nil
	s.endTurn(d)
	s.move(st, connDialing, connBusy)
	st.inUse.Push(e.Conn)
	st.countLogins(d.logins, e.Now)
	st.backoff = backoff{}
	q := &st.fresh
	if s.first(st, q, e.Now) == nil {
		q = &st.waiting
	}
	s.reuse(st, e.Conn, q, e.Now)
	s.callUp(e.Now)
}

// send has a transaction relayed over a busy connection.
func (s *shard) send(c *carry.Conn, tx *Transaction) {
	s.relay.give(c, tx, s.on)
}

// reuse gives the busy connection c its next transaction from q, or parks it, or has
// it closed.
func (s *shard) reuse(st *accountState, c *carry.Conn, q *carry.Queue, now time.Time) {
	if st.meter != nil {
		st.meter.Advance(now)
	}
	s.first(st, q, now)
	if s.closing || c.SaidBroken && q.Head() == nil || st.excess(now) > 0 || c.Messages > 0 && c.Worn(st.account, now) || !st.wants(c, q) ||
		st.yields(q.Head(), now) {
		s.move(st, connBusy, connClosing)
		s.relay.gate.Release()
		s.quit(c)
		s.dispatch(st, now)
		return
	}
	startable := q.Head() != nil && s.mayStart(st, q.Head())
	if startable && !s.relay.gate.Contended() {
		if tx := s.take(st, q); tx != nil {
			s.send(c, tx)
			return
		}
		startable = false
	}
	s.park(st, c, now)
	if startable { // others wait for a slot: they go first
		s.block(st)
		s.relay.gate.Enlist(s)
	}
	if st.fresh.Len() > 0 { // the one that is parked now may have to make room
		s.dispatch(st, now)
		return
	}
	s.plan(st, now)
}

// park keeps the busy connection c for later.
func (s *shard) park(st *accountState, c *carry.Conn, now time.Time) {
	s.move(st, connBusy, connParked)
	c.Reused = true // or used for the first time after a while: it may have ended
	c.Unlink()
	st.parked.Push(c)
	if idle := st.account.Limits.IdleTimeout; idle > 0 {
		s.touch(st, c.LastUsed.Add(idle))
	}
	if st.lease != nil {
		s.touch(st, now.Add(warmFor))
	}
	s.relay.gate.Release()
}

// onRetry puts back a transaction that its connection has not sent.
func (s *shard) onRetry(st *accountState, e *carry.Event) {
	if e.Open {
		s.move(st, connBusy, connClosing)
		s.quit(e.Conn)
	} else {
		s.gone(st, e.Conn, connBusy)
	}
	s.relay.gate.Release()
	s.relay.desk.Waiting.Add(e.Tx.Account.Provider, 1)
	stopped := st.throttle.Suspended(e.Now)
	switch {
	case s.closing:
		s.fail(st, e.Tx, &Error{Phase: throttle.PhaseQueue, Err: ErrClosed}, e.Now)
		return
	case s.follow(st, e.Tx, e.Now):
	case st.outage() != nil:
		s.fail(st, e.Tx, st.outage(), e.Now)
	case stopped != nil && !e.Tx.Place.Probe:
		s.fail(st, e.Tx, failure.Stopped(stopped, e.Now), e.Now)
	case st.backoff.Pausing(e.Now) && (e.Fresh || !st.usable()) && !st.outlasts(e.Now):
		s.fail(st, e.Tx, st.backoff.Cause(), e.Now)
	case e.Fresh:
		st.fresh.Push(e.Tx)
	default:
		st.waiting.PushFront(e.Tx)
		s.touch(st, e.Now.Add(st.acquireTimeout()))
	}
	s.dispatch(st, e.Now)
}

// onDialFailed fails what waits for the attempt, unless another connection may
// serve it.
func (s *shard) onDialFailed(d *dialing, err *Error, now time.Time) {
	st := d.st
	s.endTurn(d)
	s.move(st, connDialing, connGone)
	s.relay.gate.Release()
	st.countLogins(d.logins, now)
	s.backOff(st, err, now)
	for st.fresh.Len() > st.count[connDialing] {
		s.fail(st, st.fresh.Pop(), err, now)
	}
	if !st.usable() {
		s.failAll(st, err, now)
	}
	s.loginRefused(st, err, now)
	s.dispatch(st, now)
	s.share(st, now)
	s.touch(st, st.nextDue(now))
	s.callUp(now)
}

// mayStart reports whether the limits on messages let tx go. If it waits for its tenant,
// onSeats comes back to st.
func (s *shard) mayStart(st *accountState, tx *Transaction) bool {
	if !tx.Seats() {
		if !st.seatless {
			st.seatless, s.seatless = true, append(s.seatless, st)
		}
		return false
	}
	return st.meter == nil || tx.Place.Meter != nil || st.meter.Starts(&st.account.Limits, tx.Places())
}

// share has the other members of the mailbox go on, after a connection of st or a place within
// the limits has become free.
func (s *shard) share(st *accountState, now time.Time) {
	if len(st.members) < 2 {
		return
	}
	for _, m := range st.members {
		if m != st && m.waiting.Len()+m.fresh.Len() > 0 {
			s.dispatch(m, now)
		}
	}
}

// freed has the members of the mailbox of st go on, of which a connection is gone: first the one
// that has none and has waited longest, for which reuse may have closed this one.
func (s *shard) freed(st *accountState, now time.Time) {
	if st.meter != nil {
		st.meter.Advance(now)
	}
	var first *accountState
	for _, m := range st.members {
		if m.wanting(now) && (first == nil || m.next().Place.Submitted.Before(first.next().Place.Submitted)) {
			first = m
		}
	}
	if first != nil {
		s.dispatch(first, now)
	}
	s.dispatch(st, now)
	s.share(st, now)
}

// makeRoom closes a parked connection of another member if st starves.
func (s *shard) makeRoom(st *accountState, now time.Time) {
	if len(st.members) < 2 || !st.starves(now) {
		return
	}
	for _, m := range st.members {
		if c := m.parked.Oldest(); c != nil {
			s.retire(m, c)
			return
		}
	}
}
