package throttle

import (
	"math/rand/v2"
	"time"
)

// BackoffMemory is how long after its end a back-off is remembered, so that an
// account that is used now and then does not start from the shortest pause.
const BackoffMemory = time.Minute

// Backoff is the pause of an account after attempts to connect or log in
// failed. While it lasts there is none; after it there is one at a time, until
// one succeeds. Cause is what tells why. The zero value does not pause.
type Backoff[Cause any] struct {
	failures int
	until    time.Time
	cause    Cause
}

// Failures returns the number of failures in a row.
func (b *Backoff[Cause]) Failures() int { return b.failures }

// Until returns when the pause ends or has ended, Cause what the failure was that it
// is for; both are zero without a failure.
func (b *Backoff[Cause]) Until() time.Time { return b.until }

// Cause: see Until.
func (b *Backoff[Cause]) Cause() Cause { return b.cause }

// Allows reports whether an attempt may start while others are under way.
func (b *Backoff[Cause]) Allows(now time.Time, underWay int) bool {
	return b.failures == 0 || underWay == 0 && !now.Before(b.until)
}

// Pausing reports whether the pause lasts.
func (b *Backoff[Cause]) Pausing(now time.Time) bool { return b.failures > 0 && now.Before(b.until) }

// Forgotten reports whether nothing is left to remember.
func (b *Backoff[Cause]) Forgotten(now time.Time) bool {
	return b.failures == 0 || now.Sub(b.until) >= BackoffMemory
}

// Fail lengthens the pause. Attempts that started together count once.
func (b *Backoff[Cause]) Fail(cause Cause, now time.Time, shortest, longest time.Duration) {
	if b.Pausing(now) {
		return
	}
	if b.Forgotten(now) {
		b.failures = 0
	}
	pause := longest
	if b.failures < 16 {
		pause = min(longest, shortest<<b.failures)
	}
	b.failures++
	b.cause = cause
	b.until = now.Add(pause/2 + rand.N(pause/2+1))
}

// Wait makes the pause last until a moment, without lengthening the next.
func (b *Backoff[Cause]) Wait(cause Cause, until time.Time) {
	if b.failures == 0 {
		b.failures = 1
	}
	if until.After(b.until) {
		b.cause, b.until = cause, until
	}
}
