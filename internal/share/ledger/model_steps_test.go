package ledger

import (
	"slices"

	"xoauth2-proxy/internal/share"
)

// next calls f with each state that can follow without time passing.
func (m *model) next(s *modelState, f func(*modelState)) {
	for i := range s.nodes {
		m.node(s, i, f)
	}
	for i, p := range s.net {
		if !slices.Contains(s.net[:i], p) {
			m.deliver(s, i, f)
		}
	}
	if s.resets > 0 {
		c := s.copyOf("restart of the store", 0, packet{})
		c.resets--
		c.epoch++
		c.reset = s.now
		c.rows = new(entry)
		f(c)
	}
}

// node does what a node can do.
func (m *model) node(s *modelState, i int, f func(*modelState)) {
	change := func(action string, do func(c *modelState, n *modelNode)) {
		c := s.copyOf(action, i, packet{})
		do(c, &c.nodes[i])
		f(c)
	}
	n := &s.nodes[i]
	if s.crashes > 0 {
		change("crash", func(c *modelState, n *modelNode) {
			c.crashes--
			*n = modelNode{incarnation: n.incarnation + 1, seq: n.seq, leaseEnd: c.now, executed: c.epoch}
		})
	}
	if n.frozen {
		change("end of the freeze", func(c *modelState, n *modelNode) {
			n.frozen = false
			n.expire(c.now)
		})
		return
	}
	if s.freezes > 0 {
		change("freeze", func(c *modelState, n *modelNode) {
			c.freezes--
			n.frozen = true
		})
	}
	if n.reported && !m.obeyLate {
		return
	}
	n.local(s.now, true, func(l modelNode) {
		wants := []int{m.limit} // or none, if it closes some
		if m.obeyLate {
			wants = append(wants, 0)
		} else if l.have() < n.have() {
			wants[0] = 0
		}
		for _, want := range wants {
			change("report that waits in the network, or is lost", func(c *modelState, n *modelNode) {
				*n = l
				c.send(n.report(c, i, want))
			})
			c := s.copyOf("report", i, packet{})
			c.nodes[i] = l
			m.execute(c, c.nodes[i].report(c, i, want), f)
		}
	})
}

// report is the next report of a node.
func (n *modelNode) report(c *modelState, i, want int) packet {
	n.seq++
	n.reported = true
	p := packet{node: i, incarnation: n.incarnation, seq: n.seq, at: c.now, have: n.have(), busy: len(n.busy), want: want}
	n.cap, n.keep = min(n.cap, p.have), min(n.keep, p.busy)
	c.packet = p
	return p
}

// send leaves a packet to the network; what is not delivered before the next of its kind
// comes, is lost.
func (s *modelState) send(p packet) {
	s.net = slices.DeleteFunc(s.net, func(o packet) bool { return o.node == p.node && o.answer == p.answer })
	s.net = append(s.net, p)
}

// deliver delivers a packet.
func (m *model) deliver(s *modelState, at int, f func(*modelState)) {
	p := s.net[at]
	if p.answer && s.nodes[p.node].frozen {
		return
	}
	c := s.copyOf("late arrival", p.node, p)
	if p.answer {
		c.net = slices.Delete(c.net, at, at+1)
		m.obey(c, p)
		f(c)
		return
	}
	m.execute(c, p, f)
}

// execute executes a report in c. Its answer comes at once or is lost. The report may come
// again.
func (m *model) execute(c *modelState, p packet, f func(*modelState)) {
	c.rows = c.rows.clone()
	m.ledger.keys["m"], m.ledger.reset = c.rows, c.reset
	r := &share.Report{Key: "m", Seq: p.seq, Slots: share.SlotReport{Limit: m.limit, Have: p.have, Busy: p.busy, Want: p.want}}
	if m.spoil != nil {
		m.spoil(r, c.rows)
	}
	g := m.ledger.report(c.now, modelID(p.node, p.incarnation), r)
	if g.Stale || p.incarnation != c.nodes[p.node].incarnation {
		f(c)
		return
	}
	c.nodes[p.node].executed = c.epoch
	answer := p
	answer.answer, answer.grant = true, g.Slots
	f(c.copyOf("lost answer", p.node, answer))
	if m.obeyLate { // otherwise an answer that comes at once allows more than it does later
		waits := c.copyOf("answer that waits", p.node, answer)
		waits.send(answer)
		f(waits)
	}
	if !c.nodes[p.node].frozen {
		c = c.copyOf("answer", p.node, answer)
		m.obey(c, answer)
		f(c)
	}
}

// obey obeys an answer, if it is that to the last report.
func (m *model) obey(c *modelState, p packet) {
	n := &c.nodes[p.node]
	if p.incarnation != n.incarnation || p.seq != n.seq && !m.obeyLate {
		return
	}
	n.cap, n.keep = p.grant, p.busy
	n.leaseEnd = p.at + ttl
	n.expire(c.now)
	if n.begins(c.now) { // it opens what it may
		n.parked += max(0, n.cap-n.have())
	}
}
