package sharetest

import (
	"slices"
	"time"

	"xoauth2-proxy/internal/share"
)

// Mistakes are rules that nodes do not keep to: with each of them, a history has to fail.
type Mistakes struct {
	// ObeyLate: answers to earlier reports are obeyed.
	ObeyLate bool
	// OpenWhileAsking: between a report and its answer, connections are opened up to the
	// last grant.
	OpenWhileAsking bool
	// ForgetTTL: leases do not end.
	ForgetTTL bool
}

// How long before the end of a lease nothing new begins, and how long before it the rest is
// ended: it takes a moment until a connection is closed.
const (
	beforeEnd = 5 * time.Second
	closeTime = time.Second
)

// node is a process: as much of a member and a pool as the rules are about.
type node struct {
	*sim
	id       share.Node
	dead     bool
	frozen   bool
	backlog  []func()  // what came while it was frozen
	cut      time.Time // until then the network carries nothing
	executed int       // the epoch of the last report that was sent and executed in one

	seq      uint64
	sent     []sent // since the last obeyed answer, with its report
	cap      int    // how many connections there may be
	leaseEnd time.Time
	renewAt  time.Time

	conns   []*conn
	waiting int // messages without a connection
	mode    int // how many messages come
	// Permits: not used yet; of messages that run; counted and reported as such.
	free, used int
	settled    uint64
	permitsAt  time.Time // when some may be free
}

// sent is a report that was sent.
type sent struct {
	seq        uint64
	at         time.Time
	have, busy int
	held       int
}

// conn is a connection to the provider.
type conn struct {
	state   connState
	counted bool // the provider has the message
	excused bool // it may be one too many
	parked  time.Time
}

type connState uint8

const (
	opening connState = iota
	parked
	busy
	closing
)

// do does something on the node, after it was frozen.
func (n *node) do(f func()) {
	switch {
	case n.dead:
	case n.frozen:
		n.backlog = append(n.backlog, f)
	default:
		f()
	}
}

func (n *node) later(d time.Duration, f func()) { n.after(d, func() { n.do(f) }) }

func (n *node) in(state connState) (count int) {
	for _, c := range n.conns {
		if c.state == state {
			count++
		}
	}
	return count
}

// renew sends a report, after what had no lease is closed: in an answer after a reset of the
// store, what is reported would be granted.
func (n *node) renew() {
	if slices.ContainsFunc(n.conns, func(c *conn) bool { return c.excused }) {
		n.renewAt = time.Time{}
		n.renewIn(100 * time.Millisecond)
		return
	}
	n.seq++
	r := share.Report{Key: key, Seq: n.seq}
	r.Slots = share.SlotReport{Limit: n.Limit, Have: len(n.conns), Busy: n.in(busy), Want: n.in(busy) + n.waiting}
	p := &r.Permits[share.MessagesPerMinute]
	*p = share.PermitReport{Limit: n.Permits, Settled: n.settled, Held: n.free + n.used, Want: n.free + n.used}
	if n.waiting > n.free {
		p.Want += min(n.waiting-n.free, max(1, n.Permits/(4*n.Nodes)))
	}
	n.sent = append(n.sent, sent{n.seq, n.clock.now, r.Slots.Have, r.Slots.Busy, p.Held})
	if !n.Mistakes.OpenWhileAsking {
		n.cap = min(n.cap, r.Slots.Have)
	}
	n.send(n, r)
	n.renewAt = time.Time{}
	n.renewIn(share.RenewEvery)
}

// renewIn renews after a time, or before.
func (n *node) renewIn(d time.Duration) {
	at := n.clock.now.Add(d)
	if !n.renewAt.IsZero() && !at.Before(n.renewAt) {
		return
	}
	n.renewAt = at
	n.later(d, func() {
		if n.renewAt.Equal(at) {
			n.renew()
		}
	})
}

