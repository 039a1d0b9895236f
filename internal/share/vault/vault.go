package vault

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/oauth"
)

const (
	// askEvery is how often who waits for a record asks for the claim again: events may be
	// lost.
	askEvery = 500 * time.Millisecond
	// retryAfter is the pause after a call that was not answered.
	retryAfter = 100 * time.Millisecond
)

// Config says what a vault works with.
type Config struct {
	Store share.Store
	Node  share.Node
	// Keys are those that all nodes have; the first one seals.
	Keys *seal.Keyring
	// TTL is how long a claim lasts: oauth.Config.ClaimTTL.
	TTL time.Duration
	// Accounts returns the accounts in force.
	Accounts func() *account.Snapshot
	// Joined reports whether the store has taken this node: a node with another key leaves no
	// record. Nil: it has.
	Joined func() bool
	// Adopt takes what other nodes have published: oauth.Manager.Adopt.
	Adopt func(oauth.Chain, oauth.Record)
}

// Vault shares tokens with other nodes. It implements [oauth.Sharer].
type Vault struct {
	cfg Config
	log *zap.Logger

	mu      sync.Mutex
	claimed map[string]bool            // by this node, with a call under way
	waiting map[string][]chan struct{} // who is to claim again, by the name of the chain
	heard   map[string]bool            // what was published, and is to be adopted
	told    map[string]bool            // by tellOnce
	silent  time.Time                  // since when no call was answered
	failed  time.Time                  // when the last one was not

	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

var _ oauth.Sharer = (*Vault)(nil)

// New returns a vault that adopts nothing before Start.
func New(cfg Config, log *zap.Logger) *Vault {
	v := &Vault{cfg: cfg, log: log, claimed: make(map[string]bool), waiting: make(map[string][]chan struct{}),
		heard: make(map[string]bool), told: make(map[string]bool), wake: make(chan struct{}, 1)}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v
}

// Start begins to adopt what others publish.
func (v *Vault) Start() { v.done.Go(v.adopt) }

// Close ends that. Claims go on: Close the manager of the tokens first.
func (v *Vault) Close() {
	v.cancel()
	v.done.Wait()
}

// call makes one call of the store, and notes whether it was answered.
func (v *Vault) call(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, share.CallTimeout)
	defer cancel()
	err := share.ErrOutage
	if v.cfg.Joined == nil || v.cfg.Joined() {
		err = f(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err == nil:
		v.silent = time.Time{}
	case v.silent.IsZero():
		v.silent = time.Now()
	}
	v.failed = time.Now()
	return err
}

// isOutage reports whether the store has been silent for long.
func (v *Vault) isOutage() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.silent.IsZero() && time.Since(v.silent) >= share.TTL
}

// hasJustFailed reports whether the next call of an outage is to wait.
func (v *Vault) hasJustFailed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Since(v.failed) < retryAfter
}

// Claim implements oauth.Sharer.
func (v *Vault) Claim(ctx context.Context, c oauth.Chain, have oauth.Record) (oauth.Claim, error) {
	name := Name(c)
	for {
		again := v.listen(name)
		got, pause, err := v.claim(ctx, c, &have)
		if err != nil || got != (oauth.Claim{}) {
			return got, err
		}
		select {
		case <-again:
		case <-time.After(pause):
		case <-ctx.Done():
			return oauth.Claim{}, context.Cause(ctx)
		}
	}
}

