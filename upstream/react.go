package upstream

import (
	"errors"
	"time"

	"go.uber.org/zap"
)

// endpointPause is how long an account waits for an endpoint whose breaker is
// open before it asks again.
const endpointPause = time.Second

// learn takes what a transaction tells about the account.
func (s *shard) learn(e *event) {
	st := e.st
	if e.meter != nil {
		e.meter.settle(e.now, e.taken, e.accepted)
		if e.accepted > 0 && s.relay.cfg.Quota != nil && !st.unsaved {
			st.unsaved = true
			s.unsaved = append(s.unsaved, st)
		}
	}
	switch {
	case e.err != nil:
		s.react(st, e.err, e.now)
	case st.restraint != nil && e.accepted > 0:
		st.restraint.success()
		s.forgive(st, e.now)
	}
}

// react holds the account back as far as a refusal asks for it. What waits is
// refused if the account is stopped.
func (s *shard) react(st *accountState, err *Error, now time.Time) {
	v := judge(err)
	if v == verdictNone {
		return
	}
	cfg := &s.relay.cfg
	r := st.restraint
	if r == nil {
		r = &restraint{recovery: cfg.ThrottleRecovery}
		st.restraint = r
	}
	log := s.relay.log.With(zap.String("account", st.id), zap.String("reply", quote(err)))
	most := st.account.Limits.MaxConnections
	switch {
	case v == verdictHarm && r.hold(now, err):
		s.relay.held.Add(1)
		s.relay.metrics.restrained[reactedHold].Inc()
		log.Error("account held until an operator acts")
	case v == verdictQuota && r.quota(now, most, err):
		s.relay.metrics.restrained[reactedQuota].Inc()
		log.Warn("account paused, the provider's quota is used up", zap.Time("until", r.stop.until))
	case v == verdictSlow && r.slow(now, st.open()-st.count[connClosing], most, err, cfg.BackoffMin, cfg.BackoffMax):
		s.relay.metrics.restrained[reactedSlow].Inc()
		log.Info("account throttled", zap.Int("connections", r.max))
	}
	s.enforce(st, now)
}

// enforce puts a restraint in force that has become tighter.
func (s *shard) enforce(st *accountState, now time.Time) {
	if stopped := st.restraint.stopped(now); stopped != nil {
		s.failAll(st, stopped.err(now), now)
	}
	for st.excess(now) > 0 && st.parked.newest != nil {
		s.retire(st, st.parked.popOldest())
	}
	s.touch(st, st.nextDue(now))
}

// forgive drops a restraint of which nothing is left.
func (s *shard) forgive(st *accountState, now time.Time) {
	if st.restraint != nil && st.restraint.over(now) {
		st.restraint = nil
	}
}

// absolve ends what the provider's refusals have led to.
func (s *shard) absolve(st *accountState) {
	r := st.restraint
	if r == nil {
		return
	}
	if r.stop.kind == stopHold {
		s.relay.held.Add(-1)
	}
	st.restraint = nil
	if r.order.kind != stopNone {
		st.restraint = &restraint{recovery: r.recovery, order: r.order}
	}
}

// excess is how many connections there are above what a restraint allows; an
// account that is held has no use for any.
func (st *accountState) excess(now time.Time) int {
	r := st.restraint
	if r == nil {
		return 0
	}
	open := st.open() - st.count[connClosing]
	if r.stop.kind == stopHold {
		return open
	}
	limit := r.cap(now)
	if limit <= 0 {
		return 0
	}
	return open - limit
}

// limit is cap for an account that may have no restraint.
func (r *restraint) limit(now time.Time) int {
	if r == nil {
		return 0
	}
	return r.cap(now)
}

// backOff has an account pause that failed to connect or to log in.
func (s *shard) backOff(st *accountState, err *Error, now time.Time) {
	cfg := &s.relay.cfg
	switch {
	case errors.Is(err, ErrEndpointDown):
		st.backoff.wait(err, now.Add(min(endpointPause, cfg.BackoffMax)))
		return
	case tooManyLogins(err):
		s.relay.metrics.restrained[reactedLogins].Inc()
		st.backoff.fail(err, now, min(cfg.BackoffMin<<tooManyLoginsShift, cfg.BackoffMax), cfg.BackoffMax)
	default:
		st.backoff.fail(err, now, cfg.BackoffMin, cfg.BackoffMax)
	}
}

// loginRefused is react for a refusal before MAIL, which backOff has dealt with
// as far as logins are concerned.
func (s *shard) loginRefused(st *accountState, err *Error, now time.Time) {
	slow := st.usable() && (err.Reply.Code == 421 || err.Reply.Code == 432)
	if slow || judge(err) == verdictHarm { // the live connections are concerned too
		s.react(st, err, now)
	}
}

// tooManyLoginsShift makes the first pause after "too many logins" as long as
// that after the fifth failure of another kind.
const tooManyLoginsShift = 4
