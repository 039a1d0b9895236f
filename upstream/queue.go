package upstream

import (
	"errors"
	"time"

	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// first returns the first transaction of q that is still wanted, nil if there is
// none. It fails those before it, which were abandoned.
func (s *shard) first(st *accountState, q *carry.Queue, now time.Time) *Transaction {
	for q.Head() != nil && q.Head().Abandoned() {
		s.fail(st, q.Pop(), &Error{Phase: throttle.PhaseQueue, Err: failure.ErrAbandoned}, now)
	}
	return q.Head()
}

// failAll fails all transactions that wait.
func (s *shard) failAll(st *accountState, err *Error, now time.Time) {
	for st.fresh.Len() > 0 {
		s.fail(st, st.fresh.Pop(), err, now)
	}
	for st.waiting.Len() > 0 {
		s.fail(st, st.waiting.Pop(), err, now)
	}
}

// fail ends a transaction that has no connection.
func (s *shard) fail(st *accountState, tx *Transaction, err *Error, now time.Time) {
	s.note(st.mailbox)
	s.relay.desk.Waiting.Add(tx.Account.Provider, -1)
	if tx.Place.Probe {
		s.probed(st, err, false, now)
	}
	if tx.Place.Meter != nil {
		tx.Place.Meter.Settle(now, tx.Place.Taken, 0)
		tx.Place.Meter = nil
	}
	if e, ok := errors.AsType[*failure.LimitError](err.Err); ok {
		s.relay.desk.Metrics.Limited(tx.Account.Provider, e.Kind)
	}
	s.relay.desk.Finish(tx, carry.Failed(err, st.account.SMTP.String()), now, s.on)
}
