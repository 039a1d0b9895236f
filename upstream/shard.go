package upstream

import (
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

const (
	// handOver is how many events one poster handles before a goroutine takes
	// over, so that an event loop is not held for long.
	handOver = 64
)

// eventKind says what happened; see shard.handle.
type eventKind uint8

const (
	evSubmit     eventKind = iota // tx wants a connection
	evDialed                      // c was opened for st
	evDialFailed                  // it could not be; err says why
	evDone                        // c has ended a transaction of st, and can take another one
	evLearned                     // what is known of a transaction, before evDone or evGone
	evGone                        // c, which was busy, is closed
	evRetry                       // like evGone, and tx wants another connection
	evClosed                      // c, which was in state closing, is closed
	evBroken                      // c, which was parked, is of no use any more
	evTick                        // the timer fired
	evSlot                        // a global slot was handed to the shard
	evClose                       // Relay.Close was called
	evBreak                       // Relay.Close lost patience
	evCall                        // shard.do was called
)

type event struct {
	kind  eventKind
	fresh bool // evRetry: only a new connection will do
	tx    *Transaction
	st    *accountState
	dial  *dialing // evDialed, evDialFailed
	c     *conn
	err   *Error
	now   time.Time
	// evDone or evLearned: the meter that the message has its place in, for how many
	// recipients, and how many of them the provider accepted; with err, what
	// it refused.
	meter           *limit.Meter
	taken, accepted int
	probe           bool // evDone, evLearned: the transaction was a probe
}

// shard owns the state of its accounts. Only one goroutine at a time handles
// its events, in the order of posting.
type shard struct {
	relay *Relay
	part  *watchdog.Part // has work while running; nil: nothing watches

	mu      sync.Mutex // guards inbox, running and calls; a leaf
	inbox   []event
	running bool              // a goroutine handles events
	calls   []func(time.Time) // one for each evCall in the inbox

	// What follows belongs to the goroutine that handles events.

	handling []event    // the slice that is swapped with inbox
	on       *loop.Loop // the one that the goroutine belongs to, nil: none
	accounts map[string]*accountState
	lines    map[lineKey]*loginLine
	due      dueHeap         // all accounts by their next deadline
	blocked  []*accountState // wait for a global slot, in order
	slots    int             // global slots in hand; see onSlot
	unsaved  []*accountState // have counts that Config.Quota does not have yet
	timer    *time.Timer
	armed    time.Time // when timer fires; zero: not armed
	closing  bool
	drained  chan struct{} // closed when closing and nothing is left

	saving atomic.Bool // was asked for the counts of the day, and has not answered

	// counts are the connections by state; read by the metrics.
	counts [numConnStates]atomic.Int64
}

func newShard(r *Relay) *shard {
	s := &shard{relay: r, accounts: make(map[string]*accountState), lines: make(map[lineKey]*loginLine), drained: make(chan struct{})}
	s.timer = time.AfterFunc(time.Hour, func() { s.post(event{kind: evTick, now: time.Now()}) })
	s.timer.Stop()
	return s
}

// post adds an event to the mailbox. If nobody handles events, the caller does:
// then it returns when the mailbox is empty, or another goroutine took over.
func (s *shard) post(e event) { s.postOn(e, nil) }

// postOn is post on a loop.
func (s *shard) postOn(e event, on *loop.Loop) {
	if s.enqueue(e) {
		s.drive(on)
	}
}

// enqueue adds an event to the mailbox. If it returns true, nobody handles
// events and the caller has to call drive, soon.
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

// drive handles events until there are none, or too many for one goroutine. It
// is called on the loop on, or on none if that is nil.
func (s *shard) drive(on *loop.Loop) {
	s.on = on
	if !s.run(handOver) {
		s.on = nil
		go s.run(0)
	}
}

// run handles events until the mailbox is empty and returns true, or returns
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
			_ = s.relay.panicked(p) // counts and logs it
			next = i + 1
		}
	}()
	for ; i < len(s.handling); i++ {
		s.handle(&s.handling[i])
	}
	return i
}

// handle decides what an event leads to.
func (s *shard) handle(e *event) {
	switch e.kind {
	case evSubmit:
		s.onSubmit(e.tx, e.now)
	case evDialed:
		s.loggedIn(e.dial)
		s.onDialed(e)
		s.callUp(e.now)
	case evDialFailed:
		s.loggedIn(e.dial)
		s.onDialFailed(e)
		s.callUp(e.now)
	case evDone:
		s.onDone(e)
	case evLearned:
		s.learn(e)
		s.dispatch(e.st, e.now)
	case evGone:
		s.gone(e.st, e.c, connBusy)
		s.relay.gate.release()
		s.dispatch(e.st, e.now)
		s.unused(e.st, e.now)
	case evRetry:
		s.onRetry(e)
	case evClosed:
		s.gone(e.st, e.c, connClosing)
		s.dispatch(e.st, e.now)
		s.unused(e.st, e.now)
	case evBroken:
		if e.c.list == &e.st.parked { // else its loop sees it, unless it is to be parked
			s.retire(e.st, e.c)
		} else {
			e.c.broken = true
		}
	case evTick:
		s.onTick(e.now)
	case evSlot:
		s.onSlot(e.now)
	case evClose:
		s.onClose(e.now)
	case evBreak:
		for _, st := range s.accounts {
			for c := st.inUse.newest; c != nil; c = c.older {
				c.loop.Post(breaking{c})
			}
		}
	case evCall:
		s.onCall(e.now)
	}
	if s.closing {
		s.checkDrained()
	}
}

// onClose fails what waits and closes what is idle. From now on nothing is
// parked, and the timer rests.
func (s *shard) onClose(now time.Time) {
	s.closing = true
	for _, st := range s.accounts {
		s.failAll(st, &Error{Phase: throttle.PhaseQueue, Err: ErrClosed}, now)
		for st.parked.newest != nil {
			s.retire(st, st.parked.oldest)
		}
	}
}

// checkDrained tells Relay.Close when nothing is left to wait for.
func (s *shard) checkDrained() {
	for state := range s.counts {
		if s.counts[state].Load() > 0 {
			return
		}
	}
	select {
	case <-s.drained:
	default:
		s.timer.Stop()
		close(s.drained)
	}
}
