package upstream

import (
	"math"
	"strings"
	"sync"
	"time"

	"xoauth2-proxy/internal/share"
)

// fakePool is a share.Pool whose store is the test: what each key may use is what the test
// has set.
type fakePool struct {
	mu    sync.Mutex
	first fakeGrant // of keys that are joined from now on
	boxes map[string]*fakeBox
	past  []*fakeBox // that were left
}

// fakeGrant is what a key may use.
type fakeGrant struct {
	slots    int
	messages int // -1: all
	free     [share.NumKinds]int
	none     [share.NumKinds]time.Time // until then the store has none; zero: it has not said so
	err      error
}

// openGrant is a grant of some slots, and all permits.
func openGrant(slots int) (g fakeGrant) {
	g.slots, g.messages = slots, -1
	for k := range g.free {
		g.free[k] = math.MaxInt32 / 2
	}
	return g
}

func newFakePool(first fakeGrant) *fakePool {
	return &fakePool{first: first, boxes: make(map[string]*fakeBox)}
}

// fakeBox is a share.Mailbox.
type fakeBox struct {
	pool    *fakePool
	key     string
	changed func()

	mu      sync.Mutex
	grant   fakeGrant
	told    fakeTold
	reports [][3]int            // all of have, busy and want
	used    [share.NumKinds]int // permits in use
	counted [share.NumKinds]int
	onOpen  func(b *fakeBox) // at a report of more connections than before, before it is looked at
}

// fakeTold is what the pool has said.
type fakeTold struct {
	slots            int
	permits, wants   [share.NumKinds]int
	have, busy, want int
	hours            []share.Hour
	left             bool
}

func (p *fakePool) Join(key string, changed func()) share.Mailbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.boxes[key] != nil {
		panic("joined twice: " + key)
	}
	b := &fakeBox{pool: p, key: key, changed: changed, grant: p.first}
	p.boxes[key] = b
	return b
}

// box returns that of an identity or of a tenant; nil: there is none.
func (p *fakePool) box(suffix string) *fakeBox {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, b := range p.boxes {
		if strings.HasSuffix(key, suffix) {
			return b
		}
	}
	return nil
}

// set changes what the key may use, also if it is joined again, and says so.
func (b *fakeBox) set(change func(*fakeGrant)) {
	b.pool.mu.Lock()
	change(&b.pool.first)
	b.pool.mu.Unlock()
	b.mu.Lock()
	change(&b.grant)
	b.mu.Unlock()
	b.changed()
}

func (b *fakeBox) is() fakeTold {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}

// permits are those in use, and those that count.
func (b *fakeBox) permits() (used, counted [share.NumKinds]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.counted
}

func (b *fakeBox) Limit(slots int, permits [share.NumKinds]int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told.slots, b.told.permits = slots, permits
}

func (b *fakeBox) Restore(h share.Hour) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told.hours = append(b.told.hours, h)
}

func (b *fakeBox) Connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.grant.slots
}

func (b *fakeBox) Messages() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grant.messages < 0 {
		return math.MaxInt32
	}
	return b.grant.messages
}

func (b *fakeBox) Report(have, busy, want int) {
	b.mu.Lock()
	more := have > b.told.have
	b.told.have, b.told.busy, b.told.want = have, busy, want
	b.reports = append(b.reports, [3]int{have, busy, want})
	f := b.onOpen
	b.mu.Unlock()
	if more && f != nil {
		f(b)
	}
}

func (b *fakeBox) Room(k share.Kind) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.grant.free[k]
}

func (b *fakeBox) Want(k share.Kind, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told.wants[k] = n
}

func (b *fakeBox) Take(k share.Kind) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grant.free[k] < 1 {
		return false
	}
	b.grant.free[k]--
	b.used[k]++
	return true
}

func (b *fakeBox) Settle(k share.Kind, taken, counted int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if taken > b.used[k] || counted > taken {
		panic("more permits are settled than were taken")
	}
	b.used[k] -= taken
	b.counted[k] += counted
	b.grant.free[k] += taken - counted
}

func (b *fakeBox) Wait(k share.Kind) (until time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.grant.none[k], !b.grant.none[k].IsZero()
}

func (b *fakeBox) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.grant.err
}

func (b *fakeBox) Leave() {
	b.pool.mu.Lock()
	defer b.pool.mu.Unlock()
	delete(b.pool.boxes, b.key)
	b.pool.past = append(b.pool.past, b)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told.left || b.told.have > 0 || b.used != [share.NumKinds]int{} {
		panic("left with something in use, or twice")
	}
	b.told.left = true
}
