package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// fakeFlow answers by script, in the time of a synctest bubble.
type fakeFlow struct {
	mu      sync.Mutex
	took    time.Duration
	lasts   time.Duration // of a token; 0: an hour
	ends    time.Time     // of the refresh token
	err     *Error
	panics  bool
	calls   []time.Time
	now     int
	maximum int // running at one time
}

func (f *fakeFlow) Fetch(ctx context.Context, g flow.Grant) (flow.Issued, *Error) {
	f.mu.Lock()
	f.calls = append(f.calls, time.Now())
	f.now++
	f.maximum = max(f.maximum, f.now)
	n, took, lasts, ends, err, panics := len(f.calls), f.took, cmp.Or(f.lasts, time.Hour), f.ends, f.err, f.panics
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	if panics {
		panic("refresh-configured")
	}
	if took > 0 {
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return flow.Issued{}, flow.Local(ctx.Err())
		}
	}
	if err != nil {
		return flow.Issued{}, err
	}
	return flow.Issued{Access: "access-" + strconv.Itoa(n), Refresh: g.Refresh, Expiry: time.Now().Add(lasts), RefreshEnds: ends}, nil
}

func (f *fakeFlow) set(change func(*fakeFlow)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeFlow) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

// inBubble runs f with a manager over a fakeFlow under fake time.
func inBubble(t *testing.T, change func(*Config), f func(*testing.T, *Manager, *fakeFlow)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		if change != nil {
			change(&cfg)
		}
		fake := new(fakeFlow)
		m := newManager(cfg, fake, nil, metrics.NewSet())
		defer m.Close()
		f(t, m, fake)
	})
}

func bubbleAccount(n int) *account.Account {
	a := tokentest.Account("https://login.example.com")
	a.ID = "acct" + strconv.Itoa(n)
	a.RefreshMargin = 10 * time.Minute
	return a
}

// An account in use has its token replaced between two margins and one before
// the expiry, and no caller waits for it.
func TestEarlyRefresh(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		s := m.Source(bubbleAccount(1))
		first := mustGet(t, s)
		start := time.Now()
		for s.Cached() == first {
			if time.Since(start) > time.Hour {
				t.Fatal("the token was not replaced")
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		if s.Cached() == nil {
			t.Fatal("the token was lost")
		}
		if at := f.calls[1].Sub(start); at < 40*time.Minute || at > 50*time.Minute {
			t.Errorf("replaced after %v, want 40m to 50m", at)
		}
	})
}

func TestEarlyRefreshIsSpread(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		const n = 100
		for i := range n {
			mustGet(t, m.Source(bubbleAccount(i)))
		}
		time.Sleep(30 * time.Minute)
		for i := range n {
			m.Source(bubbleAccount(i)).Cached()
		}
		time.Sleep(25 * time.Minute)
		synctest.Wait()
		seen := make(map[time.Time]bool)
		for _, at := range f.calls[n:] {
			seen[at.Truncate(time.Second)] = true
		}
		if len(f.calls) != 2*n || len(seen) < n/2 {
			t.Errorf("%d early refreshes in %d different seconds, want %d and well spread", len(f.calls)-n, len(seen), n)
		}
	})
}

// The token of an idle account is not replaced, until a caller uses it shortly before
// its expiry.
func TestEarlyRefreshOnlyWhenUsed(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		s := m.Source(bubbleAccount(1))
		first := mustGet(t, s)
		time.Sleep(55 * time.Minute)
		synctest.Wait()
		if n := f.count(); n != 1 {
			t.Fatalf("%d refreshes of an idle account, want 1", n)
		}
		if s.Cached() != first {
			t.Fatal("the old token is to be used meanwhile")
		}
		synctest.Wait()
		if next := s.Cached(); f.count() != 2 || next == nil || next == first {
			t.Errorf("%d refreshes, token %v", f.count(), next)
		}
	})
}

// slowStore takes its time to save.
type slowStore struct {
	memoryStore
	takes time.Duration
}

func (s *slowStore) Save(c Chain, r Record) error {
	time.Sleep(s.takes)
	return s.memoryStore.Save(c, r)
}

