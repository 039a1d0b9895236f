//go:build e2e

package scale

import (
	"net"
	"testing"
	"time"

	"xoauth2-proxy/perf/lab"
	"xoauth2-proxy/perf/lab/labtest"
)

// TestStore: each fault of the store does what its name says, and the store answers afterwards.
func TestStore(t *testing.T) {
	labtest.Run(t, func(b *lab.Bench) {
		s := &stand{store: startStore(b)}
		r := s.store
		has := func(want string) {
			t.Helper()
			if got := r.order(r.gate, "GET key"); got != want {
				t.Errorf("the store has %q, want %q", got, want)
			}
		}
		const none = "$-1"
		r.order(r.gate, "SET key value")
		r.order(r.gate, "CONFIG SET appendfsync always")
		r.order(r.gate, "SET key value")
		has("value")
		r.kill(0, true)
		has("value")
		r.promote()
		has("value")
		r.kill(0, false)
		has(none)
		r.order(r.gate, "SET key value")
		for _, f := range faults {
			switch f.name {
			case "FLUSHALL", "CLIENT KILL":
				lab.Check(f.strike(s))
			}
		}
		has(none)
		if s.storeCPU() < 0 {
			t.Error("no CPU time")
		}
		r.network.Enable(gateName, false)
		if conn, err := net.Dial("tcp", r.gate); err == nil {
			conn.Close()
			t.Error("the network is not cut")
		}
		r.network.Enable(gateName, true)
		r.network.Spoil(gateName, lab.Toxic{Name: "late", Type: "latency", Stream: "downstream", Attributes: map[string]int{"latency": 300}})
		start := time.Now()
		has(none)
		if took := time.Since(start); took < 300*time.Millisecond {
			t.Errorf("an answer came after %v", took)
		}
		r.network.Heal()
	})
}
