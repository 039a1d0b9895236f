package sharetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
	"xoauth2-proxy/internal/share/sharetest"
)

func pair(c *sharetest.Clock, spoil func(*ledger.Ledger) share.Store) *sharetest.Pair {
	first := ledger.New(ledger.Config{Now: c.Now, BusyFor: time.Minute})
	other := ledger.New(ledger.Config{Now: c.Now, BusyFor: time.Minute})
	return &sharetest.Pair{Target: first, Other: spoil(other), RestartOther: other.Restart}
}

func same(l *ledger.Ledger) share.Store { return l }

func TestPairOfLedgers(t *testing.T) {
	for seed := range uint64(4) {
		c := sharetest.NewClock()
		if err := (sharetest.Calls{Seed: seed, Steps: 3000, Restarts: seed%2 == 1}).Run(c, pair(c, same)); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
	h := histories(1, 2000)[0]
	c := sharetest.NewClock()
	if _, err := h.Run(c, pair(c, same)); err != nil {
		t.Errorf("%v: %v", h, err)
	}
}

// odd differs from a ledger in one answer.
type odd struct {
	*ledger.Ledger
	what string
}

func (o odd) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	a, err := o.Ledger.Renew(ctx, n, reports)
	for i := range a.Grants {
		g := &a.Grants[i]
		switch o.what {
		case "slots":
			g.Slots++
		case "held":
			g.Permits[share.LoginsPerMinute].Held++
		case "used":
			g.Permits[share.RecipientsPerDay].Used++
		case "next":
			g.Permits[share.MessagesPerHour].Next++
		case "stale":
			g.Stale = false
		case "nodes":
			g.Nodes++
		}
	}
	return a, err
}

func (o odd) Claim(ctx context.Context, n share.Node, chain string, ttl time.Duration) (share.Claim, error) {
	if o.what == "claim" {
		ttl += time.Second
	}
	return o.Ledger.Claim(ctx, n, chain, ttl)
}

func (o odd) Commit(ctx context.Context, n share.Node, chain string, fence uint64, record []byte) (bool, error) {
	if o.what == "commit" {
		return true, nil
	}
	return o.Ledger.Commit(ctx, n, chain, fence, record)
}

func (o odd) Abandon(ctx context.Context, n share.Node, chain string, fence uint64) error {
	if o.what == "abandon" {
		return nil
	}
	return o.Ledger.Abandon(ctx, n, chain, fence)
}

func (o odd) Order(ctx context.Context, order share.Order) error {
	if o.what == "order" {
		order.Seen = 1 << 50
	}
	return o.Ledger.Order(ctx, order)
}

func (o odd) Announce(ctx context.Context, i share.Info) error {
	if err := o.Ledger.Announce(ctx, i); o.what != "foreign" {
		return err
	}
	return nil
}

func TestPairFindsDifferences(t *testing.T) {
	for _, what := range []string{"slots", "held", "used", "next", "stale", "nodes", "claim", "commit", "abandon", "order", "foreign"} {
		c := sharetest.NewClock()
		p := pair(c, func(l *ledger.Ledger) share.Store { return odd{l, what} })
		if err := (sharetest.Calls{Seed: 1, Steps: 3000}).Run(c, p); !errors.Is(err, sharetest.ErrDiffer) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
