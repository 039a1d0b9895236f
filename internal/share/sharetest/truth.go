package sharetest

import (
	"errors"
	"fmt"
	"time"

	"xoauth2-proxy/internal/share"
)

// Errors of a history in which the limits did not hold.
var (
	ErrTooManyOpen    = errors.New("more connections are open than the mailbox may have")
	ErrTooManyCounted = errors.New("more messages counted in a minute than the mailbox may send")
	ErrStarved        = errors.New("a node that wants a slot got none")
	ErrIdle           = errors.New("slots idle that are wanted")
)

// truth is what the provider sees.
type truth struct {
	start  time.Time
	counts []time.Time // of messages, in the last minute
	failed error
	stats  Result
}

// excused reports whether a node may be counted wrongly: it was frozen when its lease ended;
// or the store lost its data, and the node has not reached it since.
func (s *sim) excused(n *node) bool {
	return n.frozen && !s.clock.now.Before(n.leaseEnd) ||
		n.executed != s.epoch && !s.clock.now.Before(s.reset.Add(share.TTL))
}

// count counts a message.
func (t *truth) count(s *sim, n *node, c *conn) {
	t.stats.Messages++
	if s.Permits == 0 || c.excused || s.excused(n) {
		return
	}
	now := s.clock.now
	for len(t.counts) > 0 && now.Sub(t.counts[0]) >= time.Minute {
		t.counts = t.counts[1:]
	}
	t.counts = append(t.counts, now)
	t.stats.MostCounted = max(t.stats.MostCounted, len(t.counts))
	if len(t.counts) > s.Permits && t.failed == nil {
		t.failed = fmt.Errorf("%w: %d of %d", ErrTooManyCounted, len(t.counts), s.Permits)
	}
}

// check checks what holds at each moment.
func (t *truth) check(s *sim) error {
	open := 0
	for _, n := range s.nodes {
		if s.excused(n) {
			t.stats.Excused++
			continue
		}
		for _, c := range n.conns {
			if !c.excused {
				open++
			}
		}
	}
	t.stats.MostOpen = max(t.stats.MostOpen, open)
	if open > s.Limit {
		return fmt.Errorf("%w: %d of %d", ErrTooManyOpen, open, s.Limit)
	}
	return t.failed
}
