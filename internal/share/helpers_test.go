package share

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

var errLost = errors.New("the answer is lost")

// script is a store whose answers a test writes. It has no state: what it grants is what
// was asked, unless grant says otherwise.
type script struct {
	mu       sync.Mutex
	epoch    string
	calls    [][]Report
	beats    []time.Time
	orders   []Order
	nodes    int
	announce error
	grant    func(*Report, *Grant)
	// meet is called with each call of Renew before it is answered, without the lock. It may
	// wait.
	meet func(ctx context.Context, call int) error

	events   chan Event
	broken   chan struct{} // ends Events
	listened int
}

func newScript() *script {
	return &script{epoch: "1", nodes: 1, events: make(chan Event), broken: make(chan struct{})}
}

func (s *script) Renew(ctx context.Context, _ Node, reports []Report) (Answer, error) {
	s.mu.Lock()
	s.calls = append(s.calls, reports)
	call, meet := len(s.calls), s.meet
	s.mu.Unlock()
	if meet != nil {
		if err := meet(ctx, call); err != nil {
			return Answer{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := Answer{Epoch: s.epoch}
	for i := range reports {
		r := &reports[i]
		g := Grant{Key: r.Key, Seq: r.Seq, Slots: r.Slots.Want, Nodes: s.nodes}
		for k := range r.Permits {
			g.Permits[k].Held = r.Permits[k].Want
		}
		if s.grant != nil {
			s.grant(r, &g)
		}
		a.Grants = append(a.Grants, g)
	}
	return a, nil
}

func (s *script) Announce(context.Context, Info) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beats = append(s.beats, time.Now())
	return s.announce
}

func (s *script) Nodes(context.Context) ([]Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return make([]Info, s.nodes), nil
}

func (s *script) Orders(context.Context) ([]Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.orders), nil
}

func (s *script) Events(ctx context.Context, f func(Event)) error {
	s.set(func() { s.listened++ })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-s.events:
			f(e)
		case <-s.broken:
			return errLost
		}
	}
}

func (s *script) Claim(context.Context, Node, string, time.Duration) (Claim, error) {
	return Claim{}, errLost
}
func (s *script) Commit(context.Context, Node, string, uint64, []byte) (bool, error) {
	return false, errLost
}
func (s *script) Abandon(context.Context, Node, string, uint64) error { return errLost }
func (s *script) Record(context.Context, string) (Claim, error)       { return Claim{}, errLost }
func (s *script) Order(context.Context, Order) error                  { return errLost }
func (s *script) Close() error                                        { return nil }

// set changes the script.
func (s *script) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// last returns the last report of a key, and how many calls had one.
func (s *script) last(key string) (r Report, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, reports := range s.calls {
		for _, o := range reports {
			if o.Key == key {
				r, n = o, n+1
			}
		}
	}
	return r, n
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// away has calls end without an answer, after the patience of the caller.
func away(ctx context.Context, _ int) error {
	<-ctx.Done()
	return ctx.Err()
}

// world is a member in a bubble of virtual time.
type world struct {
	*Member
	t     *testing.T
	store *script
	logs  *observer.ObservedLogs
	set   *metrics.Set
}

// inWorld runs f with a member that has started.
func inWorld(t *testing.T, cfg Config, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cfg, newScript())
		if err := w.Start(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		f(w)
		w.store.set(func() { w.store.meet = nil })
		w.Close()
	})
}

func newWorld(t *testing.T, cfg Config, store *script) *world {
	core, logs := observer.New(zap.InfoLevel)
	w := &world{t: t, store: store, logs: logs, set: metrics.NewSet()}
	cfg.Node = "a"
	w.Member = NewMember(cfg, store, zap.New(core), w.set)
	return w
}

// pass lets time pass, and all that follows from it.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// join joins a key with limits, and counts the calls of changed.
func (w *world) join(key string, slots int, permits [NumKinds]int) (b Mailbox, changed func() int) {
	var mu sync.Mutex
	n := 0
	b = w.Join(key, func() {
		mu.Lock()
		defer mu.Unlock()
		n++
	})
	b.Limit(slots, permits)
	return b, func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// is compares what a test sees.
func is[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
