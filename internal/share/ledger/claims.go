package ledger

import (
	"bytes"
	"context"
	"time"

	"xoauth2-proxy/internal/share"
)

// chain is a chain of tokens: what was published of it last, and who refreshes it.
type chain struct {
	record    []byte
	version   uint64
	fence     uint64 // the highest ever given
	open      bool   // fence may be committed
	node      share.Node
	until     int64  // ms
	committed uint64 // the last fence with which a record was published
}

// next is the number after last: it rises over a loss of the data too.
func next(last uint64, now int64) uint64 { return max(last+1, uint64(max(0, now))) }

func (l *Ledger) chain(name string) *chain {
	c := l.chains[name]
	if c == nil {
		c = new(chain)
		l.chains[name] = c
	}
	return c
}

// published is the record of a chain, with a fence.
func (c *chain) published(fence uint64) share.Claim {
	return share.Claim{Fence: fence, Record: bytes.Clone(c.record), Version: c.version}
}

// Claim asks for the right to refresh a chain.
func (l *Ledger) Claim(ctx context.Context, n share.Node, name string, ttl time.Duration) (share.Claim, error) {
	now, err := l.begin(ctx)
	if err != nil {
		return share.Claim{}, err
	}
	defer l.mu.Unlock()
	c := l.chain(name)
	switch {
	case c.open && now < c.until:
		if c.node != n {
			return c.published(0), nil
		}
	case now < l.reset+share.TTL.Milliseconds():
		return c.published(0), nil
	default:
		c.fence, c.open, c.node = next(c.fence, now), true, n
	}
	c.until = now + ttl.Milliseconds()
	return c.published(c.fence), nil
}

// Commit publishes a record, if the fence still holds.
func (l *Ledger) Commit(ctx context.Context, _ share.Node, name string, fence uint64, record []byte) (bool, error) {
	now, err := l.begin(ctx)
	if err != nil {
		return false, err
	}
	defer l.mu.Unlock()
	c := l.chain(name)
	switch {
	case fence == 0:
		return false, nil
	case fence == c.committed:
		return true, nil
	case fence < c.fence, fence == c.fence && !c.open:
		return false, nil
	}
	c.record, c.version = bytes.Clone(record), next(c.version, now)
	c.fence, c.committed, c.open = fence, fence, false
	l.events.tell(share.Event{Kind: share.Published, Key: name})
	return true, nil
}

// Abandon ends a claim without a record.
func (l *Ledger) Abandon(ctx context.Context, _ share.Node, name string, fence uint64) error {
	if _, err := l.begin(ctx); err != nil {
		return err
	}
	defer l.mu.Unlock()
	if c := l.chain(name); c.open && c.fence == fence {
		c.open = false
		l.events.tell(share.Event{Kind: share.Published, Key: name})
	}
	return nil
}

// Record returns what was published last of a chain.
func (l *Ledger) Record(ctx context.Context, name string) (share.Claim, error) {
	if _, err := l.begin(ctx); err != nil {
		return share.Claim{}, err
	}
	defer l.mu.Unlock()
	return l.chain(name).published(0), nil
}
