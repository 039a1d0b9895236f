package oauth

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// heapObjects is the number of objects that are reachable, once cleanups have run.
func heapObjects() int {
	var stats runtime.MemStats
	for range 3 { // an account's cleanup frees what the next cycle finds
		runtime.GC()
		runtime.Gosched()
	}
	runtime.ReadMemStats(&stats)
	return int(stats.HeapObjects)
}

func countSources(m *Manager) (n int) {
	m.sources.Range(func(any, any) bool { n++; return true })
	return n
}

// loginAs logs in as the mailbox, as the server does.
func loginAs(t *testing.T, m *Manager, s *account.Snapshot, login string) (*Source, error) {
	t.Helper()
	src, err := m.SourceForLogin(mailboxOf(t, s, login))
	if err != nil {
		return nil, err
	}
	if src.Cached() == nil {
		mustGet(t, src)
	}
	return src, nil
}

// TestMailboxesComeAndGo has 80,000 names log in, as many at a time as may, and
// none come back: no source of them is left. Logins beyond the bound are refused, and
// admitted mailboxes work on.
func TestMailboxesComeAndGo(t *testing.T) {
	const most = 10_000
	inBubble(t, func(cfg *Config) { cfg.MaxMailboxes = most }, func(t *testing.T, m *Manager, f *fakeFlow) {
		snap := snapshot(t, catchAll(func(*account.Account) {}), tokentest.AccountLike(tokentest.Account("https://x"), func(a *account.Account) { a.Email = "own@outlook.com" }))
		m.Retain(snap)
		if _, err := loginAs(t, m, snap, "warm@outlook.com"); err != nil {
			t.Fatal(err)
		}
		before := heapObjects()
		time.Sleep(mailboxIdle + 2*mailboxRound)
		for wave := range 8 {
			name := func(i int) string { return fmt.Sprintf("user%d@outlook.com", wave*most+i) }
			var one *Source
			for i := range most {
				src, err := loginAs(t, m, snap, name(i))
				if err != nil {
					t.Fatalf("name %d of wave %d: %v", i, wave, err)
				}
				one = src
			}
			_, err := loginAs(t, m, snap, "more@outlook.com")
			if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, flow.ErrMailboxes) || e.Permanent() {
				t.Fatalf("one mailbox too many: %v", err)
			}
			if _, err := loginAs(t, m, snap, name(0)); err != nil {
				t.Errorf("one that is there: %v", err)
			}
			if _, err := loginAs(t, m, snap, "own@outlook.com"); err != nil {
				t.Errorf("an account configured by itself: %v", err)
			}
			mustGet(t, one)
			mustGet(t, m.Source(mailboxOf(t, snap, "logged.in.before@outlook.com"))) // a message of it
			time.Sleep(mailboxIdle + 2*mailboxRound)
			synctest.Wait()
			if n := m.countMailboxes(); n != 0 || countSources(m) != 2 {
				t.Fatalf("%d sources, %d of them of mailboxes, after wave %d", countSources(m), n, wave)
			}
		}
		after := heapObjects()
		for i := 0; i < 200 && after > before+most/2; i++ { // the cleanups of accounts run on a goroutine of the runtime
			after = heapObjects()
		}
		if after > before+most/2 {
			t.Errorf("%d objects on the heap, %d before", after, before)
		}
		if f.count() > 40 {
			t.Errorf("%d tokens of one client", f.count())
		}
	})
}

// TestMailboxesKept has sources that must not be forgotten yet.
func TestMailboxesKept(t *testing.T) {
	own := catchAll(func(a *account.Account) { a.Flow = account.FlowServiceAccount })
	shared := catchAll(func(*account.Account) {})
	tests := []struct {
		name    string
		account *account.Account
		prepare func(*testing.T, *Source)
		unused  time.Duration // from when on it is forgotten
	}{
		{"nothing", own, func(*testing.T, *Source) {}, mailboxIdle},
		{"used", shared, func(_ *testing.T, s *Source) { time.Sleep(5 * time.Minute); s.Cached() }, mailboxIdle},
		{"shared token", shared, func(t *testing.T, s *Source) { mustGet(t, s) }, mailboxIdle},
		{"own token", own, func(t *testing.T, s *Source) { mustGet(t, s) }, mailboxTokenIdle},
		{"back-off", own, func(_ *testing.T, s *Source) {
			s.mu.Lock()
			s.fail(&Error{Class: ClassThrottled, RetryAfter: 30 * time.Minute}, time.Now())
			s.retryAt = time.Now().Add(30 * time.Minute)
			s.mu.Unlock()
		}, 30 * time.Minute},
		{"refused", own, func(_ *testing.T, s *Source) {
			s.mu.Lock()
			s.fail(&Error{Class: ClassInvalidGrant}, time.Now())
			s.mu.Unlock()
		}, mailboxIdle},
		{"refresh", own, func(_ *testing.T, s *Source) { s.mu.Lock(); s.call = new(call); s.mu.Unlock() }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
				snap := snapshot(t, tt.account)
				m.Retain(snap)
				s := m.Source(mailboxOf(t, snap, "anna@outlook.com"))
				tt.prepare(t, s)
				gone := func() bool { return m.countMailboxes() == 0 }
				if tt.unused == 0 {
					if time.Sleep(3 * time.Hour); gone() {
						t.Error("forgotten")
					}
					s.mu.Lock()
					s.call = nil
					s.mu.Unlock()
					return
				}
				time.Sleep(tt.unused - time.Second)
				if gone() {
					t.Error("forgotten too soon")
				}
				time.Sleep(2 * mailboxRound)
				synctest.Wait()
				if !gone() {
					t.Error("not forgotten")
				}
				if again := m.Source(mailboxOf(t, snap, "anna@outlook.com")); again == s {
					t.Error("the old source is there")
				}
			})
		})
	}
}

