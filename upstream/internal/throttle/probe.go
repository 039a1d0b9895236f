package throttle

import "time"

const (
	// The first probe may go probeFirst after the refusal that led to the hold, the
	// second one probeSecond after the refusal of the first, and so on.
	probeFirst, probeSecond, probeThird, probeAgain = time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour
	// loginProbe replaces all of them where the provider refuses the login: other
	// credentials in the accounts file end such a hold at once.
	loginProbe = 24 * time.Hour
	// probePatience is how long a probe keeps the next one waiting.
	probePatience = time.Hour
)

// probes find out whether the provider still refuses a held account: from due on one
// message of a client is passed on, while all others are refused. The proxy makes no
// mail of its own for that.
type probes struct {
	login   bool // a refusal of AUTH led to the hold
	refused int  // probes that met a refusal of the same kind
	due     time.Time
	out     bool      // a probe is under way
	since   time.Time // when it started
}

// interval is the time from a refusal to the next probe.
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

// wait plans the next probe.
func (p *probes) wait(now time.Time) { p.due = now.Add(p.interval()) }

// MayProbe reports whether the next message may be a probe.
func (t *State) MayProbe(now time.Time) bool {
	if !t.Held() {
		return false
	}
	p := &t.probes
	return !now.Before(p.due) && (!p.out || now.Sub(p.since) >= probePatience)
}

// NextProbe returns the time of the next probe, in the wall clock of now: that clock
// may have been set since the hold began. It is zero if the account is not held.
func (t *State) NextProbe(now time.Time) time.Time {
	if !t.Held() {
		return time.Time{}
	}
	return now.Add(t.probes.due.Sub(now))
}

// StartProbe notes that a probe is sent.
func (t *State) StartProbe(now time.Time) { t.probes.out, t.probes.since = true, now }

// EndProbe ends a probe: the provider accepted it, or refused it with r. r is nil if
// neither happened, and the next message is a probe then. EndProbe returns true if the
// provider does not refuse the account any more, and false if the hold goes on or has
// ended before.
func (t *State) EndProbe(now time.Time, accepted bool, r *Refusal) (released bool) {
	if !t.Held() || !t.probes.out {
		return false
	}
	t.probes.out = false
	return accepted || t.outcome(now, r)
}

// outcome plans the probe after one that the provider did not accept. It returns true
// if there is no need for another: the refusal concerns the message alone.
func (t *State) outcome(now time.Time, r *Refusal) (released bool) {
	if r == nil {
		return false // the provider was not asked or did not answer
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
