//go:build !race

package tlsmemory

import (
	"crypto/tls"
	"testing"
)

// TestAllocations gates what lending and reclaiming a buffer costs. With the race
// detector a sync.Pool forgets at random.
func TestAllocations(t *testing.T) {
	c := tls.Server(nil, &tls.Config{})
	if n := testing.AllocsPerRun(100, func() {
		Lend(c)
		Reclaim(c)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
