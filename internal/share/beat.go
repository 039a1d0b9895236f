package share

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// beatEvery is how often a node announces itself, and looks for orders that it has not
	// heard of.
	beatEvery = 2 * time.Second
	// beatTimeout is how long each call of a beat may take.
	beatTimeout = time.Second
	// listenFirst, listenMost: how long the member waits before it listens to events again,
	// twice as long each time.
	listenFirst, listenMost = 100 * time.Millisecond, 2 * time.Second
)

var errNotJoined = errors.New("the node could not announce itself")

// beat gives signs of life until the member is closed.
func (m *Member) beat() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		m.refresh()
		select {
		case <-m.ctx.Done():
			return
		case <-tick.C:
		case <-m.beats:
		}
		if err := m.announce(); err != nil && m.ctx.Err() == nil {
			m.log.Debug("cannot announce the node to the store of the shared limits", zap.Error(err))
		}
	}
}

// hurry asks for a beat now.
func (m *Member) hurry() {
	select {
	case m.beats <- struct{}{}:
	default:
	}
}

// announce tells the store of this node. The first time that it is taken, leases begin.
func (m *Member) announce() error {
	ctx, cancel := context.WithTimeout(m.ctx, beatTimeout)
	defer cancel()
	err := m.store.Announce(ctx, m.info())
	switch {
	case errors.Is(err, ErrForeign):
		m.joined.Store(false)
		if !m.foreign.Swap(true) {
			m.log.Error("the node may not share limits: nothing new begins", zap.Error(err))
			m.stir()
		}
	case err == nil && !m.joined.Load():
		m.foreign.Store(false)
		m.failing.Store(false)
		m.whole.Store(true)
		m.joined.Store(true)
		m.log.Info("the node shares limits", zap.String("node", m.node.Name))
		m.stir()
	}
	return err
}

func (m *Member) info() Info {
	i := Info{
		Node: m.node, Version: m.cfg.Version, Protocol: Protocol, KeyCheck: m.cfg.KeyCheck, Since: m.began,
	}
	if m.cfg.Limits != nil {
		i.Limits = m.cfg.Limits()
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	i.Members = len(m.boxes)
	return i
}

// refresh reads the nodes and the orders.
func (m *Member) refresh() {
	ctx, cancel := context.WithTimeout(m.ctx, beatTimeout)
	defer cancel()
	if nodes, err := m.store.Nodes(ctx); err == nil {
		m.nodes.Store(int32(max(1, len(nodes))))
	}
	if list, err := m.store.Orders(ctx); err == nil {
		for _, o := range list {
			m.orders.take(o, m.cfg.Ordered)
		}
	}
}

// listen hears events until the member is closed.
func (m *Member) listen() {
	pause := listenFirst
	for {
		began := time.Now()
		err := m.store.Events(m.ctx, m.heard)
		if m.ctx.Err() != nil {
			return
		}
		if time.Since(began) > listenMost {
			pause = listenFirst
		}
		m.count.lost.Inc()
		m.log.Debug("the events of the shared limits are lost", zap.Error(err))
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, listenMost)
		m.whole.Store(true)
		m.stir()
		m.hurry()
		if m.cfg.Missed != nil {
			m.cfg.Missed()
		}
	}
}

// heard takes an event.
func (m *Member) heard(e Event) {
	switch e.Kind {
	case Demand:
		if b := m.box(e.Key); b != nil && b.parks() {
			m.post(b)
		}
	case Freed:
		if b := m.box(e.Key); b != nil && b.wants() {
			m.post(b)
		}
	case Published:
		if m.cfg.Published != nil {
			m.cfg.Published(e.Key)
		}
	case Ordered:
		m.orders.take(e.Order, m.cfg.Ordered)
	}
}

// orders are those that were handed on last.
type orders struct {
	mu      sync.Mutex
	numbers map[string]uint64 // the last, by account
	highest uint64
}

func (s *orders) seen() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highest
}

// take hands an order to f, unless that or a later one for the account was. Numbers rise over
// a loss of the store's data, too.
func (s *orders) take(o Order, f func(Order)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Number <= s.numbers[o.AccountID] {
		return
	}
	if s.numbers == nil {
		s.numbers = make(map[string]uint64)
	}
	s.numbers[o.AccountID] = o.Number
	s.highest = max(s.highest, o.Number)
	if f != nil {
		f(o)
	}
}
