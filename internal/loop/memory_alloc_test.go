//go:build !race

package loop

import (
	"crypto/tls"
	"testing"
)

// TestMemoryAllocations gates what lending and reclaiming a buffer costs. With the race
// detector a sync.Pool forgets at random.
func TestMemoryAllocations(t *testing.T) {
	c := tls.Server(nil, &tls.Config{})
	if n := testing.AllocsPerRun(100, func() {
		lend(c)
		reclaim(c)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
