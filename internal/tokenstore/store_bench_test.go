package tokenstore

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
)

// fill saves the tokens of n accounts, as long as Microsoft's.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	r := testRecord(1)
	r.Access, r.Refresh = account.NewSecret(strings.Repeat("a", 1800)), account.NewSecret(strings.Repeat("r", 1200))
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := s.Save(chain(fmt.Sprint("acct", i), 1), r); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

// BenchmarkOpen opens and checks a store, which is part of every start.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{100, 10000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			path, keys := storePath(b), keyring(b, seal.GenerateKey())
			s := mustOpen(b, path, keys)
			fill(b, s, n)
			s.Close()
			for b.Loop() {
				mustOpen(b, path, keys).Close()
			}
		})
	}
}

// BenchmarkSave has that many accounts save at one time.
func BenchmarkSave(b *testing.B) {
	for _, n := range []int{1, 32, 1000} {
		b.Run(fmt.Sprintf("parallel=%d", n), func(b *testing.B) {
			s := mustOpen(b, storePath(b), keyring(b, seal.GenerateKey()))
			for b.Loop() {
				fill(b, s, n)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "saves/s")
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	s := mustOpen(b, storePath(b), keyring(b, seal.GenerateKey()))
	fill(b, s, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := s.Load(chain("acct7", 1)); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
