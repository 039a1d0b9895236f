package ledger

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/share"
)

// shown is how long a node is shown after it was announced last.
const shown = time.Minute

// active is the state of an account that no order stops, in the words of package control.
const active share.State = "active"

// stops reports whether an order stops an account.
func stops(s share.State) bool { return s != "" && s != active }

// Order gives an order to all nodes.
func (l *Ledger) Order(ctx context.Context, o share.Order) error {
	now, err := l.begin(ctx)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	last, known := l.orders[o.AccountID]
	if o.Release && o.State == "" {
		o.State = last.State
	}
	switch {
	case known && o.Node == last.Node && o.At.UnixMilli() == last.At.UnixMilli() &&
		o.State == last.State && o.Release == last.Release:
		return nil
	case stops(last.State) && !stops(o.State) && last.Number > o.Seen:
		l.events.tell(share.Event{Kind: share.Ordered, Key: o.AccountID, Order: last})
		return nil
	}
	l.number = next(l.number, now)
	o.Number = l.number
	l.orders[o.AccountID] = o
	l.events.tell(share.Event{Kind: share.Ordered, Key: o.AccountID, Order: o})
	return nil
}

// Orders returns the orders in force.
func (l *Ledger) Orders(ctx context.Context) ([]share.Order, error) {
	if _, err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.orders), func(a, b share.Order) int {
		return strings.Compare(a.AccountID, b.AccountID)
	}), nil
}

// Announce tells of a node.
func (l *Ledger) Announce(ctx context.Context, i share.Info) error {
	now, err := l.begin(ctx)
	if err != nil {
		return err
	}
	defer l.mu.Unlock()
	maps.DeleteFunc(l.nodes, func(_ share.Node, o share.Info) bool {
		return now-o.Seen.UnixMilli() >= shown.Milliseconds()
	})
	for n, o := range l.nodes {
		if n != i.Node && now-o.Seen.UnixMilli() < ttl && (o.KeyCheck != i.KeyCheck || o.Protocol != i.Protocol) {
			return share.ErrForeign
		}
	}
	i.Seen = time.UnixMilli(now)
	l.nodes[i.Node] = i
	return nil
}

// Nodes returns the nodes that were announced lately.
func (l *Ledger) Nodes(ctx context.Context) ([]share.Info, error) {
	now, err := l.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer l.mu.Unlock()
	var lately []share.Info
	for _, i := range l.nodes {
		if now-i.Seen.UnixMilli() < shown.Milliseconds() {
			lately = append(lately, i)
		}
	}
	slices.SortFunc(lately, func(a, b share.Info) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Incarnation, b.Incarnation))
	})
	return lately, nil
}
