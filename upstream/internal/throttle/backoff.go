package throttle

import (
	"math/rand/v2"
	"time"
)

// BackoffMemory is how long a back-off is remembered after the end of its pause: the
// next failure of an account that sends rarely does not start from the shortest pause.
const BackoffMemory = time.Minute

// Backoff is the pause of an account after a failure to connect or log in. No attempt
// starts while the pause lasts. After it one attempt at a time may start, until one
// succeeds: then the zero value replaces the back-off. Cause is the type of failures.
type Backoff[Cause any] struct {
	failures int
	until    time.Time
	cause    Cause
}

// Failures returns the number of failures in a row. Attempts that ran at the same time
// count once.
func (b *Backoff[Cause]) Failures() int { return b.failures }

// Until returns the end of the pause, which may be over; zero without a failure.
func (b *Backoff[Cause]) Until() time.Time { return b.until }

// Cause returns the failure that the pause is for; zero without a failure.
func (b *Backoff[Cause]) Cause() Cause { return b.cause }

// Allows reports whether an attempt may start beside those under way.
func (b *Backoff[Cause]) Allows(now time.Time, underWay int) bool {
	return b.failures == 0 || underWay == 0 && !now.Before(b.until)
}

// Pausing reports whether the pause lasts.
func (b *Backoff[Cause]) Pausing(now time.Time) bool { return b.failures > 0 && now.Before(b.until) }

// Forgotten reports whether the failures do not count any more.
func (b *Backoff[Cause]) Forgotten(now time.Time) bool {
	return b.failures == 0 || now.Sub(b.until) >= BackoffMemory
}

// Fail begins a pause after a failed attempt. It doubles with each failure in a row,
// from the shortest to the longest, less up to a half of it at random. A failure
// during the pause does not count.
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

// Wait extends the pause to a moment. The next pause is not longer for that.
func (b *Backoff[Cause]) Wait(cause Cause, until time.Time) {
	if b.failures == 0 {
		b.failures = 1
	}
	if until.After(b.until) {
		b.cause, b.until = cause, until
	}
}
