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

// FailureConfig has the settings of Failures. All durations must be positive.
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

// Failures counts failed logins by source address: an IPv4 address, or the /64
// of an IPv6 address, since one customer has at least that. Its memory is
// fixed. The caller gives the time; methods take a short lock, allocate nothing
// and may be called by any number of event loops. A source that has no address
// (a unix socket: the zero Addr) is never counted.
type Failures struct {
	cfg     FailureConfig
	seed    maphash.Seed // random, so that no client can aim at a bucket
	start   time.Time
	buckets []bucket
}

type bucket struct {
	mu      sync.Mutex // guards sources
	sources [waysPerBucket]source
}

// source has the failures of one source; times are in nanoseconds since start.
type source struct {
	key          [2]uint64 // see keyOf; zero: a free place
	failures     int
	since        int64 // from when on failures are to be forgotten
	refusedUntil int64
}

// NewFailures makes an empty table. No later time given to it may be before
// now. The configuration must be valid.
func NewFailures(cfg FailureConfig, now time.Time) *Failures {
	return &Failures{
		cfg:     cfg,
		seed:    maphash.MakeSeed(),
		start:   now,
		buckets: make([]bucket, (cfg.Sources+waysPerBucket-1)/waysPerBucket),
	}
}

// Failed counts a failed login and returns the delay of its answer. From then on the source
// may be refused.
func (f *Failures) Failed(addr netip.Addr, now time.Time) (delay time.Duration) {
	key, ok := keyOf(addr)
	if !ok {
		return 0
	}
	t := int64(now.Sub(f.start))
	b := f.lock(key)
	defer b.mu.Unlock()
	s := f.find(b, key, t)
	if s == nil {
		s = f.place(b, t)
		*s = source{key: key}
	}
	if s.failures == 0 {
		s.since = t
	}
	// The count is bounded, so that a source that failed a thousand times at once
	// is not refused for a thousand times as long.
	s.failures = min(s.failures+1, 2*f.cfg.Limit)
	if s.failures >= f.cfg.Limit && t >= s.refusedUntil {
		s.refusedUntil = t + int64(f.cfg.RefuseFor)
	}
	return f.delay(s.failures)
}

// Succeeded takes one failure back. It does not clear them all: an MTA that
// logs in to many accounts and has one wrong password stays below the limit,
// but a guesser who has an account of its own gains only one guess by it.
func (f *Failures) Succeeded(addr netip.Addr, now time.Time) {
	key, ok := keyOf(addr)
	if !ok {
		return
	}
	b := f.lock(key)
	defer b.mu.Unlock()
	if s := f.find(b, key, int64(now.Sub(f.start))); s != nil && s.failures > 0 {
		s.failures--
	}
}

// Refused returns for how long the source is to be refused (421 4.7.0), whatever it sends;
// 0: it is not.
func (f *Failures) Refused(addr netip.Addr, now time.Time) time.Duration {
	key, ok := keyOf(addr)
	if !ok {
		return 0
	}
	t := int64(now.Sub(f.start))
	b := f.lock(key)
	defer b.mu.Unlock()
	if s := f.find(b, key, t); s != nil && s.refusedUntil > t {
		return time.Duration(s.refusedUntil - t)
	}
	return 0
}

// delay is for the answer to that failure.
func (f *Failures) delay(failures int) time.Duration {
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
func keyOf(addr netip.Addr) (key [2]uint64, ok bool) {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		b := addr.As4()
		return [2]uint64{uint64(binary.BigEndian.Uint32(b[:])), 4}, true
	case addr.Is6():
		b := addr.As16()
		return [2]uint64{binary.BigEndian.Uint64(b[:]), 6}, true
	}
	return key, false
}

// lock returns the bucket of a source, locked.
func (f *Failures) lock(key [2]uint64) *bucket {
	b := &f.buckets[maphash.Comparable(f.seed, key)%uint64(len(f.buckets))]
	b.mu.Lock()
	return b
}

// find returns the source of that key, brought up to date, or nil.
func (f *Failures) find(b *bucket, key [2]uint64, t int64) *source {
	for i := range b.sources {
		if s := &b.sources[i]; s.key == key {
			f.forget(s, t)
			return s
		}
	}
	return nil
}

// forget takes back the failures whose time has passed.
func (f *Failures) forget(s *source, t int64) {
	if n := (t - s.since) / int64(f.cfg.Forget); n > 0 {
		s.failures = int(max(0, int64(s.failures)-n))
		s.since += n * int64(f.cfg.Forget)
	}
}

// place finds room for a new source: the one with the fewest failures goes.
// Refused sources go last, so that no source gets free by failures of many others.
func (f *Failures) place(b *bucket, t int64) *source {
	best := &b.sources[0]
	for i := range b.sources {
		s := &b.sources[i]
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
