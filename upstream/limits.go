package upstream

import (
	"time"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

// adoptLimits puts the limits of the account of st in force.
func (s *shard) adoptLimits(st *accountState) {
	if l := &st.account.Limits; st.meter != nil || limit.Metered(l) {
		s.count(st)
	}
	st.bound()
}

// count has the mailbox of st count messages for the limits of st.
func (s *shard) count(st *accountState) {
	now := time.Now()
	if st.meter == nil {
		st.meter = limit.NewMeter(now)
		st.meter.Share(st.lease)
		if counts := s.relay.cfg.Quota; counts != nil {
			counts.Load(st.mailbox.key, func(hour int64, messages, recipients uint32) {
				st.meter.Restore(hour, messages, recipients)
				st.lease.Restore(hour, messages, recipients)
			})
		}
	}
	st.meter.Adopt(&st.account.Limits, now)
}

// limited returns the error for the n-th of the waiting transactions if limits
// on messages, or on the logins that it needs, are in its way.
func (s *shard) limited(st *accountState, n int, now time.Time) *Error {
	if st.meter != nil {
		st.meter.Advance(now)
		if kind, until, ok := st.meter.Wait(&st.account.Limits, n); ok {
			return limitErr(kind, kind.Of(&st.account.Limits), until.Sub(now))
		}
	}
	if until, ok := st.loginWait(now); ok && !st.usable() {
		return limitErr(limit.LoginsPerMinute, st.account.Limits.LoginsPerMinute, until.Sub(now))
	}
	return nil
}

func limitErr(kind limit.Kind, most int, after time.Duration) *Error {
	return &Error{Phase: throttle.PhaseQueue, Err: &failure.LimitError{Kind: kind, Max: most, After: after}}
}

// tooLong says for what a transaction waited in vain.
func (s *shard) tooLong(st *accountState, now time.Time) *Error {
	if err := s.limited(st, 1, now); err != nil {
		return err
	}
	cause := failure.ErrBusy
	if st.meter != nil && !st.meter.Starts(&st.account.Limits, 1) || st.lease.Logins() == 0 && !st.usable() { // the store has not answered
		cause = share.ErrOutage
	}
	if st.blocked {
		cause = ErrQueueFull // not the account is short of connections but the whole proxy of slots
	}
	return &Error{Phase: throttle.PhaseQueue, Err: cause}
}
