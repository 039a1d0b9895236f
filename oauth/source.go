package oauth

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/workers"
)

const (
	// defaultMargin is for accounts without a RefreshMargin.
	defaultMargin = 5 * time.Minute
	// settled is the age from which a token counts as one that worked: its refusal at
	// login starts a new row of refusals.
	settled = 10 * time.Minute
)

// Source gives the access token of one account. All methods are safe for
// concurrent use, and none but Get blocks.
type Source struct {
	m           *Manager
	id          string
	fingerprint [sha256.Size]byte
	chain       Chain
	client      [sha256.Size]byte // circuit.Key
	// parent has the token that this source makes its own initial responses of; nil
	// for a source that fetches its token. See shared.go.
	parent *Source
	// base is the ID of the catch-all account whose mailbox this is, else empty.
	base    string
	account atomic.Pointer[account.Account]

	token  atomic.Pointer[Token]
	used   atomic.Int64 // when a caller last asked, in Unix seconds
	kicked atomic.Bool  // the replacement of a due token is under way or scheduled
	going  atomic.Bool  // unused, and about to be forgotten; see claim

	mu      sync.Mutex // guards the fields below
	retired bool
	call    *call // queued or running refresh
	timer   *time.Timer
	record  Record // of the chain, as in the store or pending
	loaded  bool   // the store was read

	untold  bool    // record was not published
	offered *Record // by another process, while a call was under way

	failure  *Error    // of the last refresh
	failedAt time.Time // when it was
	retryAt  time.Time // when a transient failure may be tried again
	failures int       // transient failures in a row
	refusals int       // tokens in a row that were refused at login
	// refusedSeq numbers the parent's token that was refused for this mailbox.
	refusedSeq uint64
}

// Cached returns the token, nil when there is none or it has expired. It never
// blocks and does not allocate. Near the expiry it starts a refresh in the
// background.
func (s *Source) Cached() *Token {
	if s.parent != nil {
		s.use(time.Now())
		return s.share(s.parent.Cached())
	}
	t := s.token.Load()
	if t == nil {
		return nil
	}
	now := time.Now()
	s.use(now)
	if !t.valid(now) {
		return nil
	}
	if now.After(t.renew) && s.kicked.CompareAndSwap(false, true) {
		s.replaceEarly()
	}
	return t
}

// use notes a caller.
func (s *Source) use(now time.Time) {
	if sec := now.Unix(); s.used.Load() != sec { // shared cache line: write seldom
		s.used.Store(sec)
	}
}

// Get returns the token, fetching one if needed. One refresh runs at a time for all
// callers; it does not end when ctx does. The error is an *Error; a remembered one
// comes at once.
func (s *Source) Get(ctx context.Context) (*Token, error) {
	if s.parent != nil {
		return s.getShared(ctx)
	}
	if t := s.Cached(); t != nil {
		return t, nil
	}
	c, t, err := s.join(nil)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return t, nil
	}
	return c.wait(ctx)
}

// Request is Get for callers that must not block: done is called once, on
// another goroutine, and must not block either.
func (s *Source) Request(done func(*Token, error)) {
	if s.parent != nil {
		s.requestShared(done)
		return
	}
	if t := s.Cached(); t != nil {
		s.m.workers.Spawn(func() { done(t, nil) })
		return
	}
	c, t, err := s.join(done)
	switch {
	case err != nil:
		s.m.workers.Spawn(func() { done(nil, err) })
	case c == nil:
		s.m.workers.Spawn(func() { done(t, nil) })
	}
}

