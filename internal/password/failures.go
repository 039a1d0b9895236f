package password

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// waysPerBucket is how many sources share a bucket of the table.
const waysPerBucket = 8

const (
	maxSources     = 1 << 20
	maxFailures    = 1 << 20
	maxAnswerDelay = time.Minute
)

// FailureConfig has the settings of the counts of a Guard. All durations must be positive.
type FailureConfig struct {
	// Sources is how many source addresses are remembered, at some 40 octets each.
	// Beyond it, those with the fewest failures are forgotten. Default: 8192.
	Sources int
	// Free is how many failures of a source are answered without delay.
	// Default: 3.
	Free int
	// Delay is for the first failure beyond, and doubles with each one up to
	// MaxDelay. Default: 1 s, 8 s.
	Delay, MaxDelay time.Duration
	// Limit is the number of failures after which a source is refused, for RefuseFor.
	// Default: 20, 10 min.
	Limit     int
	RefuseFor time.Duration
	// Forget is the time after which one failure is forgotten. Default: 1 min.
	Forget time.Duration
}

// DefaultFailureConfig has every default: a source guesses 20 times in some two
// minutes, and about once a minute from then on.
func DefaultFailureConfig() FailureConfig {
	return FailureConfig{
		Sources:   8192,
		Free:      3,
		Delay:     time.Second,
		MaxDelay:  8 * time.Second,
		Limit:     20,
		RefuseFor: 10 * time.Minute,
		Forget:    time.Minute,
	}
}

// Validate reports all problems at once, each under its key.
func (c FailureConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("failures: "+format, args...)) }
	if c.Sources < 1 || c.Sources > maxSources {
		bad("sources: %d is not in 1..%d", c.Sources, maxSources)
	}
	if c.Limit < 1 || c.Limit > maxFailures {
		bad("limit: %d is not in 1..%d", c.Limit, maxFailures)
	}
	if c.Free < 0 || c.Free > c.Limit {
		bad("free: %d is not in 0..%d, the limit", c.Free, c.Limit)
	}
	if c.Delay <= 0 || c.Delay > c.MaxDelay || c.MaxDelay > maxAnswerDelay {
		bad("delay %v and max_delay %v are not in order below %v", c.Delay, c.MaxDelay, maxAnswerDelay)
	}
	if c.RefuseFor <= 0 {
		bad("refuse_for must be positive")
	}
	if c.Forget <= 0 {
		bad("forget must be positive")
	}
	return errors.Join(errs...)
}

// failures counts failed logins by key. Its memory is fixed. The caller gives the time;
// methods take a short lock, allocate nothing and may be called by any number of event
// loops.
type failures struct {
	cfg     FailureConfig
	seed    maphash.Seed // random, so that no client can aim at a bucket
	start   time.Time
	buckets []bucket
}

// key is what failures are counted by: a source, an account or both (see Guard). The zero
// key is none.
type key [2]uint64

type bucket struct {
	mu      sync.Mutex // guards sources
	sources [waysPerBucket]entry
}

// entry has the failures of one key; times are in nanoseconds since start.
type entry struct {
	key          key // zero: a free place
	failures     int
	since        int64 // from when on failures are to be forgotten
	refusedUntil int64

	// Of a source and an account together:
	counted int    // of failures: counted to the source and the account too
	wrong   uint64 // hash of the last wrong password
	right   bool   // the last login was right
}

// newFailures makes an empty table. No later time given to it may be before
// now. The configuration must be valid.
func newFailures(cfg FailureConfig, now time.Time) *failures {
	return &failures{
		cfg:     cfg,
		seed:    maphash.MakeSeed(),
		start:   now,
		buckets: make([]bucket, (cfg.Sources+waysPerBucket-1)/waysPerBucket),
	}
}

// failed counts a failed login and returns the delay of its answer. From then on the key
// may be refused.
func (f *failures) failed(k key, now time.Time) (delay time.Duration) {
	f.update(k, now, true, func(e *entry, t int64) { delay = f.fail(e, t) })
	return delay
}

