package throttle

import "time"

const (
	// quotaStep lengthens the pause after each quota refusal in a row, up to
	// quotaMost, after which every provider's day is over.
	quotaStep = time.Hour
	quotaMost = 24 * time.Hour
)

// Refusal is what a State needs to know of a provider's refusal.
type Refusal struct {
	Phase   Phase
	Account AccountEffect // of its Verdict
	Reason  string        // the reply, fit to be shown
}

// State is how an account is held back because of the provider's replies
// or an operator's order. An account that was never refused has none.
//
// Concurrency is halved at each refusal that asks for less, down to one
// connection, and grows by one connection in each recovery time. A refusal at
// one connection brings a pause that doubles. The refusals of transactions that
// ran at the same time count once.
type State struct {
	recovery time.Duration

	max   int       // connections allowed at since; 0: as the limits say
	goal  int       // where the growth ends
	since time.Time // of the last decrease

	floors  int // refusals in a row at one connection
	strikes int // quota refusals in a row
	// stop is by the provider's replies, order by the operator.
	stop, order Suspension
	probes      probes // with Held
}

// New returns the throttle of an account that gets one connection more in each
// recovery time.
func New(recovery time.Duration) *State { return &State{recovery: recovery} }

// Limit returns how many connections are allowed; 0 is no limit.
func (t *State) Limit(now time.Time) int {
	if t == nil || t.max == 0 {
		return 0
	}
	if n := t.max + int(max(0, now.Sub(t.since)/t.recovery)); n < t.goal || now.Before(t.since) {
		return n
	}
	return 0
}

// Slow lowers the concurrency of an account that has open connections and may
// have most of them, and returns how many it may have now; 0 if the refusal counts
// with the one before. At one connection it pauses, for longer each time, between
// the two durations.
func (t *State) Slow(now time.Time, open, most int, reason string, shortest, longest time.Duration) int {
	if t.max > 0 && now.Sub(t.since) < t.recovery/wavesPerRecovery {
		return 0 // of the wave that was answered already
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

// wavesPerRecovery: refusals that come within this part of the recovery time
// count once.
const wavesPerRecovery = 15

// Quota pauses the account after a quota refusal, and reports whether it was
// not paused yet. The first message after the pause goes alone.
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

// Hold stops the account until an operator acts, or a probe goes well; false if it
// is held already.
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

// Order stops the account by an operator's order.
func (t *State) Order(until time.Time, reason string) { t.order = Suspension{Ordered, until, reason} }

// Resume ends all that stops or slows the account but a hold. It returns what is
// left; nil: nothing.
func (t *State) Resume() *State {
	if !t.Held() {
		return nil
	}
	t.order = Suspension{}
	return t
}

// Absolve ends what the provider's refusals have led to. It returns what is left,
// which is an operator's order; nil: nothing.
func (t *State) Absolve() *State {
	if t == nil || t.order.Kind == NotSuspended {
		return nil
	}
	return &State{recovery: t.recovery, order: t.order}
}

// suspend puts s in force, unless a graver stop is.
func (t *State) suspend(s Suspension, now time.Time) {
	if !t.stop.on(now) || s.Kind >= t.stop.Kind {
		t.stop = s
	}
}

// Success ends what only a refusal in a row makes worse.
func (t *State) Success() { t.floors, t.strikes = 0, 0 }

// Suspended returns what stops the account now, nil if nothing does.
func (t *State) Suspended(now time.Time) *Suspension {
	switch {
	case t == nil:
		return nil
	case t.Held():
		return &t.stop
	case t.order.on(now):
		return &t.order
	case t.stop.on(now):
		return &t.stop
	}
	return nil
}

// ByProvider returns the suspension that the provider's refusals have led to, be it
// over or not.
func (t *State) ByProvider() Suspension { return t.stop }

// Excess returns how many of the open connections are above what is allowed; an
// account that is held has no use for any, but for its probe.
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

// Over reports whether nothing of the throttle is left to remember.
func (t *State) Over(now time.Time) bool {
	if t.Suspended(now) != nil || t.Limit(now) > 0 {
		return false
	}
	if t.strikes > 0 { // the next quota refusal still counts as one in a row
		return now.Sub(t.since) >= quotaMost
	}
	return true
}
