package server

import (
	"bytes"
	"errors"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// end sends a last reply, and closes after the client has had time to read it.
func (s *session) end(r codec.Reply) {
	if s.state == stateClosed || s.state == stateLinger {
		return
	}
	if silent.has(s.state) {
		s.close()
		return
	}
	s.dropTransaction()
	s.answer(r, stateLinger)
}

// leave ends our side of the connection after the last reply. A close with input unread
// would reset the connection, and the client might lose that reply.
func (s *session) leave() {
	s.conn.CloseNotify()
	switch {
	case s.state == stateClosed:
	case s.conn.Buffered() > 0: // Drained calls leave again
	case s.quit || s.ended:
		s.close()
	default: // the input is discarded until the client closes
		s.conn.CloseWrite()
	}
}

// Drained implements loop.Handler: all replies have left.
func (s *session) Drained() {
	if s.state == stateLinger {
		s.leave()
	}
}

// Progressed implements loop.Progressor: the client reads.
func (s *session) Progressed() {
	if s.state == stateLinger && s.loop.Now() < s.times.ends {
		s.enter(stateLinger)
	}
}

// close closes at once. It calls Closed.
func (s *session) close() {
	if s.state != stateClosed {
		s.conn.Close()
	}
}

// Closed implements loop.Handler: the connection is closed, or was never opened.
func (s *session) Closed(err error) {
	s.listener.left()
	if s.loop == nil {
		s.leaveSource()
		if !errors.Is(err, loop.ErrEnded) {
			s.srv.metrics.AcceptErrors.Inc()
			s.srv.journal.Note(zap.WarnLevel, "cannot serve a connection", zap.Error(err))
		}
		return
	}
	delete(s.loop.sessions, s)
	if err != nil {
		s.broken = true
		if s.gaveUp() {
			s.abandon()
		}
	}
	s.closed()
}

// closed releases what the session has; it is called once. A transaction that the relay
// owns goes on: completed logs its outcome.
func (s *session) closed() {
	s.dropTransaction()
	s.leaveSource()
	s.enter(stateClosed)
	if s.in != nil {
		codec.PutBuffer(s.in)
		s.in = nil
	}
	s.login = nil
}

// EndOfInput implements loop.Handler: the client sends nothing more. Its commands are
// carried out and answered, unless it gave up waiting; flush closes after the last reply.
func (s *session) EndOfInput() {
	if s.ended || s.state == stateClosed {
		return
	}
	s.ended = true
	if s.gaveUp() {
		s.abandon()
	}
	s.flush()
}

// gaveUp reports whether a client whose input ends now has given up waiting, and so will
// send its message again: it has not sent QUIT, and was silent for more than
// patienceOfClients after end-of-data.
func (s *session) gaveUp() bool {
	last := s.lastInput
	if s.state == stateAwaitUpstream {
		last = s.t.complete
	}
	return s.loop.Clock()-last > s.srv.patience && !s.saidQuit()
}

// saidQuit reports whether QUIT is the last line of the input that waits.
func (s *session) saidQuit() bool {
	if s.in == nil || !bytes.HasSuffix(s.in.B, []byte("\n")) {
		return false
	}
	before := s.in.B[:len(s.in.B)-1]
	cmd, _, err := codec.ParseCommand(s.in.B[bytes.LastIndexByte(before, '\n')+1:], s.srv.lineEnd)
	return err == nil && cmd.Verb == codec.VerbQUIT
}

// abandon drops the input that waits, and the message if nothing of it has gone to the
// provider.
func (s *session) abandon() {
	if s.t.relayed != nil {
		s.t.relayed.Abandon()
	}
	if s.in != nil {
		codec.PutBuffer(s.in)
		s.in = nil
	}
}
