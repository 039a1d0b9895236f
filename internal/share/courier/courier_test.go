package courier

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("no answer")

// gate is a store that may be away.
type gate struct {
	share.Store
	mu   sync.Mutex
	away bool
	lost string // the orders for this account are lost
}

func (g *gate) set(away bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = away
}

func (g *gate) err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.away {
		return errAway
	}
	return nil
}

func (g *gate) Order(ctx context.Context, o share.Order) error {
	if err := g.err(); err != nil {
		return err
	}
	g.mu.Lock()
	lost := g.lost == o.AccountID
	g.mu.Unlock()
	if lost {
		return errAway
	}
	return g.Store.Order(ctx, o)
}

func (g *gate) Orders(ctx context.Context) ([]share.Order, error) {
	if err := g.err(); err != nil {
		return nil, err
	}
	return g.Store.Orders(ctx)
}

// node is a process with a courier.
type node struct {
	*Courier
	t      *testing.T
	name   string
	orders *control.Orders
	gate   *gate
	path   string

	mu       sync.Mutex
	accounts *account.Snapshot
	deaf     bool     // no event comes
	done     []string // what followed from orders, beside the state
	stop     func()
}

// start starts a process, with the file of an earlier one if path is not empty.
func start(t *testing.T, l *ledger.Ledger, name, path string, away bool) *node {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), control.FileName)
	}
	n := &node{t: t, name: name, orders: new(control.Orders), gate: &gate{Store: l, away: away}, path: path}
	if damaged, err := n.orders.Open(path); err != nil || damaged != "" {
		t.Fatal(damaged, err)
	}
	n.know("one", "two")
	n.Courier = New(Config{Store: n.gate, Node: name, Orders: n.orders, Apply: n.apply, Accounts: func() *account.Snapshot {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.accounts
	}}, zap.NewNop())
	n.orders.Share = n.Courier
	n.Start()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.Events(ctx, func(e share.Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if e.Kind == share.Ordered && !n.deaf {
				n.Wake()
			}
		})
	}()
	n.stop = sync.OnceFunc(func() { cancel(); <-ended; n.Close() })
	t.Cleanup(n.stop)
	synctest.Wait()
	return n
}

func (n *node) know(ids ...string) {
	n.t.Helper()
	var all []*account.Account
	for _, id := range ids {
		all = append(all, &account.Account{ID: id, Email: id + "@example.com"})
	}
	snap, err := account.NewSnapshot(all)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accounts = snap
}

func (n *node) apply(g control.Given) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if g.State == control.Draining {
		n.done = append(n.done, "drain "+g.ID)
	}
	if g.Release {
		n.done = append(n.done, "release "+g.ID)
	}
	_, err := n.orders.Set(g.ID, g.State, g.At)
	return err
}

// did returns what followed from orders since the last call.
func (n *node) did() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	done := strings.Join(n.done, ", ")
	n.done = nil
	return done
}

func (n *node) order(id string, state control.State) error {
	return n.orders.Share.Give(control.Given{ID: id, State: state, Release: state == control.Active, At: time.Now()})
}

func (n *node) mustOrder(id string, state control.State) {
	n.t.Helper()
	if err := n.order(id, state); err != nil {
		n.t.Errorf("%s: %v", n.name, err)
	}
}

// inBubble runs f in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, l *ledger.Ledger)) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger.New(ledger.Config{Epoch: "1"})
		t.Cleanup(func() { l.Close() })
		f(t, l)
	})
}

// want checks the state of an account, in force and in the file of each node.
func want(t *testing.T, id string, state control.State, nodes ...*node) {
	t.Helper()
	synctest.Wait()
	for _, n := range nodes {
		if got := n.orders.Of(id).State; got != state {
			t.Errorf("%s is %v on %s; want %v", id, got, n.name, state)
		}
		var file control.Orders
		if _, err := file.Open(n.path); err != nil || file.Of(id).State != state {
			t.Errorf("%s is %v in the file of %s, %v; want %v", id, file.Of(id).State, n.name, err, state)
		}
	}
}

