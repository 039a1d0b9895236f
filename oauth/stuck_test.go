package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/oauth/internal/flow"
)

// gate is a flow and a Store of which one operation hangs until it is opened,
// whatever the deadline of its context.
type gate struct {
	Store
	at   string // "fetch", "Load" or "Save"
	open chan struct{}
}

func (g *gate) pass(at string) {
	if at == g.at {
		<-g.open
	}
}

func (g *gate) Fetch(_ context.Context, gr flow.Grant) (flow.Issued, *Error) {
	g.pass("fetch")
	return flow.Issued{Access: "access", Refresh: gr.Refresh, Expiry: time.Now().Add(time.Hour)}, nil
}

func (g *gate) Load(c Chain) (Record, bool, error) { g.pass("Load"); return g.Store.Load(c) }
func (g *gate) Save(c Chain, r Record) error       { g.pass("Save"); return g.Store.Save(c, r) }

// TestStuckWorker has a refresh hang, in its request and in the store. The stuck part
// is named: a store after 5 s, a worker 5 s after its own deadline. Callers that wait,
// and later ones, get a transient error. When the refresh goes on, its token is used.
func TestStuckWorker(t *testing.T) {
	for _, tt := range []struct {
		at    string
		early []string // after 6 s
	}{
		{"fetch", nil},
		{"Load", []string{"token store"}},
		{"Save", []string{"token store"}},
	} {
		t.Run(tt.at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dog := watchdog.New(watchdog.DefaultConfig(), zap.NewNop(), metrics.NewSet())
				defer dog.Close()
				g := &gate{Store: new(memoryStore), at: tt.at, open: make(chan struct{})}
				cfg := DefaultConfig()
				cfg.Watch, cfg.Store = dog, g
				m := newManager(cfg, g, nil, metrics.NewSet())
				defer m.Close()
				open := sync.OnceFunc(func() { close(g.open) })
				defer open() // or a test that fails would wait for ever
				s := m.Source(bubbleAccount(1))
				told := make(chan error, 3)
				request := func() { s.Request(func(_ *Token, err error) { told <- err }) }
				request()
				after(6 * time.Second)
				checkStuck(t, dog, tt.early)
				if len(told) > 0 {
					t.Errorf("a client is told before the worker's deadline: %v", <-told)
				}
				after(cfg.Timeout)
				checkStuck(t, dog, slices.Concat(tt.early, []string{"token worker 0"}))
				request()
				synctest.Wait()
				for range 2 {
					if len(told) == 0 {
						t.Fatal("a client that waits is not told")
					}
					if err := <-told; !errors.Is(err, ErrUnavailable) {
						t.Errorf("a client is told %v", err)
					}
				}
				open()
				after(time.Second)
				checkStuck(t, dog, nil)
				if s.Cached() == nil {
					t.Error("the token of the worker that came back is not used")
				}
				if len(told) > 0 {
					t.Error("a client is told twice")
				}
			})
		})
	}
}

// after lets time pass.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// checkStuck fails the test unless those parts are stuck, and no others.
func checkStuck(t *testing.T, dog *watchdog.Watchdog, want []string) {
	t.Helper()
	got := dog.Stuck()
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("stuck: %q, want %q", got, want)
	}
}
