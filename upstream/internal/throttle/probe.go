package throttle

import "time"

const (
	// The first probe goes so long after the refusal that has led to the hold, the
	// next one so long after the first was refused, and so on.
	probeFirst, probeSecond, probeThird, probeAgain = time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour
	// loginProbe stands for all of them where the login is refused. Another
	// account or refresh token in the configuration ends a hold at once.
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

// MayProbe reports whether the next message is the one that tries: never while
// an operator's order is in force.
func (t *State) MayProbe(now time.Time) bool {
	if !t.Held() || t.order.on(now) {
		return false
	}
	p := &t.probes
	return !now.Before(p.due) && (!p.out || now.Sub(p.since) >= probePatience)
}

// NextProbe returns when the next probe may go, by the clock of now if that was set;
// zero if the account is not held.
func (t *State) NextProbe(now time.Time) time.Time {
	if !t.Held() {
		return time.Time{}
	}
	return now.Add(t.probes.due.Sub(now))
}

// StartProbe has the message that is passed on now be the probe.
func (t *State) StartProbe(now time.Time) { t.probes.out, t.probes.since = true, now }

// EndProbe ends a probe, which was accepted, or met a refusal of the provider; r is
// nil if it met something else. It returns true if the provider does not refuse the
// account any more; false also if an operator was faster.
func (t *State) EndProbe(now time.Time, accepted bool, r *Refusal) (released bool) {
	if !t.Held() || !t.probes.out {
		return false
	}
	t.probes.out = false
	return accepted || t.outcome(now, r)
}

// outcome plans the next probe after one that was not accepted. It returns true
// if there is no need of one: the provider has judged the message by itself.
func (t *State) outcome(now time.Time, r *Refusal) (released bool) {
	if r == nil {
		return false // it was not asked, or did not answer: the next message tries
	}
	p := &t.probes
	switch {
	case r.Account == AccountHold:
		if login := r.Phase == PhaseAuth; login != p.login {
			p.login, p.refused = login, 0
		} else {
			p.refused++
		}
		t.stop.Reason = r.Reason
	case r.Phase >= PhaseMail && (r.Account == AccountNone || r.Account == AccountQuota || p.login):
		return true
	}
	p.wait(now)
	return false
}
