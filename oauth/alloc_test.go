//go:build !race

package oauth

import "testing"

// The hot path allocates nothing.
func TestCachedDoesNotAllocate(t *testing.T) {
	m, accounts := cachedSources(t, 100)
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		if m.Source(accounts[i%len(accounts)]).Cached() == nil {
			t.Fatal("no token")
		}
		i++
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
