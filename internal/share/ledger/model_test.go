package ledger

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
)

// The model: nodes that keep to the rules of the package documentation and use all that
// they may, a network that delays, loses and repeats, and the ledger. Time passes in ticks
// of 7.5 s; between two of them, all that can happen is tried in every order.

const (
	tick  = int64(7_500)
	mBusy = 3 * tick // BusyFor: the longest message, and one tick
)

// modelNode is a process.
type modelNode struct {
	incarnation int
	seq         uint64
	cap         int
	leaseEnd    int64
	keep        int // the smallest busy since the last obeyed report, with it
	parked      int
	busy        []int64 // when each message began
	reported    bool    // in this tick
	frozen      bool
	executed    int // the epoch of the last report that was executed
}

// packet is a request, or an answer to it.
type packet struct {
	node, incarnation int
	answer            bool
	seq               uint64
	at                int64
	have, busy, want  int
	grant             int
}

// modelState is one state of all; it is not changed once it is reached.
type modelState struct {
	parent *modelState
	action string
	node   int
	packet packet // of the action

	now                      int64
	rows                     *entry // of the ledger
	nodes                    []modelNode
	net                      []packet
	epoch                    int
	reset                    int64
	crashes, freezes, resets int // that may still happen
}

// model explores the states.
type model struct {
	nodes, limit int
	ticks        int
	obeyLate     bool                        // a mistake: answers to earlier reports are obeyed
	spoil        func(*share.Report, *entry) // a mistake of the ledger
	now          int64
	ledger       *Ledger
	buf          []byte
	seen         map[uint64]bool
	seed         maphash.Seed
	failed       *modelState
	why          string
	states       int
	mostOpen     int
}

func (n *modelNode) have() int { return n.parked + len(n.busy) }

func (n *modelNode) over(now int64) bool { return now >= n.leaseEnd }

// begins reports whether the node may begin something.
func (n *modelNode) begins(now int64) bool { return now < n.leaseEnd-tick }

// expire does what the end of a lease asks for.
func (n *modelNode) expire(now int64) {
	var busy []int64
	for _, begun := range n.busy {
		if now-begun < mBusy-tick {
			busy = append(busy, begun)
		}
	}
	n.busy = busy
	if !n.begins(now) {
		n.parked = 0
	}
	if n.over(now) {
		n.cap = 0
		n.busy = n.busy[:min(len(n.busy), n.keep)]
	}
}

// local calls f with all that the node may have become by itself: messages ended and began,
// and parked connections were closed, if closes.
func (n modelNode) local(now int64, closes bool, f func(modelNode)) {
	if n.frozen {
		f(n)
		return
	}
	for ended := range len(n.busy) + 1 {
		for begun := range n.parked + ended + 1 {
			for closed := range n.parked + ended - begun + 1 {
				if begun > 0 && !n.begins(now) || closed > 0 && !closes {
					continue
				}
				c := n
				c.busy = slices.Clone(n.busy[ended:])
				for range begun {
					c.busy = append(c.busy, now)
				}
				c.parked += ended - begun - closed
				f(c)
			}
		}
	}
}

// copyOf is a state that begins as s, after an action.
func (s *modelState) copyOf(action string, node int, p packet) *modelState {
	c := *s
	c.parent, c.action, c.node, c.packet = s, action, node, p
	c.nodes = slices.Clone(s.nodes)
	c.net = slices.Clone(s.net)
	return &c
}

// clone is a copy of what is under a key.
func (e *entry) clone() *entry {
	c := &entry{rows: make([]*row, len(e.rows))}
	for i, r := range e.rows {
		copied := *r
		c.rows[i] = &copied
	}
	return c
}

func modelID(node, incarnation int) share.Node {
	return share.Node{Name: strconv.Itoa(node), Incarnation: strconv.Itoa(incarnation)}
}

// hash is the same for states that go on alike.
func (m *model) hash(s *modelState) uint64 {
	b := m.buf[:0]
	age := func(at int64) byte { return byte(min((s.now-at)/tick, 20)) }
	flag := func(f bool) byte {
		if f {
			return 1
		}
		return 0
	}
	b = append(b, byte(s.crashes), byte(s.freezes), byte(s.resets), age(s.reset))
	for _, n := range s.nodes {
		b = append(b, byte(n.cap), age(n.leaseEnd), byte(n.keep), byte(n.parked), byte(s.epoch-n.executed), byte(n.incarnation), flag(n.frozen), flag(n.reported), byte(len(n.busy)))
		for _, begun := range n.busy {
			b = append(b, age(begun))
		}
	}
	for _, r := range s.rows.rows {
		node := r.id[0] - '0'
		b = append(b, node, r.id[2], byte(s.nodes[node].seq-r.seq), age(r.seen), byte(r.have), byte(r.busy), byte(r.want), byte(r.grant), age(r.since), flag(r.has))
	}
	var net uint64 // in any order
	for _, p := range s.net {
		net += maphash.Bytes(m.seed, []byte{byte(p.node), byte(p.incarnation), flag(p.answer), byte(s.nodes[p.node].seq - p.seq), age(p.at), byte(p.have), byte(p.busy), byte(p.want), byte(p.grant)})
	}
	m.buf = binary.LittleEndian.AppendUint64(b, net)
	return maphash.Bytes(m.seed, m.buf)
}

