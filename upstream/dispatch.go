package upstream

import "time"

// onSubmit gives a new transaction a connection, or has it wait for one.
func (s *shard) onSubmit(tx *Transaction, now time.Time) {
	st := s.state(tx.Account)
	switch {
	case s.closing:
		s.fail(st, tx, &Error{Phase: PhaseQueue, Err: ErrClosed}, now)
	case st.waiting.n >= s.relay.cfg.MaxWaitingPerAccount:
		s.relay.metrics.queueFull.Inc()
		s.fail(st, tx, &Error{Phase: PhaseQueue, Err: ErrQueueFull}, now)
	case st.backoff.pausing(now) && !st.usable():
		s.fail(st, tx, st.backoff.cause, now)
	default:
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
	for st.waiting.n > 0 && st.parked.newest != nil {
		if !s.relay.gate.acquire(s) {
			s.block(st)
			return
		}
		c := s.takeParked(st, st.waiting.head, now)
		if c == nil {
			s.relay.gate.release()
			break
		}
		s.start(task{kind: taskRelay, st: st, conn: c, tx: s.take(&st.waiting)})
	}
	if st.fresh.n > st.count[connDialing]+st.count[connClosing] && !st.room() && st.parked.newest != nil {
		s.retire(st, st.parked.popOldest()) // makes room: evClosed comes back here
	}
	for st.mayDial(now) {
		if !s.relay.gate.acquire(s) {
			s.block(st)
			return
		}
		a := st.account
		if st.fresh.n > 0 {
			a = st.fresh.head.Account
		} else if st.count[connDialing] == 0 {
			a = st.waiting.head.Account
		}
		s.move(st, connGone, connDialing)
		s.start(task{kind: taskDial, st: st, account: a})
	}
	if st.waiting.n+st.fresh.n > 0 && st.backoff.pausing(now) {
		s.touch(st, st.backoff.until)
	}
}

// take removes the first transaction of q for a worker.
func (s *shard) take(q *txQueue) *Transaction {
	s.relay.waiting.Add(-1)
	return q.pop()
}

// block queues st for a global slot.
func (s *shard) block(st *accountState) {
	if !st.blocked {
		st.blocked = true
		s.blocked = append(s.blocked, st)
	}
}

// onSlot gives slots to the accounts that wait for one, in turn.
func (s *shard) onSlot(now time.Time) {
	for n := len(s.blocked); n > 0; n-- {
		st := s.blocked[0]
		s.blocked = append(s.blocked[:0], s.blocked[1:]...)
		st.blocked = false
		s.dispatch(st, now)
		if st.blocked {
			return // no slot left
		}
	}
}

// onDialed hands a new connection to the transaction that waits longest.
func (s *shard) onDialed(e *event) {
	st := e.st
	s.move(st, connDialing, connBusy)
	st.backoff = backoff{}
	q := &st.fresh
	if q.n == 0 {
		q = &st.waiting
	}
	s.settle(e, q)
}

// onDone takes back a connection and its worker.
func (s *shard) onDone(e *event) {
	if e.c == nil {
		s.move(e.st, connBusy, connGone)
		s.relay.gate.release()
		s.park(e.w, e.now)
		s.dispatch(e.st, e.now)
		return
	}
	s.settle(e, &e.st.waiting)
}

// settle gives the worker and the busy connection of e the first transaction
// of q, or parks both, or has the worker close the connection.
func (s *shard) settle(e *event, q *txQueue) {
	st, c := e.st, e.c
	if s.closing || st.gone || !c.suits(st.account) || c.messages > 0 && c.worn(st.account, e.now) ||
		q.head != nil && !c.suits(q.head.Account) {
		s.move(st, connBusy, connClosing)
		s.relay.gate.release()
		e.w.tasks <- task{kind: taskQuit, st: st, conn: c}
		s.dispatch(st, e.now)
		return
	}
	if q.head != nil && !s.relay.gate.contended() {
		e.w.tasks <- task{kind: taskRelay, st: st, conn: c, tx: s.take(q)}
		return
	}
	s.move(st, connBusy, connParked)
	st.parked.push(c)
	if idle := st.account.Limits.IdleTimeout; idle > 0 {
		s.touch(st, c.lastUsed.Add(idle))
	}
	s.park(e.w, e.now)
	s.relay.gate.release()
	if st.waiting.n > 0 { // others wait for a slot: they go first
		s.block(st)
		s.relay.gate.enlist(s)
	}
}

// onRetry puts back a transaction whose connection failed before anything was
// lost.
func (s *shard) onRetry(e *event) {
	st := e.st
	s.move(st, connBusy, connGone)
	s.relay.gate.release()
	s.park(e.w, e.now)
	s.relay.waiting.Add(1)
	switch {
	case s.closing:
		s.fail(st, e.tx, &Error{Phase: PhaseQueue, Err: ErrClosed}, e.now)
		return
	case st.backoff.pausing(e.now) && (e.fresh || !st.usable()):
		s.fail(st, e.tx, st.backoff.cause, e.now)
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
	s.park(e.w, e.now)
	st.backoff.fail(e.err, e.now, s.relay.cfg.BackoffMin, s.relay.cfg.BackoffMax)
	for st.fresh.n > st.count[connDialing] {
		s.fail(st, st.fresh.pop(), e.err, e.now)
	}
	if !st.usable() {
		s.failAll(st, e.err, e.now)
	}
	s.dispatch(st, e.now)
	if t := st.nextDue(e.now); !t.IsZero() {
		s.touch(st, t)
	}
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
	s.relay.finish(tx, Result{Reply: clientReply(err), Err: err, Phase: err.Phase, Upstream: st.account.SMTP.String()}, now)
}
