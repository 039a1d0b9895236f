package server

import (
	"maps"
	"runtime/debug"
	"slices"

	"xoauth2-proxy/internal/account"
)

// AccountsChanged is to be called when the store has other accounts. Sessions
// whose account is gone end: at once, or behind the message that they are in. It
// does not wait for that.
func (s *Server) AccountsChanged() { s.learn(s.accounts.Load()) }

// learn has keepLearning look at accounts that it has not seen. It is called on
// loops.
func (s *Server) learn(snapshot *account.Snapshot) {
	if s.learned.Load() == snapshot {
		return
	}
	select {
	case s.news <- struct{}{}:
	default: // it will see the newest
	}
}

// keepLearning prepares for the accounts of each reload, of which there may be
// many thousands, and ends the sessions of those that are gone.
func (s *Server) keepLearning() {
	defer s.running.Done()
	for {
		for newest := s.accounts.Load(); s.learned.Swap(newest) != newest; newest = s.accounts.Load() {
			s.prepareAgain(newest)
			for _, l := range s.loops {
				s.endRemoved(l)
			}
		}
		select {
		case <-s.stopLearning:
			return
		case <-s.news:
		}
	}
}

// prepareAgain is prepare for a server that runs: a panic in it leaves passwords
// and offers as they were.
func (s *Server) prepareAgain(snapshot *account.Snapshot) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked("panic while preparing for new accounts: offers and unknown logins stay as they were", p, debug.Stack())
		}
	}()
	s.prepare(snapshot)
}

// endRemoved ends the sessions of a loop whose accounts are gone and that are in
// no transaction. The others find out by themselves when they are out of it.
func (s *Server) endRemoved(l *eventLoop) {
	w := &walk{loop: l, done: make(chan struct{}, 1)}
	for more := true; more; more = len(w.left) > 0 {
		if !l.Post(w) {
			return
		}
		select {
		case <-w.done:
		case <-s.stopLearning:
			return
		}
	}
}

// walkStep is how many sessions a walk comes to in one go: it takes 20 to 40 µs to
// end one.
const walkStep = 50

// walk comes to all sessions of a loop, a few at a time. It does not post itself:
// a loop runs all that is posted before it looks at its sockets again.
type walk struct {
	loop  *eventLoop
	begun bool
	left  []*session // some may have ended meanwhile
	done  chan struct{}
}

// Run implements loop.Runner.
func (w *walk) Run() {
	if !w.begun {
		w.begun, w.left = true, slices.Collect(maps.Keys(w.loop.sessions))
	}
	n := min(walkStep, len(w.left))
	for _, s := range w.left[:n] {
		s.visit((*session).flush)
	}
	w.left = w.left[n:]
	w.done <- struct{}{}
}
