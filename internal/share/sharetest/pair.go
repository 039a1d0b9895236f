package sharetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"xoauth2-proxy/internal/share"
)

// ErrDiffer says that two stores decided differently.
var ErrDiffer = errors.New("the stores decide differently")

// Pair is a store that asks two stores, and compares all that they answer but the name of
// the epoch. The answers are those of the first one. Both read the same clock.
type Pair struct {
	Target
	Other share.Store
	// RestartOther restarts the other one.
	RestartOther func(epoch string, keep bool)
}

// differ is the error of one call; nil if both did the same.
func differ(call string, asked any, first, other any, err, otherErr error) error {
	switch {
	case (err == nil) != (otherErr == nil), errors.Is(err, share.ErrForeign) != errors.Is(otherErr, share.ErrForeign):
		return fmt.Errorf("%w: %s(%+v): error %s, and %s", ErrDiffer, call, asked, fmt.Sprint(err), fmt.Sprint(otherErr))
	case err == nil && !reflect.DeepEqual(first, other):
		return fmt.Errorf("%w: %s(%+v): %+v, and %+v", ErrDiffer, call, asked, first, other)
	}
	return err
}

// Renew asks both.
func (p *Pair) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	a, err := p.Target.Renew(ctx, n, slices.Clone(reports))
	b, otherErr := p.Other.Renew(ctx, n, slices.Clone(reports))
	return a, differ("Renew", reports, a.Grants, b.Grants, err, otherErr)
}

// Claim asks both.
func (p *Pair) Claim(ctx context.Context, n share.Node, chain string, ttl time.Duration) (share.Claim, error) {
	a, err := p.Target.Claim(ctx, n, chain, ttl)
	b, otherErr := p.Other.Claim(ctx, n, chain, ttl)
	return a, differ("Claim", chain, plainClaim(a), plainClaim(b), err, otherErr)
}

// Commit asks both.
func (p *Pair) Commit(ctx context.Context, n share.Node, chain string, fence uint64, record []byte) (bool, error) {
	a, err := p.Target.Commit(ctx, n, chain, fence, bytes.Clone(record))
	b, otherErr := p.Other.Commit(ctx, n, chain, fence, bytes.Clone(record))
	return a, differ("Commit", fence, a, b, err, otherErr)
}

// Abandon asks both.
func (p *Pair) Abandon(ctx context.Context, n share.Node, chain string, fence uint64) error {
	err := p.Target.Abandon(ctx, n, chain, fence)
	return differ("Abandon", fence, nil, nil, err, p.Other.Abandon(ctx, n, chain, fence))
}

// Record asks both.
func (p *Pair) Record(ctx context.Context, chain string) (share.Claim, error) {
	a, err := p.Target.Record(ctx, chain)
	b, otherErr := p.Other.Record(ctx, chain)
	return a, differ("Record", chain, plainClaim(a), plainClaim(b), err, otherErr)
}

// Order asks both.
func (p *Pair) Order(ctx context.Context, o share.Order) error {
	err := p.Target.Order(ctx, o)
	return differ("Order", o, nil, nil, err, p.Other.Order(ctx, o))
}

// Orders asks both.
func (p *Pair) Orders(ctx context.Context) ([]share.Order, error) {
	a, err := p.Target.Orders(ctx)
	b, otherErr := p.Other.Orders(ctx)
	return a, differ("Orders", nil, plainOrders(a), plainOrders(b), err, otherErr)
}

// Announce asks both.
func (p *Pair) Announce(ctx context.Context, i share.Info) error {
	err := p.Target.Announce(ctx, i)
	return differ("Announce", i, nil, nil, err, p.Other.Announce(ctx, i))
}

// Nodes asks both.
func (p *Pair) Nodes(ctx context.Context) ([]share.Info, error) {
	a, err := p.Target.Nodes(ctx)
	b, otherErr := p.Other.Nodes(ctx)
	return a, differ("Nodes", nil, plainNodes(a), plainNodes(b), err, otherErr)
}

// Restart restarts both.
func (p *Pair) Restart(epoch string, keep bool) {
	p.Target.Restart(epoch, keep)
	p.RestartOther(epoch, keep)
}

// Close closes both.
func (p *Pair) Close() error { return errors.Join(p.Target.Close(), p.Other.Close()) }

// plainClaim makes no difference between no record and an empty one.
func plainClaim(c share.Claim) share.Claim {
	if len(c.Record) == 0 {
		c.Record = nil
	}
	return c
}

// plainOrders has whole milliseconds in one zone, and not what only the giver needs.
func plainOrders(orders []share.Order) []share.Order {
	plain := append([]share.Order{}, orders...)
	for i := range plain {
		plain[i].At, plain[i].Seen = plainTime(plain[i].At), 0
	}
	return plain
}

func plainNodes(nodes []share.Info) []share.Info {
	plain := append([]share.Info{}, nodes...)
	for i := range plain {
		plain[i].Since, plain[i].Seen = plainTime(plain[i].Since), plainTime(plain[i].Seen)
	}
	return plain
}

func plainTime(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }
