package sharetest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"xoauth2-proxy/internal/share"
)

// key is the mailbox of all histories.
const key = "mailbox"

// History is a random history: nodes share one mailbox, the network loses, repeats and
// delays, nodes are killed, frozen and cut off, and the store restarts. The same history is
// the same each time, as long as the store gives the same answers.
type History struct {
	Seed  uint64
	Nodes int
	// Limit is how many connections the mailbox may have, Permits how many messages a
	// minute; 0: any number of messages.
	Limit, Permits int
	// Steps is how many things happen before the faults end.
	Steps int
	// BusyFor is that of the store: the longest message is a second shorter.
	BusyFor  time.Duration
	Mistakes Mistakes
}

func (h History) String() string {
	return fmt.Sprintf("seed %d, %d nodes, %d connections, %d messages a minute, %d steps", h.Seed, h.Nodes, h.Limit, h.Permits, h.Steps)
}

// Result is what happened in a history.
type Result struct {
	MostOpen, MostCounted int
	Messages              int
	Excused               int // steps in which a node may have been counted wrongly
	Faults                int
	Waited                time.Duration // the longest that a node waited for a slot, after the faults
	InUse                 float64       // part of the slots open, after the faults
}

// Times of the end of a history, in which all nodes want all that they can get.
const (
	wait    = 10 * time.Second // a node that wants a slot waits no longer
	measure = time.Minute
	sample  = 100 * time.Millisecond
	slowest = 70 // messages a minute over one connection that changes hands
)

// Run runs the history; the store reads the clock. The error says what did not hold.
func (h History) Run(c *Clock, store Target) (Result, error) {
	s := &sim{History: h, dice: rand.New(rand.NewPCG(h.Seed, 1)), clock: c, store: store, reset: c.now.Add(-time.Hour)}
	s.truth.start = c.now
	stop := store.Watch(s.tell)
	defer stop()
	for i := range h.Nodes {
		s.nodes = append(s.nodes, s.node(i))
		s.nodes[i].messages()
	}
	s.fault()
	for i := 0; i < h.Steps && s.failed == nil; i++ {
		s.step()
	}
	s.rest()
	return s.truth.stats, s.failed
}

// node starts a process.
func (s *sim) node(i int) *node {
	n := &node{sim: s, id: share.Node{Name: fmt.Sprint("n", i), Incarnation: fmt.Sprintf("%08x", s.Uint32())}, executed: s.epoch, sent: make([]sent, 1)}
	n.leaseEnd = s.clock.now
	n.later(s.between(0, time.Second), n.renew)
	return n
}

// messages lets messages come to the node.
func (n *node) messages() {
	n.mode = n.IntN(3)
	n.later(n.between(0, time.Second), n.arrive)
}

// arrive brings messages.
func (n *node) arrive() {
	switch {
	case n.quiet, n.mode == 2:
		n.waiting = max(n.waiting, n.Limit+2)
	case n.mode == 1 && n.waiting < 3 && n.percent(30):
		n.waiting++
	}
	if !n.quiet && n.percent(2) {
		n.mode, n.waiting = n.IntN(3), 0
	}
	n.act()
	n.later(n.between(100*time.Millisecond, 400*time.Millisecond), n.arrive)
}

// fault makes a fault now and then.
func (s *sim) fault() {
	if s.quiet {
		return
	}
	s.after(s.between(time.Second, 10*time.Second), s.fault)
	s.truth.stats.Faults++
	i := s.IntN(len(s.nodes))
	n := s.nodes[i]
	switch what := s.IntN(20); {
	case what < 4: // killed: the system closes its connections
		n.dead, n.conns = true, nil
		s.nodes[i] = s.node(i)
		s.nodes[i].messages()
		s.nodes[i].cut = s.clock.now.Add(s.between(0, 10*time.Second))
	case what < 9:
		n.cut = s.clock.now.Add(s.between(time.Second, 40*time.Second))
	case what < 13:
		s.freeze(n, s.between(time.Second, 40*time.Second))
	case what == 13:
		s.restart(s.percent(50))
	}
}

// freeze stops a node for a time. The first that it does then, is to look at its leases.
func (s *sim) freeze(n *node, d time.Duration) {
	if n.frozen || n.dead {
		return
	}
	n.frozen = true
	s.after(d, func() {
		n.frozen = false
		if n.dead {
			return
		}
		if n.over(closeTime) {
			for _, c := range n.conns {
				c.excused = true
			}
		}
		n.lease()
		backlog := n.backlog
		n.backlog = nil
		for _, f := range backlog {
			n.do(f)
		}
	})
}

// rest ends the faults, and sees that all gets on.
func (s *sim) rest() {
	s.quiet = true
	calm := s.clock.now.Add(s.BusyFor + 3*time.Minute)
	for _, n := range s.nodes {
		n.cut = time.Time{}
	}
	for s.failed == nil && s.clock.now.Before(calm) {
		s.step()
	}
	messages := s.truth.stats.Messages
	waits := make([]time.Duration, len(s.nodes)) // since when each has no slot
	var open, samples int
	var look func()
	look = func() {
		s.after(sample, look)
		samples++
		for i, n := range s.nodes {
			open += len(n.conns)
			if waits[i] += sample; len(n.conns) > 0 {
				waits[i] = 0
			}
			s.truth.stats.Waited = max(s.truth.stats.Waited, waits[i])
		}
	}
	look()
	for end := calm.Add(measure); s.failed == nil && s.clock.now.Before(end); {
		s.step()
	}
	if s.failed != nil {
		return
	}
	s.truth.stats.InUse = float64(open) / float64(samples*s.Limit)
	s.failed = s.progress(s.truth.stats.Messages - messages)
}

// progress says what did not get on in the last minute.
func (s *sim) progress(messages int) error {
	switch stats := &s.truth.stats; {
	case stats.Waited > wait:
		return fmt.Errorf("%w for %v", ErrStarved, stats.Waited)
	case s.Permits > 0 && messages < min(s.Permits/2, slowest*s.Limit): // nodes without a slot hold some
		return fmt.Errorf("%w: %d messages in a minute of %d", ErrIdle, messages, s.Permits)
	case s.Permits == 0 && stats.InUse < s.leastInUse():
		return fmt.Errorf("%w: %.2f in use of %d", ErrIdle, stats.InUse, s.Limit)
	}
	return nil
}

// leastInUse is which part of the slots has to be in use when all are wanted: less if they
// are passed on all the time.
func (s *sim) leastInUse() float64 {
	if s.Nodes > s.Limit {
		return 0.75
	}
	return 0.97
}
