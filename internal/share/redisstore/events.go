package redisstore

import (
	"context"

	"github.com/redis/rueidis"

	"xoauth2-proxy/internal/share"
)

// How a message on the channel begins. After it comes the key or the chain, or an order.
const (
	eventDemand    = 'd'
	eventFreed     = 'f'
	eventPublished = 'p'
	eventOrdered   = 'o'
)

// Events implements [share.Store]. A message that is lost is made up for by the next beat of
// the member: the channel keeps none.
func (s *Store) Events(ctx context.Context, f func(share.Event)) error {
	err := s.client.Receive(ctx, s.client.B().Subscribe().Channel(channel).Build(), func(m rueidis.PubSubMessage) {
		if e, ok := eventOf(m.Message); ok {
			f(e)
		}
	})
	if err != nil {
		return storeError(err)
	}
	return nil
}

// eventOf reads a message; ok is false for one of another version.
func eventOf(text string) (e share.Event, ok bool) {
	if text == "" {
		return e, false
	}
	rest := text[1:]
	switch text[0] {
	case eventDemand:
		return share.Event{Kind: share.Demand, Key: rest}, true
	case eventFreed:
		return share.Event{Kind: share.Freed, Key: rest}, true
	case eventPublished:
		return share.Event{Kind: share.Published, Key: rest}, true
	case eventOrdered:
		o, err := orderOf(rest)
		return share.Event{Kind: share.Ordered, Key: o.AccountID, Order: o}, err == nil
	}
	return e, false
}