// fail counts a failure of e.
func (f *failures) fail(e *entry, t int64) (delay time.Duration) {
	if e.failures == 0 {
		e.since = t
	}
	// The count is bounded, so that a source that failed a thousand times at once
	// is not refused for a thousand times as long.
	e.failures = min(e.failures+1, 2*f.cfg.Limit)
	if e.failures >= f.cfg.Limit && t >= e.refusedUntil {
		e.refusedUntil = t + int64(f.cfg.RefuseFor)
	}
	return f.delay(e.failures)
}

// forgive takes n failures back.
func (f *failures) forgive(k key, n int, now time.Time) {
	f.update(k, now, false, func(e *entry, _ int64) { e.failures = max(0, e.failures-n) })
}

// look returns how many failures count, for how long the key is to be refused (0: it is
// not), and whether its last login was right.
func (f *failures) look(k key, now time.Time) (failures int, refused time.Duration, right bool) {
	f.update(k, now, false, func(e *entry, t int64) {
		failures, refused, right = e.failures, time.Duration(max(0, e.refusedUntil-t)), e.right
	})
	return failures, refused, right
}

// update calls do with the entry of a key, brought up to date. Without one it makes one, or
// does nothing.
func (f *failures) update(k key, now time.Time, make bool, do func(e *entry, t int64)) {
	t := int64(now.Sub(f.start))
	b := f.lock(k)
	defer b.mu.Unlock()
	e := f.find(b, k, t)
	if e == nil {
		if !make {
			return
		}
		e = f.place(b, t)
		*e = entry{key: k}
	}
	do(e, t)
}

// delay is for the answer to that failure.
func (f *failures) delay(failures int) time.Duration {
	over := failures - f.cfg.Free
	if over <= 0 {
		return 0
	}
	d := f.cfg.Delay
	for ; over > 1 && d < f.cfg.MaxDelay; over-- {
		d *= 2
	}
	return min(d, f.cfg.MaxDelay)
}

// keyOf gives the key of a source, never zero for one that is counted: the
// second half tells the families apart.
func keyOf(addr netip.Addr) (k key, ok bool) {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		b := addr.As4()
		return key{uint64(binary.BigEndian.Uint32(b[:])), 4}, true
	case addr.Is6():
		b := addr.As16()
		return key{binary.BigEndian.Uint64(b[:]), 6}, true
	}
	return k, false
}

// lock returns the bucket of a source, locked.
func (f *failures) lock(k key) *bucket {
	b := &f.buckets[maphash.Comparable(f.seed, k)%uint64(len(f.buckets))]
	b.mu.Lock()
	return b
}

// find returns the source of that key, brought up to date, or nil.
func (f *failures) find(b *bucket, k key, t int64) *entry {
	for i := range b.sources {
		if s := &b.sources[i]; s.key == k {
			f.forget(s, t)
			return s
		}
	}
	return nil
}

// forget takes back the failures whose time has passed.
func (f *failures) forget(s *entry, t int64) {
	if n := (t - s.since) / int64(f.cfg.Forget); n > 0 {
		s.failures = int(max(0, int64(s.failures)-n))
		s.since += n * int64(f.cfg.Forget)
	}
}

// place finds room for a new source: a free place, or else the one with the fewest failures
// goes. Refused sources go last, so that no source gets free by failures of many others.
func (f *failures) place(b *bucket, t int64) *entry {
	best := &b.sources[0]
	for i := range b.sources {
		s := &b.sources[i]
		if s.key == (key{}) {
			return s
		}
		f.forget(s, t)
		if sRefused, bestRefused := s.refusedUntil > t, best.refusedUntil > t; sRefused != bestRefused {
			if bestRefused {
				best = s
			}
		} else if s.failures < best.failures {
			best = s
		}
	}
	return best
}
