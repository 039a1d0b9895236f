package throttle

import "time"

const (
	// quotaStep is added to the pause with each quota refusal in a row, up to
	// quotaMost. After that the day of every provider is over.
	quotaStep = time.Hour
	quotaMost = 24 * time.Hour
)

// Refusal is a provider's refusal, as far as a State depends on it.
type Refusal struct {
	Phase   Phase
	Account AccountEffect // of its Verdict
	Reason  string        // the reply, safe to show to clients and operators
}

// State is the throttle of an account, with its suspensions by the provider's
// refusals. An account without a refusal has none: Limit, Excess, Suspended, Held,
// MayProbe, NextProbe and EndProbe take a nil receiver.
//
// A refusal that asks for less halves the connections, down to one. They grow by one
// in each recovery time. A refusal at one connection brings a pause, which doubles
// with each such refusal in a row. Refusals of transactions that ran at the same time
// count once.
type State struct {
	recovery time.Duration

	max   int       // connections allowed at since; 0: as many as the limits say
	goal  int       // where the growth ends
	since time.Time // of the last decrease

	floors  int // refusals in a row at one connection
	strikes int // quota refusals in a row
	stop    Suspension
	probes  probes // while held
}

// New returns a throttle that allows one connection more in each recovery time.
func New(recovery time.Duration) *State { return &State{recovery: recovery} }

// Limit returns the number of connections that the throttle allows; 0: it sets no
// limit.
func (t *State) Limit(now time.Time) int {
	if t == nil || t.max == 0 {
		return 0
	}
	if n := t.max + int(max(0, now.Sub(t.since)/t.recovery)); n < t.goal || now.Before(t.since) {
		return n
	}
	return 0
}

// Slow halves the connections of an account that has open of them, of most by its
// limits, and returns the number allowed from now on; 0 if the refusal counts with
// the one before. At one connection the account pauses instead, at first for the
// shortest time, and never for more than the longest.
func (t *State) Slow(now time.Time, open, most int, reason string, shortest, longest time.Duration) int {
	if t.max > 0 && now.Sub(t.since) < t.recovery/wavesPerRecovery {
		return 0 // the connections were halved for this wave of refusals
	}
	capped := t.Limit(now)
	if capped == 0 {
		t.goal = max(most, open)
		capped = t.goal
	}
	floor := t.max > 0 && capped == 1
	t.max, t.since = max(1, min(capped, open)/2), now
	if floor {
		pause := min(longest, shortest<<min(t.floors, 16))
		t.floors++
		t.suspend(Suspension{Slowed, now.Add(pause), reason}, now)
	}
	return t.max
}

// wavesPerRecovery: all refusals within this fraction of the recovery time count
// once.
const wavesPerRecovery = 15

// Quota suspends the account after a quota refusal, for an hour more with each one in
// a row, and reports whether it did: one pause runs at a time. The first message
// after the pause goes alone.
func (t *State) Quota(now time.Time, most int, reason string) bool {
	if t.stop.Kind == QuotaUsedUp && t.stop.on(now) {
		return false
	}
	t.strikes++
	until := now.Add(min(time.Duration(t.strikes)*quotaStep, quotaMost))
	t.suspend(Suspension{QuotaUsedUp, until, reason}, now)
	t.max, t.goal, t.since = 1, max(most, 1), until
	return true
}

// Hold suspends the account until an operator ends that or a probe is accepted. It
// returns false if the account is held already.
func (t *State) Hold(now time.Time, r Refusal) bool {
	if t.Held() {
		return false
	}
	t.suspend(Suspension{Kind: Held, Reason: r.Reason}, now)
	t.probes = probes{login: r.Phase == PhaseAuth}
	t.probes.wait(now)
	return true
}

// Held reports whether the account is held.
func (t *State) Held() bool { return t != nil && t.stop.Kind == Held }

// suspend puts s in force, unless a graver suspension is.
func (t *State) suspend(s Suspension, now time.Time) {
	if !t.stop.on(now) || s.Kind >= t.stop.Kind {
		t.stop = s
	}
}

// Success resets the counts of refusals in a row.
func (t *State) Success() { t.floors, t.strikes = 0, 0 }

// Suspended returns the suspension in force, nil if there is none.
func (t *State) Suspended(now time.Time) *Suspension {
	if t == nil || !t.stop.on(now) {
		return nil
	}
	return &t.stop
}

// ByProvider returns the last suspension by the provider's refusals, over or not.
func (t *State) ByProvider() Suspension { return t.stop }

// Excess returns how many of the open connections are too many. A held account needs
// none except for its probe.
func (t *State) Excess(now time.Time, open int) int {
	if t.Held() {
		if t.probes.out {
			open--
		}
		return open
	}
	if limit := t.Limit(now); limit > 0 {
		return open - limit
	}
	return 0
}

// Recovery returns the time in which the account gets one connection more.
func (t *State) Recovery() time.Duration { return t.recovery }

// Over reports whether the throttle can be forgotten: it has no effect any more, and
// the next refusal will not count as one in a row.
func (t *State) Over(now time.Time) bool {
	if t.Suspended(now) != nil || t.Limit(now) > 0 {
		return false
	}
	if t.strikes > 0 { // the next quota refusal counts as one in a row
		return now.Sub(t.since) >= quotaMost
	}
	return true
}
