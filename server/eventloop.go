package server

import (
	"go.uber.org/zap"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/server/internal/records"
	"xoauth2-proxy/server/internal/turns"
)

// eventLoop is the state that the sessions of one event loop share. Only the loop uses
// it.
type eventLoop struct {
	*loop.Loop

	out      []byte // replies of the session that is being served
	sasl     []byte // scratch for one decoded SASL message
	pen      *records.Pen
	sessions map[*session]struct{}
	draining bool
	turns    turns.Turns[*session] // of those to evict
	nextTurn loop.Timer
}

// addLoop adds a loop that serves sessions.
func (s *Server) addLoop(l *loop.Loop) {
	pen := records.NewPen(s.cfg.Accounting)
	s.loops = append(s.loops, &eventLoop{Loop: l, pen: pen, sessions: make(map[*session]struct{})})
}

// Loops are the event loops; none before Start. It is safe for use on any goroutine.
func (s *Server) Loops() []*loop.Loop {
	if !s.started.Load() {
		return nil
	}
	return s.engine.Loops()
}

// loopOf finds the eventLoop of a loop. There are few of them.
func (s *Server) loopOf(l *loop.Loop) *eventLoop {
	for _, ours := range s.loops {
		if ours.Loop == l {
			return ours
		}
	}
	panic("server: connection on an unknown loop")
}

// callbackPanicked reports a panic that a loop has contained.
func (s *Server) callbackPanicked(in loop.Place, p any, stack []byte) {
	what := "panic in a session, which is closed"
	if in == loop.InHandshake {
		what = "panic in a handshake, whose session is closed"
	}
	s.panicked(what, p, stack)
}

// panicked counts and logs a panic that was contained.
func (s *Server) panicked(what string, p any, stack []byte) {
	s.metrics.Panics.Inc()
	s.log.Error(what, zap.Any("panic", p), zap.ByteString("stack", stack))
}

// task is a function to run on a loop. If it panics, the session s ends, if there is one.
type task struct {
	s  *session
	do func()
}

// Run implements loop.Runner.
func (t task) Run() { t.do() }

// Failed implements loop.Failer.
func (t task) Failed() {
	if t.s != nil {
		t.s.Failed()
	}
}

// post runs do on the session's loop.
func (s *session) post(do func()) { s.loop.Post(task{s, do}) }

// postAll runs do on each loop.
func (s *Server) postAll(do func(*eventLoop)) {
	for _, l := range s.loops {
		l.Post(task{do: func() { do(l) }})
	}
}

// visit calls do with the session. If do panics, the session ends.
func (s *session) visit(do func(*session)) {
	defer s.loop.Contain(s)
	do(s)
}

// Failed implements loop.Failer: the session has panicked.
func (s *session) Failed() {
	if s.loop == nil {
		return
	}
	s.loop.out = s.loop.out[:0]
	s.close()
}
