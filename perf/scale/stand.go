package scale

import (
	"fmt"
	"path/filepath"

	"xoauth2-proxy/perf/lab"
)

// stand is the processes of a run.
type stand struct {
	*Command
	bench   *lab.Bench
	sandbox *lab.Provider
	proxies []*lab.Proxy
	store   *store // nil: there is none
	// all and homes have a file of accounts for the load of each proxy: all of them, or those
	// that are at home there.
	all, homes []string
}

// newStand starts all processes. The proxies share what the command says.
func newStand(b *lab.Bench, o *Command) *stand {
	s := &stand{Command: o, bench: b}
	s.sandbox = b.StartSandbox(lab.Sandbox{Accounts: o.Accounts, Preset: "gmail", Latency: o.Pace, Spans: []string{"1m"}})
	list := lab.ReadAccounts(s.sandbox.Accounts)
	dir := b.Folder()
	for i := range o.Proxies {
		home := filepath.Join(dir, fmt.Sprintf("home%d.json", i))
		var own []map[string]any
		for n := i; n < len(list); n += o.Proxies {
			own = append(own, list[n])
		}
		lab.WriteAccounts(home, own)
		s.all, s.homes = append(s.all, s.sandbox.Accounts), append(s.homes, home)
	}
	if o.Share == "redis" {
		s.store = startStore(b)
		return s
	}
	s.shareNothing()
	return s
}

// shareNothing starts the proxies anew, without a store.
func (s *stand) shareNothing() { s.start(nil) }

// shareAll starts them anew with the store.
func (s *stand) shareAll() { s.start(s.store) }

// start starts all proxies in place of those that run.
func (s *stand) start(store *store) {
	for _, p := range s.proxies {
		p.Stop()
	}
	s.proxies = nil
	parts := 1
	if s.Share == "divided" {
		parts = s.Proxies
	}
	for i := range s.Proxies {
		sections := map[string]any{
			"server":   map[string]any{"drain_timeout": "5s"},
			"upstream": map[string]any{"acquire_timeout": "10s"},
			"log":      map[string]any{"level": "error"},
			"providers": map[string]any{lab.ProviderName: map[string]any{
				"rate_limiting": map[string]any{"messages_per_minute": s.aMinute() / parts},
			}},
		}
		if store != nil {
			sections["share"] = store.section(i)
		}
		s.proxies = append(s.proxies, s.bench.StartProxy(s.sandbox, lab.Setup{Connections: max(1, connections/parts), Sections: sections}))
	}
}
