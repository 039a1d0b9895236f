package peer

import (
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/share"
)

// Switch is a pool that shares while there is another process, and else lets all through. Its
// methods are safe for concurrent use.
type Switch struct {
	now func() time.Time

	mu    sync.Mutex
	pool  share.Pool         // nil: this process is alone
	boxes map[string]*box    // by key
	kept  map[string]*counts // by key
}

var _ share.Pool = (*Switch)(nil)

// NewSwitch returns a switch of a process that is alone.
func NewSwitch() *Switch { return newSwitch(time.Now) }

func newSwitch(now func() time.Time) *Switch {
	return &Switch{now: now, boxes: make(map[string]*box), kept: make(map[string]*counts)}
}

// Join implements share.Pool.
func (s *Switch) Join(key string, changed func()) share.Mailbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &box{of: s, key: key, changed: changed, counts: s.counts(key)}
	b.counts.boxes++
	b.unlimited.Store(1<<share.NumKinds - 1) // until there is a limit
	s.boxes[key] = b
	if s.pool != nil {
		b.real = s.pool.Join(key, changed)
	}
	b.loosen()
	return b
}

// counts returns those under a key. Called with mu.
func (s *Switch) counts(key string) *counts {
	c := s.kept[key]
	if c == nil {
		c = new(counts)
		s.kept[key] = c
	}
	return c
}

// leave ends the use of a mailbox.
func (s *Switch) leave(b *box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boxes[b.key] == b {
		delete(s.boxes, b.key)
	}
	b.counts.boxes--
	s.prune(s.now())
}

// prune forgets counts that say nothing any more. Called with mu.
func (s *Switch) prune(now time.Time) {
	if len(s.kept) < 2*len(s.boxes)+64 { // else looking would cost more than keeping
		return
	}
	for key, c := range s.kept {
		if _, counts := c.use(key, now); !counts && c.boxes == 0 {
			delete(s.kept, key)
		}
	}
}

// keys returns the keys of the mailboxes.
func (s *Switch) keys() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]bool, len(s.boxes))
	for key := range s.boxes {
		all[key] = true
	}
	return all
}

// Share has all mailboxes share with another process, by pool.
func (s *Switch) Share(pool share.Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pool = pool
	for _, b := range s.boxes {
		b.share(pool)
	}
}

// Alone ends it: the other process has ended, and has counted others. all: the hours of others
// are what all have counted but this process. The caller closes the pool.
func (s *Switch) Alone(others []Use, all bool) {
	s.mu.Lock()
	s.pool = nil
	for _, u := range others {
		s.counts(u.Key).put(u, all)
	}
	var changed []func()
	for _, b := range s.boxes {
		b.alone()
		changed = append(changed, b.changed)
	}
	s.mu.Unlock()
	for _, f := range changed {
		f()
	}
}

// Uses returns what was counted, by this process and before it.
func (s *Switch) Uses() (list []Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for key, c := range s.kept {
		if u, ok := c.use(key, now); ok {
			list = append(list, u)
		}
	}
	return list
}

// counted returns what counts now of a kind: of this process, and by the hour from before it.
func (s *Switch) counted(key string, k share.Kind) (own, before int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.kept[key]
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := s.now()
	c.settle()
	own, _ = c.own[k].sum(k, now)
	if byHour(k) {
		all, _ := c.used(k, now)
		before = all - own
	}
	return own, before
}

// held is box.held for the mailbox of a key.
func (s *Switch) held(key string) (outside [share.NumKinds]int, settled [share.NumKinds]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.boxes[key]; b != nil {
		return b.held()
	}
	return outside, settled
}

// box is a mailbox of a switch.
type box struct {
	of      *Switch
	key     string
	changed func()
	*counts

	free atomic.Bool // alone, and nothing bounds it
	// unlimited has a bit for each kind that has no limit, and of which nothing is counted
	// therefore while free. Messages are counted if any of their kinds has a limit.
	unlimited atomic.Uint32

	lot              sync.Mutex    // guards what follows; before counts.mu
	real             share.Mailbox // nil: alone
	slots            int
	limits           [share.NumKinds]int
	have, busy, want int
	wants            [share.NumKinds]int
	taken            [share.NumKinds]int // permits of messages under way
	// outside are those of taken that were taken alone, while this process shares; settled is
	// how many of them counted in the end.
	outside [share.NumKinds]int
	settled [share.NumKinds]uint64
	// stays is how many connections there were when the process began to share, until the
	// first grant.
	stays     atomic.Int64
	settledAt time.Time // when a message was settled whose recipients are not yet
	joined    time.Time // when it began to share
}
