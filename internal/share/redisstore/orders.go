package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/internal/share"
)

// order is what the store has of a [share.Order], beside its number and state.
type order struct {
	Account string    `json:"account"`
	Release bool      `json:"release,omitempty"`
	At      time.Time `json:"at"`
	Node    string    `json:"node"`
	Seen    uint64    `json:"seen,omitempty"`
}

// Order implements [share.Store].
func (s *Store) Order(ctx context.Context, o share.Order) error {
	text, err := json.Marshal(order{o.AccountID, o.Release, o.At, o.Node, o.Seen})
	if err != nil {
		return fmt.Errorf("cannot write an order: %w", err)
	}
	release := "0"
	if o.Release {
		release = "1"
	}
	identity := strconv.FormatInt(o.At.UnixMilli(), 10) + "|" + release + "|" + escape(o.Node)
	_, err = s.run(ctx, s.scripts.order, 1, []string{keyEpoch, keyOrders},
		o.AccountID, escape(string(o.State)), release, identity, strconv.FormatUint(o.Seen, 10), string(text), channel)
	return err
}

// Orders implements [share.Store].
func (s *Store) Orders(ctx context.Context) ([]share.Order, error) {
	a, err := s.ask(ctx, s.client.B().Hvals().Key(keyOrders).Build(), 0)
	if err != nil {
		return nil, err
	}
	var list []share.Order
	for _, text := range a {
		if !strings.Contains(text, " ") { // the last number
			continue
		}
		o, err := orderOf(text)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b share.Order) int { return strings.Compare(a.AccountID, b.AccountID) })
	return list, nil
}

// orderOf reads what order.lua has written: "number =state identity order".
func orderOf(text string) (share.Order, error) {
	parts := strings.SplitN(text, " ", 4)
	if len(parts) != 4 {
		return share.Order{}, fmt.Errorf("%w: an order has too few parts", errAnswer)
	}
	n, err := number(parts[0])
	if err != nil {
		return share.Order{}, err
	}
	var o order
	if err := json.Unmarshal([]byte(parts[3]), &o); err != nil {
		return share.Order{}, fmt.Errorf("cannot read an order of the store: %w", err)
	}
	state := unescape(strings.TrimPrefix(parts[1], "="))
	return share.Order{
		AccountID: o.Account, State: share.State(state), Release: o.Release, At: o.At, Node: o.Node, Seen: o.Seen, Number: n,
	}, nil
}
