package server

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"xoauth2-proxy/internal/loop"
)

// Pause stops accepting until Resume, or Shutdown: see loop.Engine.Pause.
func (s *Server) Pause() { s.engine.Pause() }

// Resume ends Pause, and spares the sessions whose turn in Evict has not come.
func (s *Server) Resume() {
	s.postAll(func(l *eventLoop) { l.turns.Clear() })
	s.engine.Resume()
}

// Duplicates returns duplicates of the listeners' sockets, for the caller to close, also on an error.
func (s *Server) Duplicates() (fds []int, err error) {
	for _, l := range s.listeners {
		fd, err := l.socket.Duplicate()
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// Evict ends the sessions that there are with 421, each when it is in no transaction. Their
// turns are spread over a time, so that their clients do not all come back at once. Those that
// have not begun a transaction come last: their clients would take 421 for a refusal.
func (s *Server) Evict(over time.Duration) {
	s.postAll(func(l *eventLoop) {
		fewestFirst := func(a, b *session) int { return cmp.Compare(a.messages, b.messages) }
		l.turns.Begin(slices.SortedFunc(maps.Keys(l.sessions), fewestFirst), l.Now(), l.Now()+loop.Ticks(over))
		l.nextTurn.Expirer = l
		l.Expired()
	})
}

// Expired implements loop.Expirer: the turn of some sessions may have come.
func (l *eventLoop) Expired() {
	for s, ok := l.turns.Next(l.Now()); ok; s, ok = l.turns.Next(l.Now()) {
		if s.state != stateClosed {
			s.evicted = true
			s.visit((*session).flush)
		}
	}
	if l.turns.Left() > 0 {
		l.SetTimer(&l.nextTurn, l.Now()+1)
	}
}

// leaves reports whether the session ends when it is in no transaction.
func (s *session) leaves() bool { return s.loop.draining || s.evicted }