// Invalidate says that the provider refused t at login. The next Get fetches a new
// token. When new tokens are refused too, Get returns ErrTokenRefused between tries,
// at growing intervals. Invalidate does nothing if t is no longer the source's token.
func (s *Source) Invalidate(t *Token) {
	if s.parent != nil {
		s.invalidateShared(t)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cur := s.token.Load()
	if t == nil || cur == nil || cur.seq != t.seq {
		return
	}
	s.token.Store(nil)
	s.refused(cur, time.Now())
}

// refused counts a token that was refused at login. Called with mu.
func (s *Source) refused(t *Token, now time.Time) {
	if now.Sub(t.issued) >= settled {
		s.refusals = 0
	}
	s.refusals++
	if s.refusals > 1 {
		s.failure, s.failedAt = errRefused, now
		s.retryAt = now.Add(s.m.cfg.backoff(s.account.Load().Retry, s.refusals+refusedStart, s.failure))
	}
}

// join returns one of three: a call to wait for, which tells waiter its answer; a
// token; an error.
func (s *Source) join(waiter func(*Token, error)) (*call, *Token, *Error) {
	now := time.Now()
	s.used.Store(now.Unix())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired {
		return nil, nil, errRetired
	}
	if t := s.token.Load(); t != nil && t.valid(now) { // came in between
		return nil, t, nil
	}
	if s.call != nil && s.call.stuck {
		return nil, nil, errStuck
	}
	if s.call == nil {
		if err := s.remembered(now); err != nil {
			return nil, nil, err
		}
		if err := s.m.clients.Refusal(s.client, now); err != nil {
			return nil, nil, err
		}
		if !s.start(now, false) {
			return nil, nil, errClosing
		}
	} else {
		s.await(now)
	}
	if waiter != nil {
		s.call.waiters = append(s.call.waiters, waiter)
	}
	return s.call, nil, nil
}

// await notes that a caller waits for the call, which then goes before early ones.
// Called with mu.
func (s *Source) await(now time.Time) {
	if s.call.Early {
		s.call.Early = false
		s.call.asked = now
		s.m.workers.Promote(&s.call.Task)
	}
}

// remembered returns the failure that still stands, if any. Called with mu.
func (s *Source) remembered(now time.Time) *Error {
	s.reconsider()
	if s.failure != nil && (s.failure.Permanent() || now.Before(s.retryAt)) {
		return s.failure
	}
	return nil
}

// reconsider forgets the refusal of the client after another account had another
// answer. Called with mu.
func (s *Source) reconsider() {
	if s.failure != nil && s.failure.Class == flow.ClassInvalidClient && !s.m.clients.IsRefused(s.client) {
		s.failure = nil
	}
}

// start queues a refresh. Called with mu, and without a call. False: closed.
func (s *Source) start(now time.Time, early bool) bool {
	return s.begin(&call{Task: workers.Task{Early: early}, asked: now})
}

// begin queues c as the refresh of the source. Called with mu, and without a
// call. False: closed.
func (s *Source) begin(c *call) bool {
	c.done = make(chan struct{})
	c.Work = func(number int, closed bool) { s.work(c, number, closed) }
	if !s.m.workers.Enqueue(&c.Task) {
		return false
	}
	s.call = c
	return true
}

// replaceEarly starts the replacement of a due token in the background, if the
// account is in use. The timer calls it, or, if the account was not in use then, the
// next caller of Cached.
func (s *Source) replaceEarly() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	window := s.m.cfg.EarlyRefreshWindow
	if s.retired || s.call != nil || window == 0 || s.remembered(now) != nil {
		return // kicked stays: the end of the call or the timer of the retry clears it
	}
	if now.Sub(time.Unix(s.used.Load(), 0)) > window {
		s.kicked.Store(false)
		s.dropExpired(now)
		return
	}
	if !s.start(now, true) {
		s.kicked.Store(false)
		return
	}
	s.kicked.Store(true)
}

// dropExpired frees the token of an unused account after its expiry. Called with
// mu.
func (s *Source) dropExpired(now time.Time) {
	if t := s.token.Load(); t != nil {
		if t.valid(now) {
			s.schedule(t.until.Sub(now))
		} else {
			s.token.Store(nil)
		}
	}
}

// leastRenewal is the least age at which the timer replaces a token.
const leastRenewal = time.Second

// publish makes got the source's token. Called with mu.
func (s *Source) publish(got flow.Issued, now time.Time) *Token {
	a := s.account.Load()
	if got.At.IsZero() {
		got.At = now
	}
	got.Expiry = got.Expiry.Round(0)        // by the wall clock, which goes on while the machine is suspended
	lifetime := max(0, got.Expiry.Sub(now)) // saving it may have taken longer than it lasts
	margin := a.RefreshMargin
	if margin <= 0 {
		margin = defaultMargin
	}
	margin = min(margin, lifetime/4)
	t := Token{
		Access: got.Access,
		Expiry: got.Expiry,
		seq:    s.m.seq.Add(1),
		issued: got.At,
		until:  got.Expiry.Add(-min(expirySkew, lifetime/4)),
		renew:  got.Expiry.Add(-margin - rand.N(margin+1)),
	}.forLogin(loginOf(a))
	s.token.Store(t)
	s.failure, s.failures = nil, 0
	s.kicked.Store(false)
	s.schedule(max(t.renew.Sub(now), leastRenewal))
	return t
}

// fail remembers why there was no token. A token that is still valid stays. Called
// with mu.
func (s *Source) fail(err *Error, now time.Time) {
	s.failure, s.failedAt = err, now
	if err.Permanent() {
		return
	}
	s.failures++
	delay := s.m.cfg.backoff(s.account.Load().Retry, s.failures, err)
	s.retryAt = now.Add(delay)
	if t := s.token.Load(); t != nil && t.valid(s.retryAt) {
		s.schedule(delay)
	}
}

// schedule sets the timer for the next early refresh. Called with mu.
func (s *Source) schedule(d time.Duration) {
	switch {
	case s.retired || s.m.cfg.EarlyRefreshWindow == 0:
	case s.timer == nil:
		s.timer = time.AfterFunc(d, s.replaceEarly)
	default:
		s.timer.Reset(d)
	}
}

// update makes a, which has the same credentials, the source's account.
func (s *Source) update(a *account.Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.account.Swap(a)
	if t := s.token.Load(); t != nil && loginOf(old) != loginOf(a) {
		s.token.Store(t.forLogin(loginOf(a)))
	}
}
