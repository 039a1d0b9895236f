// Package sharetest tests stores of shared limits: random histories of nodes that share one
// mailbox over a bad network, with what they must keep to at each moment; and a store that
// compares each answer with that of another one.
package sharetest

import (
	"container/heap"
	"context"
	"fmt"
	"time"

	"xoauth2-proxy/internal/share"
)

// Target is a store under test.
type Target interface {
	share.Store
	// Restart begins another epoch; keep says whether the data is still there.
	Restart(epoch string, keep bool)
	// Watch calls f for each event, before the call that led to it returns.
	Watch(f func(share.Event)) (stop func())
}

// Clock is a clock that a history moves. The store under test reads it.
type Clock struct{ now time.Time }

// NewClock returns a clock in the middle of a slot of each kind.
func NewClock() *Clock { return &Clock{time.UnixMilli(1_800_000_900_500)} }

// Now is the time of the history.
func (c *Clock) Now() time.Time { return c.now }

// sim runs what happens in the order of its time.
type sim struct {
	History
	*dice
	clock  *Clock
	store  Target
	queue  queue
	nodes  []*node // those that live, one for each name
	gone   []*node // those that were killed: their requests may still arrive
	truth  truth
	epoch  int
	reset  time.Time // of the store
	quiet  bool      // no more faults
	failed error
}

// happening is something that happens at a time.
type happening struct {
	at     time.Time
	number int // keeps the order of those at one time
	do     func()
}

// queue is a heap of what is to happen.
type queue struct {
	all    []happening
	number int
}

func (q *queue) Len() int { return len(q.all) }
func (q *queue) Less(i, j int) bool {
	if !q.all[i].at.Equal(q.all[j].at) {
		return q.all[i].at.Before(q.all[j].at)
	}
	return q.all[i].number < q.all[j].number
}
func (q *queue) Swap(i, j int) { q.all[i], q.all[j] = q.all[j], q.all[i] }
func (q *queue) Push(x any)    { q.all = append(q.all, x.(happening)) }
func (q *queue) Pop() any {
	last := q.all[len(q.all)-1]
	q.all = q.all[:len(q.all)-1]
	return last
}

// after does something after a time; at once, if the time is over.
func (s *sim) after(d time.Duration, do func()) {
	s.queue.number++
	heap.Push(&s.queue, happening{s.clock.now.Add(max(0, d)), s.queue.number, do})
}

// step does what happens next.
func (s *sim) step() {
	h := heap.Pop(&s.queue).(happening)
	s.clock.now = h.at
	h.do()
	if err := s.truth.check(s); err != nil && s.failed == nil {
		s.failed = fmt.Errorf("%v after the start: %w", s.since(), err)
	}
}

func (s *sim) since() time.Duration { return s.clock.now.Sub(s.truth.start) }

// between is a random time.
func (s *sim) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.Int64N(int64(to-from)+1))
}

// percent is true so often.
func (s *sim) percent(n int) bool { return s.IntN(100) < n }

// carry brings something to the other side of the network: mostly soon, sometimes late,
// twice or never.
func (s *sim) carry(n *node, arrive func()) {
	if s.clock.now.Before(n.cut) {
		return
	}
	if s.quiet {
		s.after(s.between(time.Millisecond, 5*time.Millisecond), arrive)
		return
	}
	switch {
	case s.percent(4):
		return
	case s.percent(4):
		s.after(s.between(0, 20*time.Second), arrive)
	}
	if s.percent(10) {
		s.after(s.between(0, 8*time.Second), arrive)
		return
	}
	s.after(s.between(time.Millisecond, 60*time.Millisecond), arrive)
}

// send sends a report, and brings the answer.
func (s *sim) send(n *node, r share.Report) {
	sent := s.clock.now
	s.carry(n, func() {
		a, err := s.store.Renew(context.Background(), n.id, []share.Report{r})
		if err != nil {
			s.failed = err
			return
		}
		if !a.Grants[0].Stale && !sent.Before(s.reset) {
			if s.excused(n) { // what is one too many then, stays so until it is closed
				for _, c := range n.conns {
					c.excused = true
				}
			}
			n.executed = s.epoch
		}
		s.carry(n, func() { n.do(func() { n.answer(a.Grants[0]) }) })
	})
}

// tell brings an event of the store to all nodes.
func (s *sim) tell(e share.Event) {
	for _, n := range s.nodes {
		s.carry(n, func() { n.do(func() { n.told(e) }) })
	}
}

// restart restarts the store.
func (s *sim) restart(keep bool) {
	s.epoch++
	s.reset = s.clock.now
	s.store.Restart(fmt.Sprint("epoch ", s.epoch), keep)
}
