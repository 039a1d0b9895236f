package ledger

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"xoauth2-proxy/internal/share"
)

// ErrClosed is the error of a ledger that was closed.
var ErrClosed = errors.New("the ledger is closed")

// Config is what a ledger is made with.
type Config struct {
	// Now is the clock; nil is time.Now. It is called with a lock held.
	Now func() time.Time
	// Epoch names the life of the data.
	Epoch string
	// Reset: data may have been lost, so that nothing is lent out until the nodes have said
	// what they have.
	Reset bool
	// BusyFor is in place of share.BusyFor, if it is not 0.
	BusyFor time.Duration
}

// Ledger is a store in memory. It is safe for concurrent use.
type Ledger struct {
	now     func() time.Time
	busyFor int64 // ms
	events  events

	mu     sync.Mutex
	closed bool
	epoch  string
	reset  int64 // when data may have been lost, ms; longAgo: never
	keys   map[string]*entry
	chains map[string]*chain
	orders map[string]share.Order // by account
	number uint64                 // of the last order
	nodes  map[share.Node]share.Info
}

var _ share.Store = (*Ledger)(nil)

// longAgo is a time at which nothing happened.
const longAgo = -1 << 52

// ttl is share.TTL in ms.
const ttl = int64(share.TTL / time.Millisecond)

// New returns an empty ledger.
func New(c Config) *Ledger {
	l := &Ledger{
		now:     c.Now,
		busyFor: share.BusyFor.Milliseconds(),
		epoch:   c.Epoch,
		reset:   longAgo,
		keys:    make(map[string]*entry),
		chains:  make(map[string]*chain),
		orders:  make(map[string]share.Order),
		nodes:   make(map[share.Node]share.Info),
	}
	if l.now == nil {
		l.now = time.Now
	}
	if c.BusyFor > 0 {
		l.busyFor = c.BusyFor.Milliseconds()
	}
	if c.Reset {
		l.reset = l.now().UnixMilli()
	}
	return l
}

// Restart begins another epoch, as a store does that was restarted: keep says whether its
// data is still there. Watchers stay.
func (l *Ledger) Restart(epoch string, keep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch, l.reset = epoch, l.now().UnixMilli()
	if keep {
		return
	}
	clear(l.keys)
	clear(l.chains)
	clear(l.orders)
	clear(l.nodes)
	l.number = 0
}

// Close ends all calls of Events. Calls that come later fail.
func (l *Ledger) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.events.close()
	return nil
}

// entry is what is kept under one key.
type entry struct {
	rows    []*row // by id
	windows [share.NumKinds]window
}

// row is the last report of a node, and what it was granted.
type row struct {
	id   string
	seq  uint64
	seen int64 // ms

	limit, have, busy, want, grant int
	has                            bool  // the need was met, or a turn was got
	since                          int64 // when it began to wait or got its turn, ms
	asked                          int64 // its last Demand, ms

	kinds [share.NumKinds]kindRow
}

// kindRow is the part of a row about one kind of permits; it is empty without a limit.
type kindRow struct {
	limit   int
	settled uint64
	held    int
}

func (r *row) live(now int64) bool { return now < r.seen+ttl }

// need is how many connections a row could use.
func (r *row) need() int { return max(r.want, r.busy) }

// count is how many connections count for the row.
func (l *Ledger) count(r *row, now int64) int {
	switch {
	case r.live(now):
		return max(r.have, r.grant)
	case now < r.seen+l.busyFor:
		return r.busy
	}
	return 0
}

// entry returns what is kept under a key, without the rows of which nothing counts.
func (l *Ledger) entry(key string, now int64) *entry {
	e := l.keys[key]
	if e == nil {
		e = new(entry)
		l.keys[key] = e
	}
	e.rows = slices.DeleteFunc(e.rows, func(r *row) bool { return l.over(r, now) })
	return e
}

// over reports whether nothing of a row counts any more.
func (l *Ledger) over(r *row, now int64) bool {
	if now < r.seen+l.busyFor {
		return false
	}
	for k := range share.NumKinds {
		if rest, under := l.silent(r, k, now); rest.n > 0 || under.n > 0 {
			return false
		}
	}
	return true
}

// row returns the row of a node; it is new if there was none.
func (e *entry) row(n share.Node) (r *row, isNew bool) {
	id := n.Name + "|" + n.Incarnation
	i, found := slices.BinarySearchFunc(e.rows, id, func(r *row, id string) int { return strings.Compare(r.id, id) })
	if !found {
		e.rows = slices.Insert(e.rows, i, &row{id: id, seen: longAgo, since: longAgo, asked: longAgo})
	}
	return e.rows[i], !found
}
