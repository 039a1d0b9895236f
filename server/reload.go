package server

import (
	"maps"
	"runtime/debug"
	"slices"

	"xoauth2-proxy/internal/account"
)

// AccountsChanged is to be called after the store has been given other accounts. It ends
// the sessions whose account is gone, at once or after their current message, and does
// not wait until they have ended.
func (s *Server) AccountsChanged() { s.learn(s.accounts.Load()) }

// learn wakes keepLearning if snapshot is new to it. It never blocks.
func (s *Server) learn(snapshot *account.Snapshot) {
	if s.learned.Load() == snapshot {
		return
	}
	select {
	case s.news <- struct{}{}:
	default: // keepLearning will load the newest snapshot
	}
}

// keepLearning runs prepare after each reload, and ends the sessions whose account is
// gone. It has a goroutine: there may be many thousands of accounts.
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

// prepareAgain runs prepare on a running server: after a panic the passwords and EHLO
// replies stay as they were.
func (s *Server) prepareAgain(snapshot *account.Snapshot) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked("panic while preparing for new accounts: EHLO replies and unknown logins stay as they were", p, debug.Stack())
		}
	}()
	s.prepare(snapshot)
}

// endRemoved ends the sessions of a loop whose account is gone, unless they are in a
// transaction: these end after it (flush).
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

// walkStep is how many sessions a walk visits in one callback. Ending a session takes
// 20 to 40 µs.
const walkStep = 50

// walk visits all sessions of a loop, walkStep at a time. endRemoved posts each step
// after the one before has run: a loop empties its inbox before it polls its sockets,
// so a walk that posted itself would keep the loop from them.
type walk struct {
	loop  *eventLoop
	begun bool
	left  []*session // not visited yet; some may have ended
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
