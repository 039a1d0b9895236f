package succession

import (
	"context"
	"math"
	"sync"
	"time"

	"xoauth2-proxy/internal/share/peer"
	"xoauth2-proxy/internal/share/vault"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

// Claims has the old or the new process refresh a chain, one at a time, and gives each what the
// other one got. It implements [oauth.Sharer]. Records go between the processes as they are:
// the socket, and the store that ends with the old process, are theirs alone.
type Claims struct {
	Sharing *peer.Sharing
	// TTL is how long a claim lasts.
	TTL time.Duration
	// Kept has the records of both processes. Nil: they are in memory only.
	Kept oauth.Store

	mu     sync.Mutex
	shared bool          // there is another process, or was one
	alone  int           // claims without another process that are in use
	closed chan struct{} // not nil: claims wait until it is closed
	none   chan struct{} // not nil: closed when alone is 0
}

// fenceAlone is the fence of a claim without another process.
const fenceAlone = math.MaxUint64

// askEvery is how often a claim is asked for that the other process has.
const askEvery = 200 * time.Millisecond

// Hold has claims wait until Go, and returns when those have ended that do not know of another
// process.
func (s *Claims) Hold(ctx context.Context) error {
	s.mu.Lock()
	s.shared, s.closed, s.none = true, make(chan struct{}), make(chan struct{})
	none := s.none
	if s.alone == 0 {
		close(none)
		s.none = nil
	}
	s.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Go ends Hold.
func (s *Claims) Go() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.closed)
	s.closed, s.none = nil, nil
}

// Shares says that there is another process from the beginning.
func (s *Claims) Shares() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shared = true
}

// Claim implements oauth.Sharer.
func (s *Claims) Claim(ctx context.Context, c oauth.Chain, have oauth.Record) (oauth.Claim, error) {
	for {
		claim, wait, err := s.try(ctx, c, &have)
		if err != nil || claim != (oauth.Claim{}) {
			return claim, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return oauth.Claim{}, context.Cause(ctx)
		}
	}
}

// try asks once. Without a claim, wait says when to ask again.
func (s *Claims) try(ctx context.Context, c oauth.Chain, have *oauth.Record) (
	claim oauth.Claim, wait <-chan struct{}, err error,
) {
	s.mu.Lock()
	shared, closed := s.shared, s.closed
	if closed != nil {
		s.mu.Unlock()
		return claim, closed, nil
	}
	store, node := s.Sharing.Store()
	if store == nil {
		s.alone++
	}
	s.mu.Unlock()
	claim.Fence, claim.Until = fenceAlone, time.Now().Add(s.TTL)
	var record []byte
	if store != nil {
		answer, err := store.Claim(ctx, node, vault.Name(c), s.TTL)
		if err != nil || answer.Fence == 0 { // the other process has it, or has just ended
			again := make(chan struct{})
			time.AfterFunc(askEvery, func() { close(again) })
			return oauth.Claim{}, again, nil
		}
		claim.Fence, record = answer.Fence, answer.Record
	}
	if newer := s.newer(c, have, shared, record); newer != nil {
		s.Abandon(c, claim.Fence)
		claim = oauth.Claim{Newer: newer}
	}
	return claim, nil, nil
}

// newer returns what the other process has got and this one does not have; nil: nothing.
func (s *Claims) newer(c oauth.Chain, have *oauth.Record, shared bool, record []byte) *oauth.Record {
	if r, err := tokenstore.Unmarshal(record); err == nil && len(record) > 0 && r.Newer(have) {
		return &r
	}
	if !shared || s.Kept == nil {
		return nil
	}
	if r, ok, err := s.Kept.Load(c); err == nil && ok && r.Newer(have) {
		return &r
	}
	return nil
}

// Publish implements oauth.Sharer.
func (s *Claims) Publish(ctx context.Context, c oauth.Chain, fence uint64, r oauth.Record) (held bool, err error) {
	if fence == fenceAlone {
		s.done()
		return true, nil
	}
	store, node := s.Sharing.Store()
	if store == nil { // the other process has ended: the store of this one has the record
		return true, nil
	}
	text, err := tokenstore.Marshal(r)
	if err != nil {
		return false, err
	}
	return store.Commit(ctx, node, vault.Name(c), fence, text)
}

// Abandon implements oauth.Sharer. A claim that is not abandoned ends by itself.
func (s *Claims) Abandon(c oauth.Chain, fence uint64) {
	if fence == fenceAlone {
		s.done()
		return
	}
	if store, node := s.Sharing.Store(); store != nil {
		_ = store.Abandon(context.Background(), node, vault.Name(c), fence)
	}
}

// done notes the end of a claim without another process.
func (s *Claims) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alone--; s.alone == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// Published implements oauth.Sharer.
func (s *Claims) Published(ctx context.Context, c oauth.Chain) (*oauth.Record, error) {
	store, _ := s.Sharing.Store()
	if store == nil {
		return nil, nil
	}
	answer, err := store.Record(ctx, vault.Name(c))
	if err != nil || len(answer.Record) == 0 {
		return nil, err
	}
	r, err := tokenstore.Unmarshal(answer.Record)
	return &r, err
}
