package oauth

import (
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/oauth/internal/pending"
)

// abandon answers errStuck to those who wait for c, whose worker is stuck, and to
// later callers. If the worker comes back, its token is published as usual.
func (s *Source) abandon(c *call) {
	s.mu.Lock()
	if s.call != c {
		s.mu.Unlock()
		return
	}
	c.stuck = true
	waiters := c.waiters
	c.waiters = nil
	s.mu.Unlock()
	for _, done := range waiters {
		done(nil, errStuck)
	}
}

// watchedStore is a Store whose operations are watched.
type watchedStore struct {
	Store
	watch *watchdog.Watchdog
}

func (s watchedStore) begin(method string) *watchdog.Part {
	return s.watch.Begin(watchdog.Task{Kind: watchdog.TokenStore, Func: "oauth.watchedStore." + method})
}

// Load implements Store.
func (s watchedStore) Load(c Chain) (r Record, ok bool, err error) {
	defer s.begin("Load").Remove()
	return s.Store.Load(c)
}

// Save implements Store.
func (s watchedStore) Save(c Chain, r Record) error {
	defer s.begin("Save").Remove()
	return s.Store.Save(c, r)
}

// Retain implements Store.
func (s watchedStore) Retain(live func(Chain) bool) error {
	defer s.begin("Retain").Remove()
	return s.Store.Retain(live)
}

// keptStore is a Store that keeps what the store below could not save.
type keptStore struct {
	*pending.Store[Chain, Record]
	below Store
}

// Retain implements Store.
func (s keptStore) Retain(live func(Chain) bool) error { return s.below.Retain(live) }
