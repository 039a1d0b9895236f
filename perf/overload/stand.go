package main

import (
	"fmt"
	"path/filepath"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// shape is what to start.
type shape struct {
	accounts, connections int // connections of each account
	pace                  time.Duration
	limits                string // of the sandbox: "on" or "off"
	queue                 int    // messages that may wait for a connection
}

// stand is a sandbox with its proxy.
type stand struct {
	shape
	*lab.Proxy
	sandbox *lab.Provider
}

// start starts both.
func start(b *lab.Bench, sh shape) (*stand, error) {
	s := &stand{shape: sh}
	err := s.startSandbox(b)
	if err != nil {
		return nil, err
	}
	s.Proxy, err = lab.StartProxyWith(b.Programs, b.Dir, s.sandbox, lab.Setup{Connections: sh.connections, Sections: map[string]any{
		"upstream": map[string]any{"queue_size": sh.queue},
		"log":      map[string]any{"level": "error"},
		"providers": map[string]any{lab.ProviderName: map[string]any{
			"connection_pool": map[string]any{"connection_idle_timeout_seconds": 3600},
		}},
	}})
	if err != nil {
		s.sandbox.Stop()
		return nil, err
	}
	return s, nil
}

// startSandbox starts a sandbox with the limits of Microsoft 365 but for the
// number of connections.
func (s *stand) startSandbox(b *lab.Bench) error {
	list := make([]map[string]string, s.accounts)
	for i := range list {
		list[i] = map[string]string{"account_id": fmt.Sprintf("bench-%d", i), "email": fmt.Sprintf("user%d@bench.test", i),
			"provider": "outlook", "endpoint": "mail"}
	}
	config := filepath.Join(b.Dir, "sandbox.json")
	err := lab.WriteJSON(config, map[string]any{
		"endpoints": []map[string]any{{"name": "mail", "preset": "outlook", "tls": "-",
			"limits": map[string]int{"connections": s.connections}}},
		"accounts": list, "limits": s.limits, "store": map[string]string{"mode": "count"},
	})
	if err != nil {
		return err
	}
	s.sandbox, err = lab.StartSandboxWith(b.Programs, b.Dir, "--config", config, "--latency", s.pace.String())
	return err
}

// stop ends both.
func (s *stand) stop() {
	s.Proxy.Stop()
	s.sandbox.Stop()
}

// load runs the load generator against the stand.
func (s *stand) load(b *lab.Bench, args ...string) (*report.Report, error) {
	return lab.Load(b.Programs.Loadgen, append([]string{"--target", s.Addr, "--accounts-file", s.sandbox.Accounts}, args...)...)
}

// resident is the proxy's memory, in octets.
func (s *stand) resident() (float64, error) { return s.Metric("process_resident_memory_bytes") }

// heap is what is live of the proxy's heap, in octets, right behind a collection.
func (s *stand) heap() (float64, error) {
	if _, err := lab.Get(s.Admin + "/debug/pprof/heap?gc=1"); err != nil {
		return 0, err
	}
	return s.Metric("go_memstats_heap_alloc_bytes")
}
