//go:build !race

package server

import (
	"crypto/tls"
	"testing"
)

// TestTLSMemoryAllocations gates what lending and reclaiming a buffer costs. With
// the race detector a sync.Pool forgets at random.
func TestTLSMemoryAllocations(t *testing.T) {
	c := tls.Server(nil, &tls.Config{})
	if n := testing.AllocsPerRun(100, func() {
		lendMemory(c)
		reclaimMemory(c)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