// Every order, given on any node, holds on all at once, with what follows from it.
func TestOrdersHoldEverywhere(t *testing.T) {
	inBubble(t, func(t *testing.T, l *ledger.Ledger) {
		a, b, c := start(t, l, "a", "", false), start(t, l, "b", "", false), start(t, l, "c", "", false)
		all := []*node{a, b, c}
		began := time.Now()
		for i, step := range []struct {
			state control.State
			done  string
		}{{control.Paused, ""}, {control.Draining, "drain one"}, {control.Draining, "drain one"}, {control.Active, "release one"},
			{control.Active, "release one"}, {control.Draining, "drain one"}, {control.Paused, ""}, {control.Active, "release one"}} {
			time.Sleep(time.Millisecond)
			all[i%3].mustOrder("one", step.state)
			want(t, "one", step.state, all...)
			want(t, "two", control.Active, all...)
			for _, n := range all {
				if got := n.did(); got != step.done {
					t.Errorf("step %d: on %s %q followed; want %q", i, n.name, got, step.done)
				}
			}
		}
		if took := time.Since(began); took > 8*time.Millisecond {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, n := range all {
			if got := n.did(); got != "" {
				t.Errorf("on %s %q followed again", n.name, got)
			}
		}
	})
}

// Without an event an order is found within two seconds.
func TestLostEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, l *ledger.Ledger) {
		a, b := start(t, l, "a", "", false), start(t, l, "b", "", false)
		b.mu.Lock()
		b.deaf = true
		b.mu.Unlock()
		a.mustOrder("one", control.Draining)
		time.Sleep(beatEvery)
		want(t, "one", control.Draining, a, b)
		if got := b.did(); got != "drain one" {
			t.Errorf("%q followed", got)
		}
	})
}

// A pause wins over a resume that did not know it, in any order, and the one who resumed is
// told. A resume that knew it holds.
func TestCrossingOrders(t *testing.T) {
	for _, first := range []control.State{control.Paused, control.Active} {
		t.Run(fmt.Sprint(first, " first"), func(t *testing.T) {
			inBubble(t, func(t *testing.T, l *ledger.Ledger) {
				a, b := start(t, l, "a", "", false), start(t, l, "b", "", false)
				a.mustOrder("one", control.Paused)
				want(t, "one", control.Paused, a, b)
				for _, n := range []*node{a, b} {
					n.mu.Lock()
					n.deaf = true
					n.mu.Unlock()
				}
				time.Sleep(time.Millisecond)
				if first == control.Active {
					b.mustOrder("one", control.Active)
					a.mustOrder("one", control.Draining) // a knows of the first pause alone
				} else {
					a.mustOrder("one", control.Draining)
					if err := b.order("one", control.Active); !errors.Is(err, control.ErrCrossed) {
						t.Errorf("who resumed is told %v", err)
					}
				}
				time.Sleep(beatEvery)
				want(t, "one", control.Draining, a, b)
				b.mustOrder("one", control.Active)
				time.Sleep(beatEvery)
				want(t, "one", control.Active, a, b)
			})
		})
	}
}

// An order of an outage holds where it was given, over a restart too, and everywhere when the
// store is back. Then a pause wins over what others resumed, and a resume does not win over
// a pause.
func TestOutage(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		for _, given := range []control.State{control.Paused, control.Draining, control.Active} {
			t.Run(fmt.Sprint(given, " restarted ", restarted), func(t *testing.T) {
				inBubble(t, func(t *testing.T, l *ledger.Ledger) {
					a, b := start(t, l, "a", "", false), start(t, l, "b", "", false)
					if given == control.Active {
						a.mustOrder("one", control.Paused)
						want(t, "one", control.Paused, a, b)
					}
					a.gate.set(true)
					time.Sleep(time.Second)
					a.mustOrder("one", given)
					want(t, "one", given, a)
					if !a.orders.IsUntold("one") {
						t.Error("the operator is not told")
					}
					if restarted {
						a.stop()
						a = start(t, l, "a", a.path, true)
						want(t, "one", given, a)
					}
					time.Sleep(time.Minute)
					if given == control.Active {
						want(t, "one", control.Paused, b)
					} else {
						b.mustOrder("one", control.Active)
					}
					want(t, "one", given, a)
					b.did()
					a.gate.set(false)
					time.Sleep(beatEvery)
					want(t, "one", given, a, b)
					if a.orders.IsUntold("one") {
						t.Error("it stays untold")
					}
					if got, want := b.did(), map[control.State]string{control.Draining: "drain one", control.Active: "release one"}[given]; got != want {
						t.Errorf("%q followed; want %q", got, want)
					}
				})
			})
		}
	}
	t.Run("a resume of an outage and a pause", func(t *testing.T) {
		inBubble(t, func(t *testing.T, l *ledger.Ledger) {
			a, b := start(t, l, "a", "", false), start(t, l, "b", "", false)
			a.mustOrder("one", control.Paused)
			want(t, "one", control.Paused, a, b)
			a.gate.set(true)
			time.Sleep(time.Second)
			a.mustOrder("one", control.Active)
			b.mustOrder("one", control.Draining)
			want(t, "one", control.Active, a)
			a.gate.set(false)
			time.Sleep(beatEvery)
			want(t, "one", control.Draining, a, b)
			if got := a.did(); !strings.HasSuffix(got, "drain one") {
				t.Errorf("%q followed", got)
			}
		})
	})
}

