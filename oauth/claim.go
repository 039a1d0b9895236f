package oauth

import (
	"context"
	"time"

	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/workers"
)

// With Config.Share several processes have one access token for each account with a refresh
// token. Who refreshes has claimed the chain; the others wait, and take what came. A record
// is in the store of the process before it is published. What could not be published stays
// untold, and is published later. The other flows have nothing that a second refresh could
// spoil: each process gets its own access tokens, and claims nothing.

const (
	// saveTime is how long a claim lasts beyond the refresh, for what it brought to be saved
	// and published.
	saveTime = 5 * time.Second
	// shareRetry is when a store of the share that did not answer is asked again.
	shareRetry = 2 * time.Second
)

// ClaimTTL is how long a claim of Share has to last.
func (c Config) ClaimTTL() time.Duration { return c.Timeout + saveTime }

// longest is how long the work of one call may take.
func (c Config) longest() time.Duration {
	if c.Share == nil {
		return c.Timeout
	}
	return c.ClaimTTL() + c.ClaimTTL() // waiting for the claim of another process, and the refresh
}

// deadline is when a refresh under the claim has to end.
func (c Config) deadline(claim Claim) time.Time {
	end := time.Now().Add(c.Timeout)
	if last := claim.Until.Add(-saveTime); claim.Fence != 0 && last.Before(end) {
		return last
	}
	return end
}

// claimChain returns a claim, or the token that another process has got. A forced refresh
// takes the record of another process, but not its access token.
func (s *Source) claimChain(forced bool) (claim Claim, got flow.Issued, err *Error) {
	away := func(cause error) *Error {
		return &Error{Class: flow.ClassStore, Err: cause, Hint: hint.TokenShareAway, RetryAfter: shareRetry}
	}
	if s.adoptOffered() && !forced {
		if got, ok := s.kept(); ok {
			return Claim{}, got, nil
		}
	}
	if err := s.load(); err != nil {
		class := flow.ClassStore
		return Claim{}, flow.Issued{}, &Error{Class: class, Err: err, Hint: class.Hint(), RetryAfter: shareRetry}
	}
	ctx, cancel := context.WithTimeout(s.m.ctx, s.m.cfg.ClaimTTL()+shareRetry)
	defer cancel()
	for {
		s.mu.Lock()
		have := s.record
		s.mu.Unlock()
		claim, err := s.m.cfg.Share.Claim(ctx, s.chain, have)
		if err != nil {
			return Claim{}, flow.Issued{}, away(err)
		}
		if claim.Newer == nil {
			return claim, flow.Issued{}, nil
		}
		s.adopt(*claim.Newer)
		if got, ok := s.kept(); ok && !forced {
			return Claim{}, got, nil
		}
	}
}

// endClaim ends a claim, with the record if that was not published yet.
func (s *Source) endClaim(claim Claim) {
	if claim.Fence == 0 {
		return
	}
	s.mu.Lock()
	r, untold := s.record, s.untold
	s.mu.Unlock()
	if !untold {
		s.m.cfg.Share.Abandon(s.chain, claim.Fence)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveTime) // also while the manager closes
	defer cancel()
	held, err := s.m.cfg.Share.Publish(ctx, s.chain, claim.Fence, r)
	if err != nil || !held {
		s.m.saveLater()
		return
	}
	s.mu.Lock()
	s.untold = s.record != r
	s.mu.Unlock()
}

// overtaken takes what another process has published although the claim was ours: it was
// lost, and the refresh token is used up. ok: there is such a record.
func (s *Source) overtaken(ctx context.Context, claim Claim) (got flow.Issued, ok bool, err *Error) {
	if claim.Fence == 0 {
		return flow.Issued{}, false, nil
	}
	r, fault := s.m.cfg.Share.Published(ctx, s.chain)
	s.mu.Lock()
	ok = fault == nil && r != nil && r.Newer(&s.record)
	s.mu.Unlock()
	if !ok {
		return flow.Issued{}, false, nil
	}
	s.adopt(*r)
	if got, good := s.kept(); good {
		return got, true, nil
	}
	return flow.Issued{}, true, &Error{Class: ClassUnavailable, Err: errOvertaken}
}

// adopt makes r, which another process has published, the record of the chain.
func (s *Source) adopt(r Record) {
	s.mu.Lock()
	r = r.inPlaceOf(&s.record, time.Now())
	s.record, s.loaded, s.untold = r, true, false
	s.mu.Unlock()
	s.save(r)
}

// isQuiet reports whether c is not to refresh anything: it is about the record alone, and no
// caller waits for a token.
func (s *Source) isQuiet(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.quiet && c.Early && !c.forced
}

// end ends a quiet call, unless a caller has come to wait for it.
func (s *Source) end(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.Early || c.forced {
		return false
	}
	s.call = nil
	s.takeOffer()
	close(c.done)
	return true
}

// Adopt takes a record that another process has published: it is saved, and callers get its
// access token from now on. It may do I/O.
func (m *Manager) Adopt(c Chain, r Record) {
	if v, ok := m.sources.Load(c.AccountID); ok && v.(*Source).offer(c, r) {
		return
	}
	snap := m.accounts.Load()
	if snap == nil || m.cfg.Store == nil {
		return
	}
	if a, ok := snap.ByID(c.AccountID); !ok || ChainOf(a) != c {
		return
	}
	have, _, err := m.cfg.Store.Load(c)
	if err == nil && r.Newer(&have) {
		if err = m.cfg.Store.Save(c, r.inPlaceOf(&have, time.Now())); err != nil {
			m.saveLater()
		}
	}
	if err != nil {
		m.metrics.StoreErrors.Inc()
	}
}

// offer has a worker adopt r, if the source is of the chain and has a record.
func (s *Source) offer(c Chain, r Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chain != c || s.retired || s.call == nil && !s.loaded {
		return false
	}
	s.offered = &r
	s.takeOffer()
	return true
}

// takeOffer has a worker adopt the record that was offered, after the call that runs.
// Called with mu.
func (s *Source) takeOffer() {
	if s.offered == nil || s.call != nil {
		return
	}
	early := &call{Task: workers.Task{Early: true}, quiet: true, asked: time.Now()}
	if !s.offered.Newer(&s.record) || s.retired || !s.begin(early) {
		s.offered = nil
	}
}

// adoptOffered adopts the record that was offered, if it is newer.
func (s *Source) adoptOffered() bool {
	s.mu.Lock()
	r := s.offered
	s.offered = nil
	newer := r != nil && r.Newer(&s.record)
	s.mu.Unlock()
	if newer {
		s.adopt(*r)
	}
	return newer
}
