// Package backend has what a server of a test stands on: relay, token manager
// and a sandbox as provider.
package backend

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// Config is what a backend is made of.
type Config struct {
	Sandbox  sandbox.Config
	OAuth    oauth.Config
	Upstream upstream.Config        // its CAFile is set
	Account  func(*account.Account) // changes each account; may be nil
	Users    []string               // addresses of accounts of the sandbox
}

// Server is what stands on a backend.
type Server interface {
	Shutdown(context.Context) (cut int64)
	Stop()
}

// Backend is what a server of a test stands on.
type Backend struct {
	Config
	Provider *sandbox.Server
	Store    *account.Store
	Tokens   *oauth.Manager
	Relay    *upstream.Relay
	Metrics  *metrics.Set // of all parts
	Stop     func()       // the end of the test calls it too
}

// Start starts a backend and by serve the server on it. Both end with the test.
func Start[S Server](t testing.TB, cfg Config, serve func(*Backend) (S, error)) (*Backend, S) {
	t.Helper()
	b := &Backend{Config: cfg, Metrics: metrics.NewSet(), Provider: provider.Start(t, cfg.Sandbox)}
	b.Upstream.CAFile = provider.CA(t, b.Provider)
	b.Store = account.NewStore(b.Snapshot(t, cfg.Users...))
	b.Tokens = oauth.New(cfg.OAuth, zap.NewNop(), b.Metrics)
	t.Cleanup(b.Tokens.Close)
	var err error
	if b.Relay, err = upstream.New(b.Upstream, b.Tokens, zap.NewNop(), b.Metrics); err != nil {
		t.Fatal(err)
	}
	s, err := serve(b)
	if err != nil {
		t.Fatal(err)
	}
	b.Stop = sync.OnceFunc(func() { b.end(t, s) })
	t.Cleanup(b.Stop)
	return b, s
}

// end stops all from the front to the back, sessions at once, and checks that nothing is
// left.
func (b *Backend) end(t testing.TB, s Server) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(now)
	if err := b.Relay.Close(testkit.Context(t)); err != nil {
		t.Errorf("closing the relay: %v", err)
	}
	b.Tokens.Close()
	s.Stop()
	if err := b.Provider.Close(); err != nil {
		t.Errorf("closing the sandbox: %v", err)
	}
	if left := b.Nonzero(t, append(InUse, `upstream_connections{state="parked"}`, "smtp_connections_active",
		"smtp_session_panics_total", "upstream_panics_total")...); left != "" {
		t.Errorf("after the end of all: %s", left)
	}
}

// Snapshot has the accounts of those users.
func (b *Backend) Snapshot(t testing.TB, users ...string) *account.Snapshot {
	t.Helper()
	return provider.Snapshot(t, b.Provider, b.Config.Account, users...)
}

// InUse are the gauges that are zero when nothing is going on.
var InUse = []string{`upstream_connections{state="dialing"}`, `upstream_connections{state="active"}`,
	`upstream_connections{state="closing"}`, "upstream_queue_depth", "upstream_messages_in_flight",
	"smtp_content_budget_used_bytes"}

// Nonzero names those of the metrics that are not zero.
func (b *Backend) Nonzero(t testing.TB, names ...string) (left string) {
	t.Helper()
	all := testkit.Metrics(t, b.Metrics.WritePrometheus)
	for _, name := range names {
		v, ok := all[name]
		if !ok {
			t.Fatalf("there is no metric %s", name)
		}
		if v != 0 {
			left += fmt.Sprintf("%s is %g ", name, v)
		}
	}
	return left
}

// Metric reads one metric by its name with labels. It must be there.
func (b *Backend) Metric(t testing.TB, name string) float64 {
	t.Helper()
	return testkit.Metric(t, b.Metrics.WritePrometheus, name)
}

// Settled waits until nothing is going on, and until the provider has no connection but
// the parked ones.
func (b *Backend) Settled(t testing.TB) {
	t.Helper()
	testkit.Settle(t, func() string {
		if busy := b.Nonzero(t, InUse...); busy != "" {
			return busy
		}
		open, parked := b.Provider.Stats().Open, int64(b.Metric(t, `upstream_connections{state="parked"}`))
		if open != parked {
			return fmt.Sprintf("the provider has %d connections, the relay %d", open, parked)
		}
		return ""
	})
}

// Tokens is the server's view of a token manager.
type Tokens struct{ *oauth.Manager }

// Ready reports whether a token is cached.
func (s Tokens) Ready(a *account.Account) bool { return s.Source(a).Cached() != nil }

// Fetch gets a token and calls done once, on another goroutine.
func (s Tokens) Fetch(a *account.Account, done func(error)) {
	s.Source(a).Request(func(_ *oauth.Token, err error) { done(err) })
}
