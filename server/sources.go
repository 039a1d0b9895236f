package server

import (
	"xoauth2-proxy/codec"
	"xoauth2-proxy/server/internal/sources"
)

// left decrements the session counts, when a session has ended.
func (l *listener) left() {
	l.active.Add(-1)
	if l.srv.active.Add(-1) == 0 {
		select {
		case l.srv.empty <- struct{}{}:
		default:
		}
	}
}

// enterSource counts a session to its source address, or returns the refusal. It admits
// every session without a source, which came by a unix socket.
func (l *listener) enterSource(s *session) codec.Reply {
	if !s.source.IsValid() {
		return codec.NoReply
	}
	if !sources.Contains(l.cfg.Allow, s.source) && len(l.cfg.Allow) > 0 {
		l.srv.metrics.NotAllowed.Inc()
		return codec.ReplyNotAllowed
	}
	if !l.sources.Limited() {
		return codec.NoReply
	}
	if !l.sources.Enter(s.source) {
		l.srv.metrics.OverCap.Inc()
		return codec.ReplyTooManyConnections
	}
	s.counted = true
	return codec.NoReply
}

// leaveSource undoes enterSource.
func (s *session) leaveSource() {
	if s.counted {
		s.counted = false
		s.listener.sources.Leave(s.source)
	}
}