// An untold order holds while another one is given.
func TestUntoldBesideAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, l *ledger.Ledger) {
		a := start(t, l, "a", "", false)
		a.mustOrder("one", control.Paused)
		a.mustOrder("one", control.Active)
		a.gate.mu.Lock()
		a.gate.lost = "one"
		a.gate.mu.Unlock()
		a.mustOrder("one", control.Paused)
		a.mustOrder("two", control.Paused)
		want(t, "one", control.Paused, a)
		time.Sleep(time.Minute)
		want(t, "one", control.Paused, a)
	})
}

// A process that starts has the orders of the store before it takes mail; it repeats nothing.
// The store has the orders of before the sharing, and gets all again after a loss.
func TestStart(t *testing.T) {
	inBubble(t, func(t *testing.T, l *ledger.Ledger) {
		path := filepath.Join(t.TempDir(), "before.json")
		var before control.Orders
		if _, err := before.Open(path); err != nil {
			t.Fatal(err)
		}
		if _, err := before.Set("two", control.Paused, time.Now()); err != nil {
			t.Fatal(err)
		}
		a := start(t, l, "a", "", false)
		a.mustOrder("one", control.Draining)
		b := start(t, l, "b", path, false)
		if got := b.orders.Of("one").State; got != control.Draining {
			t.Errorf("one is %v at the start", got)
		}
		want(t, "two", control.Paused, a, b)
		b.stop()
		time.Sleep(time.Millisecond)
		a.mustOrder("one", control.Active)
		b = start(t, l, "b", path, false)
		want(t, "one", control.Active, a, b)
		if got := b.did(); strings.Contains(got, "release") {
			t.Errorf("%q is repeated", got)
		}
		l.Restart("2", false)
		time.Sleep(beatEvery)
		synctest.Wait()
		list, err := l.Orders(t.Context())
		if err != nil || !slices.ContainsFunc(list, func(o share.Order) bool { return o.AccountID == "two" && o.State == "paused" }) {
			t.Errorf("after a loss the store has %+v, %v", list, err)
		}
		want(t, "two", control.Paused, a, b)
		b.mustOrder("two", control.Active)
		want(t, "two", control.Active, a, b)
	})
}

// An order for an account that a node does not have waits until it has it.
func TestUnknownAccount(t *testing.T) {
	inBubble(t, func(t *testing.T, l *ledger.Ledger) {
		a, b := start(t, l, "a", "", false), start(t, l, "b", "", false)
		b.know("two")
		a.mustOrder("one", control.Paused)
		want(t, "one", control.Active, b)
		b.know("one", "two")
		time.Sleep(beatEvery)
		want(t, "one", control.Paused, b)
	})
}

// A node that the store has not taken gives and takes no orders.
func TestForeignNode(t *testing.T) {
	inBubble(t, func(t *testing.T, l *ledger.Ledger) {
		a, b := start(t, l, "a", "", false), start(t, l, "b", "", false)
		b.Courier.mu.Lock()
		b.cfg.Joined = func() bool { return false }
		b.Courier.mu.Unlock()
		time.Sleep(time.Millisecond)
		b.mustOrder("one", control.Paused)
		a.mustOrder("two", control.Paused)
		time.Sleep(beatEvery)
		want(t, "one", control.Paused, b)
		want(t, "one", control.Active, a)
		want(t, "two", control.Active, b)
		if !b.orders.IsUntold("one") {
			t.Error("the operator is not told")
		}
	})
}

// An order that cannot be kept on the disk is in force, and the operator is told.
func TestOrderNotKept(t *testing.T) {
	inBubble(t, func(t *testing.T, l *ledger.Ledger) {
		a := start(t, l, "a", filepath.Join(t.TempDir(), "missing", "orders.json"), false)
		if err := a.order("one", control.Paused); err == nil || a.orders.Of("one").State != control.Paused {
			t.Errorf("%v, %v", err, a.orders.Of("one"))
		}
	})
}
