package upstream

import (
	"errors"
	"time"

	"go.uber.org/zap"
)

const (
	// The first probe goes so long after the refusal that has led to the hold, the
	// next one so long after the first was refused, and so on.
	probeFirst, probeSecond, probeThird, probeAgain = time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour
	// loginProbe stands for all of them where the login is refused. Another
	// account or refresh token in the configuration ends a hold at once (adopt).
	loginProbe = 24 * time.Hour
	// probePatience is how long a probe may take before the next one may go.
	probePatience = time.Hour
)

// probes tell whether the provider still refuses a held account: from due on, one
// message of a client is passed on as ever, while all others are refused as
// before. No mail is made for it.
type probes struct {
	login   bool // the hold is by a refusal of AUTH
	refused int  // probes that were refused as the first message was
	due     time.Time
	out     bool // one is under way
	since   time.Time
}

// interval is how long the account rests before the next probe.
func (p *probes) interval() time.Duration {
	switch {
	case p.login:
		return loginProbe
	case p.refused == 0:
		return probeFirst
	case p.refused == 1:
		return probeSecond
	case p.refused == 2:
		return probeThird
	}
	return probeAgain
}

// wait has the next probe go after the interval.
func (p *probes) wait(now time.Time) { p.due = now.Add(p.interval()) }

// mayProbe reports whether the next message is the one that tries: never while
// an operator's order is in force.
func (r *restraint) mayProbe(now time.Time) bool {
	if r == nil || r.stop.kind != stopHold || r.order.on(now) {
		return false
	}
	p := &r.probes
	return !now.Before(p.due) && (!p.out || now.Sub(p.since) >= probePatience)
}

// probe makes tx the probe of its account.
func (s *shard) probe(st *accountState, tx *Transaction, now time.Time) {
	tx.probe = true
	p := &st.restraint.probes
	p.out, p.since = true, now
	s.relay.log.Info("account is held, one message tries whether the provider takes it", zap.String("account", st.id))
}

// probed ends a probe, which was accepted or met err. It releases the account
// unless the provider still refuses it, or has not come to say.
func (s *shard) probed(st *accountState, err *Error, accepted bool, now time.Time) {
	r := st.restraint
	if r == nil || r.stop.kind != stopHold || !r.probes.out {
		return // an operator was faster
	}
	r.probes.out = false
	if !accepted && !r.outcome(err, now) {
		return
	}
	s.relay.log.Info("account released, the provider takes its mail again", zap.String("account", st.id))
	s.absolve(st)
}

// outcome plans the next probe after one that was not accepted. It returns true
// if there is no need of one: the provider has judged the message by itself.
func (r *restraint) outcome(err *Error, now time.Time) (free bool) {
	if err == nil || err.own || err.Reply.IsZero() || !errors.Is(err.Err, ErrRefused) {
		return false // it was not asked, or did not answer: the next message tries
	}
	p := &r.probes
	switch v := err.verdict().account; {
	case v == accountHold:
		if login := err.Phase == PhaseAuth; login != p.login {
			p.login, p.refused = login, 0
		} else {
			p.refused++
		}
		r.stop.reason = quote(err)
	case err.Phase >= PhaseMail && (v == accountNone || v == accountQuota || p.login):
		return true
	}
	p.wait(now)
	return false
}
