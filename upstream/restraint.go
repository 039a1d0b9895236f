package upstream

import (
	"fmt"
	"time"

	"xoauth2-proxy/codec"
)

const (
	// quotaStep lengthens the pause after each quota refusal in a row, up to
	// quotaMost, after which every provider's day is over.
	quotaStep = time.Hour
	quotaMost = 24 * time.Hour
)

// stopKind says why an account sends nothing at all.
type stopKind uint8

const (
	stopNone  stopKind = iota
	stopSlow           // slowed down though it had one connection only
	stopQuota          // the provider's quota is used up
	stopOrder          // an operator's order
	stopHold           // to repeat what the provider refused would do harm
)

var stopNames = [...]string{"", "throttled", "quota", "paused", "held"}

func (k stopKind) String() string { return stopNames[k] }

// stop is a time without sending.
type stop struct {
	kind   stopKind
	until  time.Time // zero: until an operator acts
	reason string
}

func (s *stop) on(now time.Time) bool {
	return s.kind != stopNone && (s.until.IsZero() || now.Before(s.until))
}

// restraint is how an account is held back because of the provider's replies
// or an operator's order. An account that was never refused has none.
//
// Concurrency is halved at each refusal that asks for less, down to one
// connection, and grows by one connection in each recovery time. A refusal at
// one connection brings a pause that doubles. The refusals of transactions that
// ran at the same time count once.
type restraint struct {
	recovery time.Duration // Config.ThrottleRecovery

	max   int       // connections allowed at since; 0: as the limits say
	goal  int       // where the growth ends
	since time.Time // of the last decrease

	floors  int // refusals in a row at one connection
	strikes int // quota refusals in a row
	// stop is by the provider's replies, order by the operator.
	stop, order stop
	probes      probes // with stopHold
}

// cap returns how many connections are allowed; 0 is no cap.
func (r *restraint) cap(now time.Time) int {
	if r.max == 0 {
		return 0
	}
	if n := r.max + int(max(0, now.Sub(r.since)/r.recovery)); n < r.goal || now.Before(r.since) {
		return n
	}
	return 0
}

// slow lowers the concurrency of an account that has open connections and may
// have most of them, and reports whether it did. At one connection it
// pauses, for longer each time, between the two durations.
func (r *restraint) slow(now time.Time, open, most int, cause *Error, shortest, longest time.Duration) bool {
	if r.max > 0 && now.Sub(r.since) < r.recovery/wavesPerRecovery {
		return false // of the wave that was answered already
	}
	capped := r.cap(now)
	if capped == 0 {
		r.goal = max(most, open)
		capped = r.goal
	}
	floor := r.max > 0 && capped == 1
	r.max, r.since = max(1, min(capped, open)/2), now
	if floor {
		pause := min(longest, shortest<<min(r.floors, 16))
		r.floors++
		r.halt(stop{stopSlow, now.Add(pause), quote(cause)}, now)
	}
	return true
}

// wavesPerRecovery: refusals that come within this part of the recovery time
// count once.
const wavesPerRecovery = 15

// quota pauses the account after a quota refusal, and reports whether it was
// not paused yet. The first message after the pause goes alone.
func (r *restraint) quota(now time.Time, most int, cause *Error) bool {
	if r.stop.kind == stopQuota && r.stop.on(now) {
		return false
	}
	r.strikes++
	until := now.Add(min(time.Duration(r.strikes)*quotaStep, quotaMost))
	r.halt(stop{stopQuota, until, quote(cause)}, now)
	r.max, r.goal, r.since = 1, max(most, 1), until
	return true
}

// hold stops the account until an operator acts, or a probe goes well.
func (r *restraint) hold(now time.Time, cause *Error) bool {
	if r.stop.kind == stopHold {
		return false
	}
	r.halt(stop{kind: stopHold, reason: quote(cause)}, now)
	r.probes = probes{login: cause.Phase == PhaseAuth}
	r.probes.wait(now)
	return true
}

// halt puts s in force, unless a graver stop is.
func (r *restraint) halt(s stop, now time.Time) {
	if !r.stop.on(now) || s.kind >= r.stop.kind {
		r.stop = s
	}
}

// success ends what only a refusal in a row makes worse.
func (r *restraint) success() { r.floors, r.strikes = 0, 0 }

// stopped returns what stops the account now, nil if nothing does.
func (r *restraint) stopped(now time.Time) *stop {
	switch {
	case r == nil:
		return nil
	case r.stop.kind == stopHold:
		return &r.stop
	case r.order.on(now):
		return &r.order
	case r.stop.on(now):
		return &r.stop
	}
	return nil
}

// over reports whether nothing of the restraint is left to remember.
func (r *restraint) over(now time.Time) bool {
	if r.stopped(now) != nil || r.cap(now) > 0 {
		return false
	}
	if r.strikes > 0 { // the next quota refusal still counts as one in a row
		return now.Sub(r.since) >= quotaMost
	}
	return true
}

// stopError refuses a message because its account is stopped.
type stopError struct {
	kind   stopKind
	after  time.Duration // when to come back; 0: not known
	reason string
}

func (s *stop) err(now time.Time) *Error {
	e := &stopError{kind: s.kind, reason: s.reason}
	if !s.until.IsZero() {
		e.after = s.until.Sub(now)
	}
	return &Error{Phase: PhaseQueue, Err: e}
}

func (e *stopError) Error() string { return e.reply().Text }

func (e *stopError) reply() codec.Reply {
	r := codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 7, 0}}
	switch e.kind {
	case stopHold:
		r.Text = "The account is held until an operator acts, the provider refused it: " + e.reason
	case stopQuota:
		r.Code, r.Enhanced = 452, codec.EnhancedCode{4, 7, 1}
		r.Text = "The provider's quota of the account is used up: " + e.reason
	case stopSlow:
		r.Text = "The provider slows the account down: " + e.reason
	default:
		r.Text = "The account is paused by an operator"
		if e.reason != "" {
			r.Text += ": " + cut(e.reason)
		}
	}
	if e.after > 0 {
		r.Text += fmt.Sprintf("; try again in %d s", seconds(e.after))
	}
	return r
}

// quote is a refusal as reason of a stop.
func quote(e *Error) string { return cut(e.Reply.String()) }