// claim asks once. Without a claim or a record, pause says when to ask again.
func (v *Vault) claim(ctx context.Context, c oauth.Chain, have *oauth.Record) (
	got oauth.Claim, pause time.Duration, err error,
) {
	name := Name(c)
	if v.isOutage() && v.hasJustFailed() {
		return oauth.Claim{}, 0, share.ErrOutage
	}
	if !v.enter(name) { // the store does not tell the calls of one node apart
		return oauth.Claim{}, askEvery, nil
	}
	defer func() {
		if got.Fence == 0 {
			v.mu.Lock()
			delete(v.claimed, name)
			v.mu.Unlock()
		}
	}()
	sent := time.Now()
	var answer share.Claim
	err = v.call(ctx, func(ctx context.Context) (err error) {
		answer, err = v.cfg.Store.Claim(ctx, v.cfg.Node, name, v.cfg.TTL)
		return err
	})
	switch {
	case err != nil && ctx.Err() == nil && !v.isOutage():
		return oauth.Claim{}, retryAfter, nil
	case err != nil:
		return oauth.Claim{}, 0, fmt.Errorf("%w: %w", share.ErrOutage, err)
	}
	if r := v.open(c, answer.Record); r != nil && r.Newer(have) {
		if answer.Fence != 0 {
			v.abandon(name, answer.Fence)
		}
		return oauth.Claim{Newer: r}, 0, nil
	}
	if answer.Fence == 0 {
		return oauth.Claim{}, askEvery, nil
	}
	return oauth.Claim{Fence: answer.Fence, Until: sent.Add(v.cfg.TTL)}, 0, nil
}

// Publish implements oauth.Sharer.
func (v *Vault) Publish(ctx context.Context, c oauth.Chain, fence uint64, r oauth.Record) (held bool, err error) {
	name := Name(c)
	defer v.leave(name)
	sealed, err := v.close(c, r)
	if err != nil {
		return false, err
	}
	for {
		err = v.call(ctx, func(ctx context.Context) (err error) {
			held, err = v.cfg.Store.Commit(ctx, v.cfg.Node, name, fence, sealed)
			return err
		})
		if err == nil {
			return held, nil
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return false, fmt.Errorf("%w: %w", share.ErrOutage, err)
		}
	}
}

// Abandon implements oauth.Sharer.
func (v *Vault) Abandon(c oauth.Chain, fence uint64) {
	name := Name(c)
	v.abandon(name, fence)
	v.leave(name)
}

// abandon ends a claim; if that is not answered, the claim ends by itself.
func (v *Vault) abandon(name string, fence uint64) {
	_ = v.call(context.Background(), func(ctx context.Context) error {
		return v.cfg.Store.Abandon(ctx, v.cfg.Node, name, fence)
	})
}

// Published implements oauth.Sharer.
func (v *Vault) Published(ctx context.Context, c oauth.Chain) (*oauth.Record, error) {
	var answer share.Claim
	err := v.call(ctx, func(ctx context.Context) (err error) {
		answer, err = v.cfg.Store.Record(ctx, Name(c))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", share.ErrOutage, err)
	}
	return v.open(c, answer.Record), nil
}

// enter notes a claim of this node under way; false: there is one.
func (v *Vault) enter(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.claimed[name] {
		return false
	}
	v.claimed[name] = true
	return true
}

// leave notes its end, and wakes those who wait for it.
func (v *Vault) leave(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.claimed, name)
	v.stir(name)
}

// listen returns what is closed when the chain is to be claimed again.
func (v *Vault) listen(name string) <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	again := make(chan struct{})
	v.waiting[name] = append(v.waiting[name], again)
	return again
}

// stir wakes those who wait for the chain. Called with mu.
func (v *Vault) stir(name string) {
	for _, again := range v.waiting[name] {
		close(again)
	}
	delete(v.waiting, name)
}

// Heard is called with the key of each event share.Published. It does not wait.
func (v *Vault) Heard(name string) {
	v.mu.Lock()
	v.heard[name] = true
	v.stir(name)
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// adopt adopts what was published, until Close. What cannot be read now is read by the next
// claim.
func (v *Vault) adopt() {
	for {
		select {
		case <-v.wake:
		case <-v.ctx.Done():
			return
		}
		v.mu.Lock()
		heard := v.heard
		v.heard = make(map[string]bool)
		v.mu.Unlock()
		for name := range heard {
			c, ok := chainOf(name, v.cfg.Accounts())
			if !ok {
				continue
			}
			if r, err := v.Published(v.ctx, c); err == nil && r != nil {
				v.cfg.Adopt(c, *r)
			}
		}
	}
}