// Tokens that last seconds, and may expire while they are saved, are not asked for
// without a pause, and for an idle account not at all.
func TestShortLivedTokens(t *testing.T) {
	for _, lasts := range []time.Duration{1, time.Millisecond, time.Second, 10 * time.Second} {
		for _, takes := range []time.Duration{0, lasts, 3 * time.Second} {
			t.Run(fmt.Sprintf("%v, saved in %v", lasts, takes), func(t *testing.T) {
				inBubble(t, withStore(&slowStore{takes: takes}), func(t *testing.T, m *Manager, f *fakeFlow) {
					f.set(func(f *fakeFlow) { f.lasts = lasts })
					mustGet(t, m.Source(bubbleAccount(1)))
					time.Sleep(48 * time.Hour)
					synctest.Wait()
					for i, at := range f.calls[1:] {
						if pause := at.Sub(f.calls[i]); pause < leastRenewal {
							t.Fatalf("refreshed again after %v", pause)
						}
					}
					if last := f.calls[len(f.calls)-1]; time.Since(last) < 24*time.Hour {
						t.Errorf("refreshed %v ago, for nobody", time.Since(last))
					}
				})
			})
		}
	}
}

func TestEarlyRefreshOff(t *testing.T) {
	inBubble(t, func(c *Config) { c.EarlyRefreshWindow = 0 }, func(t *testing.T, m *Manager, f *fakeFlow) {
		s := m.Source(bubbleAccount(1))
		mustGet(t, s)
		time.Sleep(55 * time.Minute)
		for range 3 {
			if s.Cached() == nil {
				t.Fatal("no token")
			}
			synctest.Wait()
		}
		time.Sleep(5*time.Minute - expirySkew)
		if n := f.count(); s.Cached() != nil || n != 1 {
			t.Errorf("%d refreshes, want 1, and no token", n)
		}
		mustGet(t, s)
	})
}

// Whatever goes wrong, a token that is still valid stays in use.
func TestValidTokenKept(t *testing.T) {
	tests := []struct {
		class Class
		calls int // in the 20 minutes before the expiry
	}{
		{ClassInvalidGrant, 1},
		{ClassUnavailable, 5},
	}
	for _, tt := range tests {
		t.Run(tt.class.String(), func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
				s := m.Source(bubbleAccount(1))
				first := mustGet(t, s)
				f.set(func(f *fakeFlow) { f.err = &Error{Class: tt.class} })
				for range 59 {
					time.Sleep(time.Minute)
					synctest.Wait()
					if s.Cached() != first || mustGet(t, s) != first {
						t.Fatal("the valid token was discarded")
					}
				}
				if n := f.count() - 1; n < tt.calls || tt.class.Permanent() && n != tt.calls {
					t.Errorf("%d early refreshes, want %d", n, tt.calls)
				}
				time.Sleep(time.Minute)
				_, err := s.Get(t.Context())
				if e, ok := errors.AsType[*Error](err); !ok || e.Class != tt.class {
					t.Errorf("after the expiry: %v", err)
				}
			})
		})
	}
}

// After transient failures the endpoint is asked at growing intervals, and
// callers in between are answered at once.
func TestBackoff(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: ClassUnavailable}
		s := m.Source(bubbleAccount(1))
		end := time.Now().Add(time.Hour)
		for time.Now().Before(end) {
			before := time.Now()
			if _, err := s.Get(t.Context()); !errors.Is(err, ErrUnavailable) || time.Now() != before {
				t.Fatalf("err = %v after %v", err, time.Since(before))
			}
			time.Sleep(100 * time.Millisecond)
		}
		for i := 1; i < len(f.calls); i++ {
			full := min(time.Second<<min(i-1, 20), 5*time.Minute)
			if d := f.calls[i].Sub(f.calls[i-1]); d < full/2 || d > full+100*time.Millisecond {
				t.Errorf("delay %d is %v, want between half of %v and all", i, d, full)
			}
		}
		if len(f.calls) < 10 {
			t.Errorf("%d requests in an hour", len(f.calls))
		}
		// success starts it all over
		f.set(func(f *fakeFlow) { f.err = nil })
		time.Sleep(5 * time.Minute)
		mustGet(t, s)
		if s.failure != nil || s.failures != 0 {
			t.Error("the failures are still remembered")
		}
	})
}

func TestRetryAfterObeyed(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: ClassThrottled, RetryAfter: 20 * time.Minute}
		s := m.Source(bubbleAccount(1))
		for range 20 * 60 {
			if _, err := s.Get(t.Context()); !errors.Is(err, flow.ErrThrottled) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := f.count(); n != 1 {
			t.Errorf("%d requests within Retry-After, want 1", n)
		}
		f.set(func(f *fakeFlow) { f.err = nil })
		time.Sleep(2*time.Minute + time.Second)
		mustGet(t, s)
	})
}

