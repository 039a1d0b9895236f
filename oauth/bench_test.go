package oauth

import (
	"strconv"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// cachedSources returns a manager with n accounts, their tokens cached.
func cachedSources(tb testing.TB, n int) (*Manager, []*account.Account) {
	m := newManager(DefaultConfig(), new(fakeFlow), nil, nil)
	tb.Cleanup(m.Close)
	accounts := make([]*account.Account, n)
	for i := range accounts {
		a := tokentest.Account("https://login.example.com")
		a.ID = "acct" + strconv.Itoa(i)
		accounts[i] = a
		s := m.Source(a)
		s.mu.Lock()
		s.publish(flow.Issued{Access: "A", Refresh: a.RefreshToken, Expiry: time.Now().Add(time.Hour)}, time.Now())
		s.mu.Unlock()
	}
	return m, accounts
}

func BenchmarkCached(b *testing.B) {
	for _, n := range []int{1, 10000} {
		b.Run("accounts="+strconv.Itoa(n), func(b *testing.B) {
			m, accounts := cachedSources(b, n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if m.Source(accounts[i]).Cached() == nil {
					b.Fatal("no token")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

// BenchmarkCachedParallel has all goroutines ask for one account, the worst case.
func BenchmarkCachedParallel(b *testing.B) {
	m, accounts := cachedSources(b, 1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if m.Source(accounts[0]).Cached() == nil {
				b.Fail()
			}
		}
	})
}
