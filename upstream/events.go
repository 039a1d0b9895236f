package upstream

import (
	"time"

	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/throttle"
)

// handle decides what an event leads to.
func (s *shard) handle(e *event) {
	if e.call != nil {
		e.call(e.Now)
	} else {
		s.hear(&e.Event)
	}
	if len(s.stale) > 0 {
		s.report(e.Now)
	}
	if s.closing {
		s.checkDrained()
	}
}

// hear decides what the event of a connection or a transaction leads to.
func (s *shard) hear(e *carry.Event) {
	if e.Kind == carry.Submit {
		s.onSubmit(e.Tx, e.Now)
		return
	}
	st := e.Conn.Of.(*accountState)
	switch e.Kind {
	case carry.Dialed:
		s.onDialed(st, e)
	case carry.Done:
		s.learn(st, e)
		s.reuse(st, e.Conn, &st.waiting, e.Now)
		s.share(st, e.Now)
	case carry.Learned:
		s.learn(st, e)
		s.dispatch(st, e.Now)
		s.share(st, e.Now)
	case carry.Gone:
		s.gone(st, e.Conn, connBusy)
		s.relay.gate.Release()
		s.freed(st, e.Now)
		s.unused(st, e.Now)
	case carry.Retry:
		s.onRetry(st, e)
		s.share(st, e.Now)
	case carry.Closed:
		s.gone(st, e.Conn, connClosing)
		s.freed(st, e.Now)
		s.unused(st, e.Now)
	case carry.Broken:
		if e.Conn.In(&st.parked) { // else its loop sees it, unless it is to be parked
			s.retire(st, e.Conn)
		} else {
			e.Conn.SaidBroken = true
		}
	}
}

// breakAll closes all connections that are in use: Relay.Close has lost patience.
func (s *shard) breakAll(time.Time) {
	for _, st := range s.accounts {
		for c := st.inUse.Newest(); c != nil; c = c.Older() {
			c.Break()
		}
	}
}

// onClose fails what waits and closes what is idle. From now on nothing is
// parked, and the timer rests.
func (s *shard) onClose(now time.Time) {
	s.closing = true
	for _, st := range s.accounts {
		s.failAll(st, &Error{Phase: throttle.PhaseQueue, Err: ErrClosed}, now)
		s.retireParked(st)
	}
}
