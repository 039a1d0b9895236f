package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/census"
	"xoauth2-proxy/upstream/internal/due"
)

const (
	// handOver is how many events one poster handles before a goroutine takes
	// over, so that an event loop is not held for long.
	handOver = 64
)

// event is one of a connection or a transaction, or a call.
type event struct {
	carry.Event
	call func(now time.Time) // nil: none
}

// shard owns the state of its accounts. Only one goroutine at a time handles
// its events, in the order of posting.
type shard struct {
	relay *Relay
	part  *watchdog.Part // has work while running; nil: nothing watches

	mu      sync.Mutex // guards inbox and running; a leaf
	inbox   []event
	running bool // a goroutine handles events

	// What follows belongs to the goroutine that handles events.

	handling  []event    // the slice that is swapped with inbox
	on        *loop.Loop // the one that the goroutine belongs to, nil: none
	accounts  map[stateKey]*accountState
	mailboxes map[string]*mailbox // of the accounts, by account.Account.MailboxKey
	lines     map[lineKey]*loginLine
	due       due.Heap[*accountState] // all accounts by their next deadline
	blocked   []*accountState         // wait for a global slot, in order
	slots     int                     // global slots in hand; see onSlot
	unsaved   []*mailbox              // have counts that Config.Quota does not have yet
	seatless  []*accountState         // have a message that waits for its tenant
	stale     []*mailbox              // have or want what their lease does not know yet
	timer     *time.Timer
	armed     time.Time // when timer fires; zero: not armed
	closing   bool
	drained   chan struct{} // closed when closing and nothing is left

	saving atomic.Bool // was asked for the counts of the day, and has not answered

	census *census.Shard // connections of all accounts by provider
}

func newShard(r *Relay) *shard {
	s := &shard{relay: r, accounts: make(map[stateKey]*accountState), mailboxes: make(map[string]*mailbox), lines: make(map[lineKey]*loginLine), census: census.NewShard(), drained: make(chan struct{})}
	s.timer = time.AfterFunc(time.Hour, func() { s.call(s.onTick, nil) })
	s.timer.Stop()
	return s
}

// call has f called where the state of the shard may be looked at and changed, as the
// next event. It is called on a loop, or on none if that is nil. If no goroutine handles
// events, the caller does: then it returns when the inbox is empty, or another
// goroutine took over.
func (s *shard) call(f func(now time.Time), on *loop.Loop) {
	if s.enqueue(event{call: f, Event: carry.Event{Now: time.Now()}}) {
		s.Drive(on)
	}
}

// Enqueue implements carry.Pool.
func (s *shard) Enqueue(e carry.Event) (idle bool) { return s.enqueue(event{Event: e}) }

// Stuck implements carry.Pool.
func (s *shard) Stuck() bool { return s.part.Stuck() }

// enqueue adds an event to the inbox. If it returns true, no goroutine handles
// events and the caller has to call Drive, soon.
func (s *shard) enqueue(e event) (idle bool) {
	s.mu.Lock()
	s.inbox = append(s.inbox, e)
	if idle = !s.running; idle {
		s.running = true
		s.part.Begin()
	}
	s.mu.Unlock()
	return idle
}

// Drive implements carry.Pool: it handles events until there are none, or too many for one goroutine. It
// is called on the loop on, or on none if that is nil.
func (s *shard) Drive(on *loop.Loop) {
	s.on = on
	if !s.run(handOver) {
		s.on = nil
		go s.run(0)
	}
}

// run handles events until the inbox is empty and returns true, or returns
// false when it handled limit of them and there are more. 0 is no limit.
func (s *shard) run(limit int) bool {
	for handled := 0; ; {
		s.mu.Lock()
		if len(s.inbox) == 0 {
			s.running = false
			s.part.End()
			s.mu.Unlock()
			return true
		}
		s.part.Next()
		if limit > 0 && handled >= limit {
			s.mu.Unlock()
			return false
		}
		s.handling, s.inbox = s.inbox, s.handling
		s.mu.Unlock()
		for i := 0; i < len(s.handling); {
			i = s.handleFrom(i)
		}
		handled += len(s.handling)
		clear(s.handling)
		s.handling = s.handling[:0]
	}
}

// handleFrom handles the events from number i on and returns the number of the
// one to go on with. A panic is contained: it costs the event it happened in.
func (s *shard) handleFrom(i int) (next int) {
	defer func() {
		if p := recover(); p != nil {
			_ = s.relay.desk.Panicked(p) // counts and logs it
			next = i + 1
		}
	}()
	for ; i < len(s.handling); i++ {
		s.handle(&s.handling[i])
	}
	return i
}

// checkDrained tells Relay.Close when nothing is left to wait for.
func (s *shard) checkDrained() {
	for state := connGone + 1; state < numConnStates; state++ {
		if (census.Shards{s.census}).In(state) > 0 {
			return
		}
	}
	select {
	case <-s.drained:
	default:
		s.timer.Stop()
		for _, m := range s.mailboxes {
			m.dismiss()
		}
		close(s.drained)
	}
}

// note has the lease told what the mailbox has and wants, when the event is handled.
func (s *shard) note(m *mailbox) {
	if m.lease != nil && !m.stale {
		m.stale = true
		s.stale = append(s.stale, m)
	}
}

// report tells the leases what has changed.
func (s *shard) report(now time.Time) {
	for i, m := range s.stale {
		m.report(now)
		m.stale, s.stale[i] = false, nil
	}
	s.stale = s.stale[:0]
}

// tell has f called as the next event, on a goroutine other than the caller's.
func (s *shard) tell(f func(now time.Time)) {
	if s.enqueue(event{call: f, Event: carry.Event{Now: time.Now()}}) {
		go s.Drive(nil)
	}
}