// check says what is wrong with a state, "": nothing.
func (m *model) check(s *modelState) string {
	open := 0
	for i := range s.nodes {
		n := &s.nodes[i]
		frozenOver := n.frozen && n.over(s.now)
		lost := n.executed != s.epoch && s.now >= s.reset+ttl
		if !frozenOver && !lost {
			open += n.have()
		}
	}
	m.mostOpen = max(m.mostOpen, open)
	if open > m.limit {
		return fmt.Sprintf("%d connections are open of %d", open, m.limit)
	}
	return ""
}

// explore tries everything for some ticks.
func (m *model) explore(budget modelState) {
	m.seen, m.seed = make(map[uint64]bool), maphash.MakeSeed()
	m.now = start.UnixMilli()
	first := &budget
	first.now, first.reset = m.now, longAgo
	first.nodes = make([]modelNode, m.nodes)
	for i := range first.nodes {
		first.nodes[i].leaseEnd = m.now
	}
	first.rows = new(entry)
	m.ledger = New(Config{Now: func() time.Time { return time.UnixMilli(m.now) }, BusyFor: time.Duration(mBusy) * time.Millisecond})
	layer := []*modelState{first}
	for range m.ticks {
		var later []*modelState
		for len(layer) > 0 && m.failed == nil {
			s := layer[len(layer)-1]
			layer = layer[:len(layer)-1]
			m.states++
			m.now = s.now
			m.next(s, func(n *modelState) {
				m.visit(n, &layer)
			})
			m.pass(s, 0, func(n *modelState) { m.visit(n, &later) })
		}
		layer = later
	}
}

// visit keeps a state that was not seen before.
func (m *model) visit(s *modelState, layer *[]*modelState) {
	h := m.hash(s)
	if m.seen[h] || m.failed != nil {
		return
	}
	m.seen[h] = true
	if m.why = m.check(s); m.why != "" {
		m.failed = s
		return
	}
	*layer = append(*layer, s)
}

// pass lets a tick pass, whatever the nodes do before.
func (m *model) pass(s *modelState, node int, f func(*modelState)) {
	if node < len(s.nodes) {
		s.nodes[node].local(s.now, false, func(n modelNode) {
			c := *s
			c.nodes = slices.Clone(s.nodes)
			c.nodes[node] = n
			m.pass(&c, node+1, f)
		})
		return
	}
	c := s.copyOf("tick", 0, packet{})
	c.now += tick
	for i := range c.nodes {
		c.nodes[i].reported = false
		if !c.nodes[i].frozen {
			c.nodes[i].expire(c.now)
		}
	}
	f(c)
}

// history is how a state was reached.
func (s *modelState) history() string {
	var all []string
	for ; s != nil && s.parent != nil; s = s.parent {
		all = append(all, fmt.Sprintf("%s of node %d: %+v; then %+v", s.action, s.node, s.packet, s.nodes))
	}
	slices.Reverse(all)
	return strings.Join(all, "\n")
}

// longer is how many ticks are explored beyond the usual: each takes ten times as long.
func longer() int {
	n, _ := strconv.Atoi(os.Getenv("XP_TICKS"))
	return n
}

func TestModel(t *testing.T) {
	tests := []struct {
		nodes, limit, ticks      int
		crashes, freezes, resets int
	}{
		{2, 1, 2, 1, 0, 0},
		{2, 1, 2, 0, 1, 0},
		{2, 1, 2, 0, 0, 1},
		{2, 2, 2, 0, 0, 0},
		{2, 3, 2, 0, 0, 0},
		{3, 1, 1, 0, 0, 1},
		{3, 2, 1, 1, 0, 0},
		{3, 3, 1, 0, 1, 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d nodes, limit %d, %d crashes, %d freezes, %d resets", tt.nodes, tt.limit, tt.crashes, tt.freezes, tt.resets), func(t *testing.T) {
			m := &model{nodes: tt.nodes, limit: tt.limit, ticks: tt.ticks + longer()}
			m.explore(modelState{crashes: tt.crashes, freezes: tt.freezes, resets: tt.resets})
			t.Logf("%d states, %d ticks", m.states, m.ticks)
			if m.failed != nil {
				t.Errorf("%s:\n%s", m.why, m.failed.history())
			}
			if m.mostOpen != tt.limit {
				t.Errorf("the model never has all connections open: %d of %d", m.mostOpen, tt.limit)
			}
		})
	}
}

// The model finds mistakes, of nodes and of the ledger.
func TestModelFindsMistakes(t *testing.T) {
	tests := []struct {
		name     string
		ticks    int
		obeyLate bool
		spoil    func(*share.Report, *entry)
	}{
		{"answers to earlier reports are obeyed", 1, true, nil},
		{"the grant counts, not what is open", 2, false, func(r *share.Report, _ *entry) { r.Slots.Have, r.Slots.Busy = 0, 0 }},
		{"late reports are executed", 3, false, func(_ *share.Report, e *entry) {
			for _, r := range e.rows {
				r.seq = 0
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &model{nodes: 2, limit: 1, ticks: tt.ticks, obeyLate: tt.obeyLate, spoil: tt.spoil}
			m.explore(modelState{})
			if m.failed == nil {
				t.Fatalf("not found in %d states", m.states)
			}
			t.Logf("%d states: %s:\n%s", m.states, m.why, m.failed.history())
		})
	}
}
