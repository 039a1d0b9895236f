package upstream

import (
	"math/rand/v2"
	"time"
)

// backoffMemory is how long after its end a back-off is remembered, so that an
// account that is used now and then does not start from the shortest pause.
const backoffMemory = time.Minute

// backoff is the pause of an account after attempts to connect or log in
// failed. While it lasts there is none; after it there is one at a time, until
// one succeeds.
type backoff struct {
	failures int
	until    time.Time
	cause    *Error
}

// allows reports whether an attempt may start while others are under way.
func (b *backoff) allows(now time.Time, underWay int) bool {
	return b.failures == 0 || underWay == 0 && !now.Before(b.until)
}

// pausing reports whether the pause lasts.
func (b *backoff) pausing(now time.Time) bool { return b.failures > 0 && now.Before(b.until) }

// forgotten reports whether nothing is left to remember.
func (b *backoff) forgotten(now time.Time) bool {
	return b.failures == 0 || now.Sub(b.until) >= backoffMemory
}

// fail lengthens the pause. Attempts that started together count once.
func (b *backoff) fail(cause *Error, now time.Time, shortest, longest time.Duration) {
	if b.pausing(now) {
		return
	}
	if b.forgotten(now) {
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

// wait makes the pause last until a moment, without lengthening the next.
func (b *backoff) wait(cause *Error, until time.Time) {
	if b.failures == 0 {
		b.failures = 1
	}
	if until.After(b.until) {
		b.cause, b.until = cause, until
	}
}