// answer obeys an answer to the last report.
func (n *node) answer(g share.Grant) {
	i := slices.IndexFunc(n.sent, func(s sent) bool { return s.seq == g.Seq })
	if g.Stale || i < 0 || g.Seq != n.seq && !n.Mistakes.ObeyLate {
		return
	}
	last := n.sent[i]
	n.sent = n.sent[i:]
	if n.leaseEnd.Equal(last.at.Add(share.TTL)) {
		return // the same answer again
	}
	n.cap = g.Slots
	n.leaseEnd = last.at.Add(share.TTL)
	n.later(n.leaseEnd.Add(-beforeEnd).Sub(n.clock.now), n.lease)
	n.later(n.leaseEnd.Add(-closeTime).Sub(n.clock.now), n.lease)
	if n.clock.now.Before(n.leaseEnd.Add(-beforeEnd)) {
		n.free += max(0, g.Permits[share.MessagesPerMinute].Held-last.held)
	}
	n.permitsAt = n.clock.now.Add(g.Permits[share.MessagesPerMinute].Next)
	n.act()
	switch {
	case n.waiting > 0 && n.cap == 0:
		n.renewIn(share.AskEvery)
	case n.Permits > 0 && n.waiting > n.free:
		n.renewIn(max(time.Second/2, n.permitsAt.Sub(n.clock.now)))
	}
}

// told renews on events that concern the node.
func (n *node) told(e share.Event) {
	switch {
	case e.Kind == share.Demand && len(n.conns) > 0,
		e.Kind == share.Freed && n.waiting > 0 && len(n.conns) >= n.cap:
		n.renewIn(0)
	}
}

// over reports whether the lease is over, in some time.
func (n *node) over(in time.Duration) bool {
	return !n.Mistakes.ForgetTTL && !n.clock.now.Add(in).Before(n.leaseEnd)
}

// lease ends what has no lease any more.
func (n *node) lease() {
	if n.over(beforeEnd) {
		n.free = 0
	}
	if n.over(closeTime) {
		n.cap = 0
		keep := n.sent[0].busy // messages that the store counts, whichever report was its last
		for _, s := range n.sent {
			keep = min(keep, s.busy)
		}
		for _, counted := range []bool{true, false} {
			for _, c := range n.conns {
				switch {
				case c.state != busy || c.counted != counted:
				case keep > 0:
					keep--
				case counted: // after end-of-data
					c.excused = true
				default:
					n.used--
					n.close(c)
				}
			}
		}
	}
	n.act()
}

// act begins and ends what it can.
func (n *node) act() {
	begins := !n.over(beforeEnd)
	for _, c := range n.conns {
		if c.state != parked {
			continue
		}
		if begins && len(n.conns)-n.in(closing) <= n.cap && n.waiting > 0 && (n.Permits == 0 || n.free > 0) {
			n.begin(c)
		}
	}
	for _, c := range n.conns {
		if c.state == parked && (!begins || len(n.conns)-n.in(closing) > n.cap) {
			n.close(c)
		}
	}
	for begins && len(n.conns) < n.cap && n.waiting > n.in(opening) {
		n.open()
	}
	if n.waiting > 0 && len(n.conns) >= n.cap && n.cap < n.Limit && len(n.sent) <= 1 {
		n.renewIn(time.Second)
	}
}

func (n *node) open() {
	c := &conn{state: opening}
	n.conns = append(n.conns, c)
	n.later(n.between(20*time.Millisecond, 300*time.Millisecond), func() {
		if c.state != opening {
			return
		}
		c.state, c.parked = parked, n.clock.now
		n.act()
	})
}

// begin begins a message. The provider counts it at some time before it ends.
func (n *node) begin(c *conn) {
	c.state, c.counted = busy, false
	n.waiting--
	if n.Permits > 0 {
		n.free--
	}
	n.used++
	length := n.between(50*time.Millisecond, 500*time.Millisecond)
	if !n.quiet && n.percent(10) {
		length = n.between(0, n.longest())
	}
	n.after(n.between(0, length), func() {
		if c.state == busy && !n.dead {
			c.counted = true
			n.truth.count(n.sim, n, c)
		}
	})
	n.later(length, func() {
		if c.state != busy {
			return
		}
		n.used--
		if c.counted {
			n.settled++
		}
		c.state, c.parked = parked, n.clock.now
		if n.over(closeTime) || len(n.conns)-n.in(closing) > n.cap {
			n.close(c)
		}
		n.act()
		n.later(20*time.Second, func() {
			if c.state == parked && !n.clock.now.Before(c.parked.Add(20*time.Second)) {
				n.close(c)
			}
		})
	})
}

// longest is the longest that a message may take.
func (n *node) longest() time.Duration { return n.BusyFor - time.Second }

func (n *node) close(c *conn) {
	c.state = closing
	n.later(n.between(0, 200*time.Millisecond), func() {
		n.conns = slices.DeleteFunc(n.conns, func(o *conn) bool { return o == c })
		n.renewIn(0)
		n.act()
	})
}
