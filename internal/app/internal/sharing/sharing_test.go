package sharing

import (
	"errors"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/oauth"
)

func TestMain(m *testing.M) { testkit.VerifyNoLeaks(m) }

// shared is a store that a node does not close.
type shared struct{ share.Store }

func (shared) Close() error { return nil }

// proxy is what a node is a part of.
type proxy struct {
	*Node
	orders  *control.Orders
	adopted chan oauth.Record
	applied chan control.Given
}

func snapshot(t *testing.T, perMinute int) *account.Snapshot {
	t.Helper()
	a := &account.Account{ID: "one", Email: "one@gmail.com", ClientID: "client", RefreshToken: account.NewSecret("refresh"), Limits: account.Limits{MessagesPerMinute: perMinute}}
	s, err := account.NewSnapshot([]*account.Account{a})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newProxy returns a proxy that has not started.
func newProxy(t *testing.T, l *ledger.Ledger, name string, keys *seal.Keyring, perMinute int) *proxy {
	t.Helper()
	p := &proxy{orders: new(control.Orders), adopted: make(chan oauth.Record, 10), applied: make(chan control.Given, 10)}
	accounts := snapshot(t, perMinute)
	p.Node = over(shared{l}, config.Share{Node: name, Key: keys}, "1", oauth.DefaultConfig(), func() *account.Snapshot { return accounts }, zap.NewNop(), metrics.NewSet())
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) start() error {
	return p.Start(func(_ oauth.Chain, r oauth.Record) { p.adopted <- r }, p.orders, func(g control.Given) error {
		p.applied <- g
		_, err := p.orders.Set(g.ID, g.State, g.At)
		return err
	})
}

func keys(t *testing.T) *seal.Keyring {
	t.Helper()
	kr, err := seal.ParseKeyring(seal.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

// What one proxy refreshes or is ordered, the other one has too, and what it has leased the
// other one has not.
func TestTwoProxies(t *testing.T) {
	l := ledger.New(ledger.Config{Epoch: "1"})
	kr := keys(t)
	one, other := newProxy(t, l, "mx1", kr, 30), newProxy(t, l, "mx2", kr, 40)
	for _, p := range []*proxy{one, other} {
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := testkit.Context(t)
	chain := oauth.ChainOf(one.accounts().All()[0])
	record := oauth.Record{Refresh: account.NewSecret("next"), Rotated: time.Now()}
	testkit.Eventually(t, "the other proxy has the refresh token", func() bool { // once it listens
		claim, err := one.Sharer().Claim(ctx, chain, record)
		if err != nil || claim.Fence == 0 {
			t.Fatalf("claim %+v, %v", claim, err)
		}
		record.Generation++
		if held, err := one.Sharer().Publish(ctx, chain, claim.Fence, record); err != nil || !held {
			t.Fatalf("published: %v, %v", held, err)
		}
		select {
		case r := <-other.adopted:
			return r.Refresh == record.Refresh
		default:
			return false
		}
	})

	if err := one.orders.Share.Give(control.Given{ID: "one", State: control.Paused, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if g := testkit.Receive(t, "an order", other.applied); g.ID != "one" || g.State != control.Paused {
		t.Errorf("ordered %+v", g)
	}

	boxes := []share.Mailbox{one.Pool().Join("mailbox", func() {}), other.Pool().Join("mailbox", func() {})}
	for _, b := range boxes {
		b.Limit(2, [share.NumKinds]int{})
		b.Report(0, 0, 2)
	}
	testkit.Eventually(t, "each may have one connection", func() bool { return boxes[0].Connections() == 1 && boxes[1].Connections() == 1 })

	nodes, err := one.Roster(ctx)
	if err != nil || len(nodes) != 2 || nodes[0].Node != one.Node.Node() || nodes[0].KeyCheck != nodes[1].KeyCheck || nodes[0].Limits == nodes[1].Limits {
		t.Errorf("%+v, %v", nodes, err)
	}
}

// A proxy with another seal key does not join.
func TestOtherKey(t *testing.T) {
	l := ledger.New(ledger.Config{Epoch: "1"})
	if err := newProxy(t, l, "mx1", keys(t), 30).start(); err != nil {
		t.Fatal(err)
	}
	if err := newProxy(t, l, "mx2", keys(t), 30).start(); !errors.Is(err, share.ErrForeign) {
		t.Errorf("started: %v", err)
	}
}

// Without a store in the settings there is no node, and nothing to ask.
func TestAlone(t *testing.T) {
	n, err := Open(config.Share{}, "1", oauth.DefaultConfig(), nil, zap.NewNop(), metrics.NewSet())
	if n != nil || err != nil || n.Pool() != nil || n.Sharer() != nil || n.Start(nil, nil, nil) != nil {
		t.Errorf("%v, %v", n, err)
	}
	n.Close()
}
