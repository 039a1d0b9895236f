package upstream

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/counters"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// endpointPause is how long an account waits for an endpoint whose breaker is
// open before it asks again.
const endpointPause = time.Second

// learn takes what a transaction tells about the account.
func (s *shard) learn(st *accountState, e *carry.Event) {
	if e.Meter != nil {
		e.Meter.Settle(e.Now, e.Taken, e.Counted)
		if e.Counted > 0 {
			s.save(st)
		}
	}
	if e.Probe {
		s.probed(st, e.Err, e.Accepted > 0 && (e.Err == nil || !e.Err.MaybeAccepted()), e.Now)
	}
	switch {
	case e.Err != nil:
		s.react(st, e.Err, e.Now)
	case st.throttle != nil && e.Accepted > 0:
		st.throttle.Success()
		s.forgive(st, e.Now)
	}
}

// react holds the account back as far as a refusal asks for it. What waits is
// refused if the account is stopped.
func (s *shard) react(st *accountState, err *Error, now time.Time) {
	v := err.Verdict()
	if v.Account < throttle.AccountThrottle {
		return
	}
	cfg := &s.relay.cfg
	if st.throttle == nil {
		st.throttle = throttle.New(cfg.ThrottleRecovery)
	}
	t, reason, most := st.throttle, failure.Quote(err), st.account.Limits.MaxConnections
	log := s.relay.log.With(append(err.Hint.Or(v.Hint).Fields(), zap.String("account", st.id), zap.String("reply", reason))...)
	switch v.Account {
	case throttle.AccountHold:
		if t.Hold(now, throttle.Refusal{Phase: err.Phase, Account: v.Account, Reason: reason}) {
			s.relay.held.Add(1)
			s.relay.metrics.Restrained(st.account.Provider, counters.Hold)
			log.Error("account held until an operator acts", zap.String("upstream", st.account.SMTP.String()), zap.Stringer("phase", err.Phase),
				zap.Time("next_probe", t.NextProbe(now)))
		}
	case throttle.AccountQuota:
		if t.Quota(now, most, reason) {
			s.relay.metrics.Restrained(st.account.Provider, counters.Quota)
			log.Warn("account paused, the provider's quota is used up", zap.Time("until", t.ByProvider().Until))
		}
	case throttle.AccountThrottle:
		if n := t.Slow(now, st.open()-st.count[connClosing], most, reason, cfg.BackoffMin, cfg.BackoffMax); n > 0 {
			s.relay.metrics.Restrained(st.account.Provider, counters.Slow)
			log.Info("account throttled", zap.Int("connections", n))
		}
	}
	s.enforce(st, now)
}

// enforce puts a throttle in force that has become tighter.
func (s *shard) enforce(st *accountState, now time.Time) {
	if stopped := st.throttle.Suspended(now); stopped != nil {
		s.failAll(st, failure.Stopped(stopped, now), now)
	}
	for st.excess(now) > 0 && st.parked.Newest() != nil {
		s.retire(st, st.parked.Oldest())
	}
	s.touch(st, st.nextDue(now))
}

// forgive drops a throttle of which nothing is left.
func (s *shard) forgive(st *accountState, now time.Time) {
	if st.throttle != nil && st.throttle.Over(now) {
		st.throttle = nil
	}
}

// absolve ends what the provider's refusals have led to.
func (s *shard) absolve(st *accountState) {
	if st.throttle.Held() {
		s.relay.held.Add(-1)
	}
	st.throttle = nil
}

// probe makes tx the probe of its account.
func (s *shard) probe(st *accountState, tx *Transaction, now time.Time) {
	tx.Place.Probe = true
	st.throttle.StartProbe(now)
	s.relay.log.Info("account is held, one message tries whether the provider takes it", zap.String("account", st.id))
}

// probed ends a probe, which was accepted or met err. It releases the account
// unless the provider still refuses it, or has not come to say.
func (s *shard) probed(st *accountState, err *Error, accepted bool, now time.Time) {
	if st.throttle.EndProbe(now, accepted, err.Refusal()) {
		s.relay.log.Info("account released, the provider takes its mail again", zap.String("account", st.id))
		s.absolve(st)
	}
}

// backOff has an account pause that failed to connect or to log in.
func (s *shard) backOff(st *accountState, err *Error, now time.Time) {
	cfg := &s.relay.cfg
	switch {
	case errors.Is(err, failure.ErrEndpointDown):
		st.backoff.Wait(err, now.Add(min(endpointPause, cfg.BackoffMax)))
		return
	case tooManyLogins(err):
		s.relay.metrics.Restrained(st.account.Provider, counters.Logins)
		st.backoff.Fail(err, now, min(cfg.BackoffMin<<tooManyLoginsShift, cfg.BackoffMax), cfg.BackoffMax)
	default:
		st.backoff.Fail(err, now, cfg.BackoffMin, cfg.BackoffMax)
	}
}

// loginRefused is react for a refusal before MAIL, which backOff has dealt with
// as far as logins are concerned.
func (s *shard) loginRefused(st *accountState, err *Error, now time.Time) {
	v := err.Verdict().Account
	if v == throttle.AccountThrottle && st.usable() || v == throttle.AccountHold { // the live connections are concerned too
		s.react(st, err, now)
	}
}

// tooManyLogins: new logins are unwelcome for a while, live connections are not
// concerned.
func tooManyLogins(e *Error) bool {
	v := e.Verdict().Account
	return e.Phase == throttle.PhaseAuth && (v == throttle.AccountLogins || v == throttle.AccountThrottle)
}

// tooManyLoginsShift makes the first pause after "too many logins" as long as
// that after the fifth failure of another kind.
const tooManyLoginsShift = 4
