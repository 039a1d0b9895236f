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
		e.meter.Settle(e.now, e.taken, e.accepted)
		if e.accepted > 0 && s.relay.cfg.Quota != nil && !st.unsaved {
			st.unsaved = true
			s.unsaved = append(s.unsaved, st)
		}
	}
	if e.probe {
		s.probed(st, e.err, e.accepted > 0 && (e.err == nil || !e.err.MaybeAccepted()), e.now)
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
	v := err.verdict()
	if v.account < accountThrottle {
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
	case v.account == accountHold && r.hold(now, err):
		s.relay.held.Add(1)
		s.relay.metrics.restrained[reactedHold].Inc()
		log.Error("account held until an operator acts", zap.String("hint", v.hint), zap.Time("next_probe", r.probes.due))
	case v.account == accountQuota && r.quota(now, most, err):
		s.relay.metrics.restrained[reactedQuota].Inc()
		log.Warn("account paused, the provider's quota is used up", zap.Time("until", r.stop.until))
	case v.account == accountThrottle && r.slow(now, st.open()-st.count[connClosing], most, err, cfg.BackoffMin, cfg.BackoffMax):
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
// account that is held has no use for any, but for its probe.
func (st *accountState) excess(now time.Time) int {
	r := st.restraint
	if r == nil {
		return 0
	}
	open := st.open() - st.count[connClosing]
	if r.stop.kind == stopHold {
		if r.probes.out {
			open--
		}
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
	v := err.verdict().account
	if v == accountThrottle && st.usable() || v == accountHold { // the live connections are concerned too
		s.react(st, err, now)
	}
}

// tooManyLogins: new logins are unwelcome for a while, live connections are not
// concerned.
func tooManyLogins(e *Error) bool {
	v := e.verdict().account
	return e.Phase == PhaseAuth && (v == accountLogins || v == accountThrottle)
}

// tooManyLoginsShift makes the first pause after "too many logins" as long as
// that after the fifth failure of another kind.
const tooManyLoginsShift = 4