// The account's retry policy says how often one refresh is tried.
func TestRetryPolicy(t *testing.T) {
	policy := account.RetryPolicy{MaxAttempts: 3, BackoffFactor: 3, MaxDelay: 30 * time.Second}
	tests := []struct {
		class Class
		want  int
	}{{ClassUnavailable, 3}, {ClassInvalidGrant, 1}, {ClassThrottled, 1}}
	for _, tt := range tests {
		t.Run(tt.class.String(), func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
				f.err = &Error{Class: tt.class}
				a := bubbleAccount(1)
				a.Retry = policy
				start := time.Now()
				_, err := m.Source(a).Get(t.Context())
				if e, ok := errors.AsType[*Error](err); !ok || e.Class != tt.class {
					t.Fatal(err)
				}
				if n := f.count(); n != tt.want {
					t.Fatalf("%d attempts, want %d", n, tt.want)
				}
				if took := time.Since(start); tt.want == 3 && took != 4*time.Second { // 1s, 3s
					t.Errorf("took %v, want 4s", took)
				}
			})
		})
	}
}

// A provider that refuses new tokens of its own endpoint is not asked for more and
// more of them.
func TestTokensRefusedAgainAndAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		s := m.Source(bubbleAccount(1))
		end := time.Now().Add(time.Hour)
		for time.Now().Before(end) {
			if tok, err := s.Get(t.Context()); err == nil {
				s.Invalidate(tok)
			} else if !errors.Is(err, ErrTokenRefused) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := f.count(); n > 30 {
			t.Errorf("%d tokens fetched in an hour", n)
		}
		// A token that served for a while starts a new row.
		time.Sleep(5 * time.Minute)
		tok := mustGet(t, s)
		time.Sleep(settled)
		s.Invalidate(tok)
		mustGet(t, s)
	})
}

func TestParallelRefreshesBounded(t *testing.T) {
	inBubble(t, func(c *Config) { c.MaxParallel = 4 }, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.took = time.Second
		const n = 40
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { mustGet(t, m.Source(bubbleAccount(i))) })
		}
		start := time.Now()
		wg.Wait()
		if took := time.Since(start); f.maximum != 4 || took != 10*time.Second {
			t.Errorf("%d at one time, all in %v; want 4 and 10s", f.maximum, took)
		}
	})
}

// No caller waits in the queue for longer than QueueTimeout.
func TestQueueTimeout(t *testing.T) {
	inBubble(t, func(c *Config) { c.MaxParallel = 1; c.QueueTimeout = 5 * time.Second }, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.took = 2 * time.Second
		var wg sync.WaitGroup
		var failed int
		var mu sync.Mutex
		for i := range 10 {
			wg.Go(func() {
				if _, err := m.Source(bubbleAccount(i)).Get(t.Context()); err != nil {
					if !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if failed != 7 { // refreshes that start at 0, 2 and 4 s are in time
			t.Errorf("%d given up, want 7", failed)
		}
		for i := range 10 { // and it does not count against the accounts
			mustGet(t, m.Source(bubbleAccount(i)))
		}
	})
}

// A refresh that a caller waits for runs before all background refreshes, also if it
// was queued as one.
func TestWaitedRefreshesFirst(t *testing.T) {
	inBubble(t, func(c *Config) { c.MaxParallel = 1 }, func(t *testing.T, m *Manager, f *fakeFlow) {
		const n = 5
		var tokens [n]*Token
		for i := range n {
			tokens[i] = mustGet(t, m.Source(bubbleAccount(i)))
		}
		f.set(func(f *fakeFlow) { f.took = time.Second })
		time.Sleep(55 * time.Minute)
		for i := range n {
			m.Source(bubbleAccount(i)).Cached() // kicks
			synctest.Wait()
		}
		last := m.Source(bubbleAccount(n - 1))
		last.Invalidate(tokens[n-1])
		start := time.Now()
		mustGet(t, last)
		if took := time.Since(start); took != 2*time.Second { // the running refresh, then this
			t.Errorf("waited %v, want 2s", took)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := f.count(); got != 2*n {
			t.Errorf("%d refreshes, want %d", got, 2*n)
		}
	})
}

func TestSlowEndpoint(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.took = time.Hour
		start := time.Now()
		_, err := m.Source(bubbleAccount(1)).Get(t.Context())
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(start); took != m.cfg.Timeout {
			t.Errorf("took %v, want %v", took, m.cfg.Timeout)
		}
	})
}

// Close lets a running refresh finish and drops the queued ones.
func TestClose(t *testing.T) {
	inBubble(t, func(c *Config) { c.MaxParallel = 1 }, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.took = time.Second
		answer := func(n int) <-chan error {
			got := make(chan error, 1)
			m.Source(bubbleAccount(n)).Request(func(_ *Token, err error) { got <- err })
			synctest.Wait()
			return got
		}
		running, queued := answer(1), answer(2)
		m.Close()
		if err := <-running; err != nil {
			t.Errorf("running refresh: %v, want it to finish", err)
		}
		if err := <-queued; !errors.Is(err, flow.ErrClosed) {
			t.Errorf("queued refresh: %v, want ErrClosed", err)
		}
		if err := <-answer(3); !errors.Is(err, flow.ErrClosed) {
			t.Errorf("Request after Close: %v, want ErrClosed", err)
		}
		if _, err := m.Source(bubbleAccount(3)).Get(t.Context()); !errors.Is(err, flow.ErrClosed) {
			t.Errorf("Get after Close: %v, want ErrClosed", err)
		}
		mustGet(t, m.Source(bubbleAccount(1))) // cached tokens stay
		m.Close()
	})
}

// Close does not wait for ever for an endpoint that hangs.
func TestCloseGrace(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.took = time.Hour
		got := make(chan error, 1)
		m.Source(bubbleAccount(1)).Request(func(_ *Token, err error) { got <- err })
		synctest.Wait()
		start := time.Now()
		m.Close()
		if took := time.Since(start); took != closeGrace {
			t.Errorf("Close took %v, want %v", took, closeGrace)
		}
		if err := <-got; err == nil {
			t.Error("the aborted refresh has a token")
		}
	})
}

