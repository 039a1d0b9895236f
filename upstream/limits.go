package upstream

import (
	"errors"
	"time"

	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

// adoptLimits puts the limits of the account of st in force.
func (s *shard) adoptLimits(st *accountState) {
	l := &st.account.Limits
	if st.meter == nil && !limit.Metered(l) {
		return
	}
	now := time.Now()
	if st.meter == nil {
		st.meter = limit.NewMeter(now)
		if counts := s.relay.cfg.Quota; counts != nil {
			counts.Load(st.id, st.meter.Restore)
		}
	}
	st.meter.Adopt(l, now)
}

// limited returns the error for the n-th of the waiting transactions if limits
// on messages, or on the logins that it needs, are in its way.
func (s *shard) limited(st *accountState, n int, now time.Time) *Error {
	if st.meter != nil {
		st.meter.Advance(now)
		if kind, until, ok := st.meter.Wait(n); ok {
			return limitErr(kind, st.meter.Limit(kind), until.Sub(now))
		}
	}
	if !st.usable() && !st.mayLogin(now) {
		return limitErr(limit.LoginsPerMinute, st.account.Limits.LoginsPerMinute, st.unblocked(now).Sub(now))
	}
	return nil
}

func limitErr(kind limit.Kind, most int, after time.Duration) *Error {
	return &Error{Phase: throttle.PhaseQueue, Err: &failure.LimitError{Kind: kind, Max: most, After: after}}
}

// admit reports whether tx may wait for its place within the limits of the
// account, which it must get before the acquire timeout. If not, it fails tx.
func (s *shard) admit(st *accountState, tx *Transaction, now time.Time) bool {
	if st.meter == nil && (st.logins == nil || st.usable()) {
		return true
	}
	n := st.waiting.n + 1
	if st.meter != nil {
		st.meter.Advance(now)
		if st.meter.Room() >= n && (st.logins == nil || st.usable()) {
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

// mayStart reports whether the limits on messages let tx go.
func (st *accountState) mayStart(tx *Transaction) bool {
	return st.meter == nil || tx.meter != nil || st.meter.Room() > 0
}

// startable is how many of the waiting transactions the limits on messages let
// go. Those that are tried again, at the head, have their place already.
func (st *accountState) startable() int {
	if st.meter == nil {
		return st.waiting.n
	}
	n := max(0, st.meter.Room())
	if tx := st.waiting.head; tx != nil && tx.meter != nil {
		n++
	}
	return n
}

// mayLogin reports whether the limit on logins allows one more.
func (st *accountState) mayLogin(now time.Time) bool {
	most := st.account.Limits.LoginsPerMinute
	if most <= 0 || st.logins == nil {
		return most <= 0 || st.count[connDialing] < most
	}
	st.logins.Advance(now)
	return st.logins.Sum()+st.count[connDialing] < most
}

// countLogins counts n logins that have ended.
func (st *accountState) countLogins(n int, now time.Time) {
	if st.account.Limits.LoginsPerMinute <= 0 || n == 0 {
		return
	}
	if st.logins == nil {
		st.logins = limit.NewWindow(time.Minute, 60)
	}
	st.logins.Advance(now)
	st.logins.Add(n)
}

// unblocked is when a limit lets a waiting transaction go, as far as that is
// known; zero: no limit is in its way.
func (st *accountState) unblocked(now time.Time) (t time.Time) {
	switch {
	case st.meter != nil && st.startable() <= 0 && st.fresh.n == 0:
		_, t, _ = st.meter.Wait(1)
	case !st.mayLogin(now):
		t = now.Add(time.Second)
		if st.logins != nil && st.logins.Sum() > 0 {
			t = st.logins.Dropped(1)
		}
	case st.throttle.Limit(now) > 0:
		t = now.Add(st.throttle.Recovery())
	}
	return t
}

// tooLong says for what a transaction waited in vain.
func (s *shard) tooLong(st *accountState, now time.Time) *Error {
	if err := s.limited(st, 1, now); err != nil {
		return err
	}
	cause := failure.ErrBusy
	if st.blocked {
		cause = ErrQueueFull // not the account is short of connections but the whole proxy of slots
	}
	return &Error{Phase: throttle.PhaseQueue, Err: cause}
}
