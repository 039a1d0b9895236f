package share

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
)

// Config says what a [Member] is. How long leases last is no setting: the stores and all
// nodes must agree on it.
type Config struct {
	// Node is the name of the host.
	Node string
	// Version, KeyCheck: see Info.
	Version, KeyCheck string
	// Limits returns Info.Limits; nil: the node does not tell it. It must not wait.
	Limits func() string
	// Ordered is called with each order that the node has not seen, Published with each chain
	// of which a record was published, and Missed when events may have been lost: orders are
	// then read again, and whoever waits for a publication looks for it. Each may be nil, is
	// called on goroutines of the member, one call at a time for Ordered, and must not wait.
	Ordered   func(Order)
	Published func(chain string)
	Missed    func()
}

// Member is this process as a node of a store: the [Pool] of its mailboxes.
//
// One goroutine, the sharer, sends the reports of all mailboxes, one call after the other: of
// all every RenewEvery, and at once of those that have posted themselves because they need
// something or give something back. What is posted during a call goes with the next one.
//
// Three rules make leases safe, whatever calls are lost, late or executed twice:
//  1. Connections stay counted until a report has fewer (the store's part).
//  2. From the sending of a report until it or a later one is answered, no connection is opened
//     beyond those it had. A timeout is no answer.
//  3. A lease ends TTL after the sending of the last answered report, by the monotonic clock;
//     each method that grants something looks at the clock.
type Member struct {
	cfg   Config
	store Store
	log   *zap.Logger
	node  Node
	began time.Time
	count counters

	mu    sync.RWMutex
	boxes map[string]*mailbox

	urgent  atomic.Pointer[mailbox] // those posted, the newest first
	wake    chan struct{}
	whole   atomic.Bool // all mailboxes are to be renewed at once
	joined  atomic.Bool // the store has taken the announcement
	foreign atomic.Bool // ErrForeign
	failing atomic.Bool // the last renewal, or at first the announcement, was not answered
	nodes   atomic.Int32

	orders orders
	calls  calls
	beats  chan struct{} // asks for a beat before its time
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// NewMember returns a member that has not started. It does not own the store.
func NewMember(cfg Config, store Store, log *zap.Logger, set *metrics.Set) *Member {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	m := &Member{
		cfg: cfg, store: store, log: log,
		node:  Node{Name: cfg.Node, Incarnation: hex.EncodeToString(id[:])},
		boxes: make(map[string]*mailbox),
		wake:  make(chan struct{}, 1), beats: make(chan struct{}, 1),
	}
	m.nodes.Store(1)
	m.failing.Store(true)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.count = newCounters(set, m)
	return m
}

// Node names this process in the store.
func (m *Member) Node() Node { return m.node }

// Nodes is how many nodes the store knows to live; 1 at least.
func (m *Member) Nodes() int { return int(m.nodes.Load()) }

// Joined reports whether the store has taken this node, and has not found it foreign since.
func (m *Member) Joined() bool { return m.joined.Load() }

// Seen is the highest number of an order that was handed on: see Order.Seen.
func (m *Member) Seen() uint64 { return m.orders.seen() }

// Start announces the node, and begins to renew what it leases. The error is ErrForeign; a
// store that does not answer is tried again.
func (m *Member) Start() error {
	m.began = time.Now()
	m.calls.answered = m.began
	if err := m.announce(); errors.Is(err, ErrForeign) {
		return fmt.Errorf("cannot join as %s: %w", m.node.Name, err)
	} else if err != nil {
		m.log.Warn("cannot join the nodes that share limits yet: nothing begins", zap.Error(err))
	}
	m.done.Go(m.beat)
	m.done.Go(m.listen)
	m.done.Go(m.share)
	return nil
}

// Close gives back all that is not in use, and ends the member. Nothing begins any more.
func (m *Member) Close() {
	m.cancel()
	m.done.Wait()
	m.giveBack()
}

// Join implements Pool. A key is joined once at a time.
func (m *Member) Join(key string, changed func()) Mailbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.boxes[key]
	if b == nil {
		b = &mailbox{member: m, key: key, nodes: 1, slots: slots{bound: unbounded}}
		m.boxes[key] = b
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed, b.anew, b.told, b.left, b.hours = changed, true, false, false, hours{}
	return b
}

// box returns the mailbox of a key; nil: there is none.
func (m *Member) box(key string) *mailbox {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.boxes[key]
}

// all returns the mailboxes.
func (m *Member) all() []*mailbox {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := make([]*mailbox, 0, len(m.boxes))
	for _, b := range m.boxes {
		list = append(list, b)
	}
	return list
}

// forget removes a mailbox that has given all back, if the store knows, and unless it is
// joined again.
func (m *Member) forget(b *mailbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left && b.quiet {
		delete(m.boxes, b.key)
	}
}

// errForeign is what refuses where ErrOutage would, for another reason.
var errForeign = fmt.Errorf("%w: %w", ErrOutage, ErrForeign)

// refusal says why a mailbox without a lease gets none soon; nil: it may.
func (m *Member) refusal() error {
	switch {
	case m.foreign.Load():
		return errForeign
	case m.failing.Load():
		return ErrOutage
	}
	return nil
}

// post has the sharer renew b at once. It does not wait.
func (m *Member) post(b *mailbox) {
	if b.queued.Swap(true) {
		return
	}
	for {
		head := m.urgent.Load()
		b.next = head
		if m.urgent.CompareAndSwap(head, b) {
			break
		}
	}
	m.stir()
}

// stir wakes the sharer.
func (m *Member) stir() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// posted takes the mailboxes that were posted.
func (m *Member) posted() (list []*mailbox) {
	for b := m.urgent.Swap(nil); b != nil; {
		next := b.next
		b.next = nil
		b.queued.Store(false)
		list = append(list, b)
		b = next
	}
	return list
}