// A fault in a flow is an error of that refresh, and the worker goes on.
func TestFlowPanics(t *testing.T) {
	inBubble(t, func(c *Config) { c.MaxParallel = 1 }, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.panics = true
		if _, err := m.Source(bubbleAccount(1)).Get(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		f.set(func(f *fakeFlow) { f.panics = false })
		mustGet(t, m.Source(bubbleAccount(2)))
	})
}

// A caller that still has a removed account gets its token for a while, for messages
// under way; no other token is fetched. If the account comes back, it begins anew.
func TestRemovedAccountLeaves(t *testing.T) {
	tests := []struct {
		name string
		all  func(*testing.T) (*account.Snapshot, *account.Account)
	}{
		{"account", func(t *testing.T) (*account.Snapshot, *account.Account) {
			a := bubbleAccount(1)
			return snapshot(t, a), a
		}},
		{"mailbox of a catch-all account", func(t *testing.T) (*account.Snapshot, *account.Account) {
			snap := snapshot(t, catchAll(func(*account.Account) {}))
			return snap, mailboxOf(t, snap, "anna@outlook.com")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
				with, a := tt.all(t)
				without := snapshot(t, bubbleAccount(9))
				m.Retain(with)
				tok := mustGet(t, m.Source(a))
				m.Retain(without)
				time.Sleep(leaveGrace - time.Second)
				s := m.Source(a)
				if s.Cached() != tok || mustGet(t, s) != tok {
					t.Error("a message under way gets no token")
				}
				m.Retain(without) // changes nothing
				if _, ok := m.State(a.ID); ok {
					t.Error("the account is still there")
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				for _, s := range []*Source{s, m.Source(a)} {
					if _, err := s.Get(t.Context()); s.Cached() != nil || !errors.Is(err, flow.ErrRemoved) {
						t.Errorf("afterwards: %v, %v", s.Cached(), err)
					}
				}
				if len(m.leaving) != 0 || f.count() != 1 {
					t.Errorf("%d are kept, after %d requests", len(m.leaving), f.count())
				}

				m.Retain(with)
				tok = mustGet(t, m.Source(a))
				m.Retain(without)
				m.Source(a).Invalidate(tok) // the provider has refused it
				if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, flow.ErrRemoved) {
					t.Errorf("refused: %v", err)
				}
				m.Retain(with)
				if s := m.Source(a); s.retired || mustGet(t, s).Access == tok.Access {
					t.Error("the account that came back has its old source")
				}
			})
		})
	}
}
