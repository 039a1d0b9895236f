package oauth

import (
	"testing"
	"testing/synctest"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/httpc"
	"xoauth2-proxy/oauth/internal/tokentest"
)

const day = 24 * time.Hour

// withStore makes the manager of a bubble keep its tokens in store.
func withStore(store Store) func(*Config) {
	return func(c *Config) { c.Store = store }
}

// Refresh tokens of idle accounts are refreshed, each in its time and never many at
// once, and none of their access tokens stays in memory.
func TestKeepAlive(t *testing.T) {
	store := new(memoryStore)
	inBubble(t, withStore(store), func(t *testing.T, m *Manager, f *fakeFlow) {
		const n = 50
		accounts := make([]*account.Account, n)
		for i := range accounts {
			accounts[i] = bubbleAccount(i)
			accounts[i].Email = accounts[i].ID + "@example.com"
		}
		m.Retain(snapshot(t, accounts...))
		time.Sleep(firstUseWithin + 2*keepAliveRound)
		synctest.Wait()
		if got := f.count(); got != n {
			t.Fatalf("%d refreshes in the first days, want %d", got, n)
		}
		perHour := map[time.Time]int{}
		for _, at := range f.calls {
			perHour[at.Truncate(time.Hour)]++
		}
		for at, c := range perHour {
			if c > n/5 {
				t.Errorf("%d refreshes in the hour of %v", c, at)
			}
		}
		start := time.Now()
		time.Sleep(30*day - firstUseWithin - 5*day)
		if got := f.count(); got != n {
			t.Errorf("%d refreshes within the period, want none", got-n)
		}
		time.Sleep(time.Until(start.Add(30*day + 2*keepAliveRound)))
		synctest.Wait()
		if got := f.count(); got != 2*n {
			t.Errorf("%d refreshes after the period, want %d", got-n, n)
		}
		if c := m.countCached(); c > n/5 {
			t.Errorf("%d tokens of unused accounts in memory", c)
		}
	})
}

// The last use is remembered over a restart, and a use by clients counts.
func TestKeepAliveAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(memoryStore)
		cfg := DefaultConfig()
		cfg.Store = store
		a := bubbleAccount(1)
		run := func(d time.Duration, use bool) (refreshes int) {
			f := new(fakeFlow)
			m := newManager(cfg, f, nil, nil)
			defer m.Close()
			m.Retain(snapshot(t, a))
			if use {
				mustGet(t, m.Source(a))
			}
			time.Sleep(d)
			synctest.Wait()
			return f.count()
		}
		run(time.Minute, true)
		for day := range 26 {
			if n := run(24*time.Hour, false); n != 0 {
				t.Fatalf("refreshed after %d days", day)
			}
		}
		total := 0
		for range 5 {
			total += run(24*time.Hour, false)
		}
		if total != 1 {
			t.Errorf("%d refreshes from day 27 to 31, want 1", total)
		}
	})
}

func TestKeepAliveLeavesAlone(t *testing.T) {
	tests := []struct {
		name   string
		change func(*account.Account)
		err    *Error
		want   int // requests in 100 days
	}{
		{"turned off", func(a *account.Account) { a.KeepAlive = -1 }, nil, 0},
		{"no refresh token to lose", func(a *account.Account) { a.Flow = account.FlowClientCredentials }, nil, 0},
		{"refused for good", func(*account.Account) {}, &Error{Class: ClassInvalidGrant, Status: 400}, 1},
		{"longer period", func(a *account.Account) { a.KeepAlive = 60 * day }, nil, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, withStore(new(memoryStore)), func(t *testing.T, m *Manager, f *fakeFlow) {
				f.err = tt.err
				m.Retain(snapshot(t, tokentest.AccountLike(bubbleAccount(1), tt.change)))
				time.Sleep(100 * day)
				synctest.Wait()
				if n := f.count(); n != tt.want {
					t.Errorf("%d requests, want %d", n, tt.want)
				}
			})
		})
	}
}

// After a transient failure keep-alive tries again.
func TestKeepAliveTriesAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: ClassUnavailable, Err: httpc.ErrConnect}
		m.Retain(snapshot(t, bubbleAccount(1)))
		time.Sleep(firstUseWithin + 2*keepAliveRound)
		f.set(func(f *fakeFlow) { f.err = nil })
		before := f.count()
		time.Sleep(2 * keepAliveRound)
		synctest.Wait()
		if before == 0 || f.count() != before+1 {
			t.Errorf("%d failures, then %d requests", before, f.count()-before)
		}
	})
}