// TestMailboxClaimed has a source come into use while it is being forgotten: its
// user never gets one that has ended.
func TestMailboxClaimed(t *testing.T) {
	m := newManager(DefaultConfig(), new(fakeFlow), nil, nil)
	defer m.Close()
	snap := snapshot(t, catchAll(func(*account.Account) {}))
	m.Retain(snap)
	a := mailboxOf(t, snap, "anna@outlook.com")
	for range 500 {
		s := m.Source(a)
		s.used.Store(time.Now().Add(-2 * mailboxIdle).Unix())
		var wg sync.WaitGroup
		wg.Go(func() { m.forgetUnused(time.Now()) })
		wg.Go(func() {
			if _, err := m.Source(a).Get(t.Context()); err != nil {
				t.Errorf("the source that was given: %v", err)
			}
		})
		wg.Wait()
		if n := m.countMailboxes(); n > 1 {
			t.Fatalf("%d mailboxes", n)
		}
	}
}

// soon fails the test if f does not return.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	testkit.Receive(t, what+" does not wait for the reload", done)
}

// TestReloadHoldsNobodyUp stops a reload with 30,000 mailboxes half-way: event loops
// get the tokens of mailboxes before and after that point. Then the reload ends the
// sources of removed accounts.
func TestReloadHoldsNobodyUp(t *testing.T) {
	const live = 30_000
	cfg := DefaultConfig()
	cfg.MaxMailboxes = live + 100
	m := newManager(cfg, new(fakeFlow), nil, nil)
	t.Cleanup(m.Close)
	gone := catchAll(func(a *account.Account) { a.ID, a.Email = "gone", "*@gone.example" })
	single := tokentest.AccountLike(tokentest.Account("https://x"), func(a *account.Account) { a.ID, a.Email = "single", "single@example.com" })
	before := snapshot(t, catchAll(func(*account.Account) {}), gone, single)
	m.Retain(before)
	name := func(i int) string { return fmt.Sprintf("user%d@outlook.com", i) }
	for i := range live {
		if _, err := loginAs(t, m, before, name(i)); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := loginAs(t, m, before, "anna@gone.example")
	if err != nil {
		t.Fatal(err)
	}
	halt := m.Source(mailboxOf(t, before, name(live/2)))
	after := snapshot(t, catchAll(func(a *account.Account) { a.VMTA = "x" }), single)
	halt.mu.Lock() // which the reload waits for when it comes to this one
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Retain(after)
	}()
	for m.accounts.Load() != after {
		runtime.Gosched()
	}
	for _, snap := range []*account.Snapshot{before, after} {
		soon(t, "a mailbox that is there", func() {
			for i := range 100 {
				if _, err := loginAs(t, m, snap, name(i)); err != nil {
					t.Error(err)
				}
			}
		})
		soon(t, "another account", func() { mustGet(t, m.Source(snap.All()[snap.Len()-1])) })
		soon(t, "a look-up", func() {
			if _, ok := snap.ByLogin([]byte("new@outlook.com")); !ok {
				t.Error("not found")
			}
		})
	}
	soon(t, "a new mailbox", func() {
		if _, err := loginAs(t, m, after, "new@outlook.com"); err != nil {
			t.Error(err)
		}
	})
	soon(t, "a request", func() {
		answered := make(chan error)
		m.Source(mailboxOf(t, after, "newer@outlook.com")).Request(func(_ *Token, err error) { answered <- err })
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
	halt.mu.Unlock()
	<-done
	removed.mu.Lock()
	if !removed.retired {
		t.Error("the source of a removed account has not ended")
	}
	removed.mu.Unlock()
	if n := m.countMailboxes(); n != live+2 {
		t.Errorf("%d mailboxes, want %d", n, live+2)
	}
	if s := m.Source(mailboxOf(t, after, name(1))); s.account.Load().VMTA != "x" {
		t.Error("the mailbox has not been told of the change")
	}
}
