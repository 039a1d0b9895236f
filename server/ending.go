package server

import (
	"bytes"
	"errors"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// end says a last word and closes once the client has had time to read it.
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

// leave ends the connection from our side, after the last reply. Closing with
// input unread would reset the connection, and might take that reply with it.
func (s *session) leave() {
	s.conn.CloseNotify()
	switch {
	case s.state == stateClosed:
	case s.conn.Buffered() > 0: // Drained comes back here
	case s.quit || s.ended:
		s.close()
	default: // the input is still swallowed
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
	if s.state == stateLinger && s.loop.Now() < s.ends {
		s.enter(stateLinger)
	}
}

// close closes now; Closed runs inside.
func (s *session) close() {
	if s.state != stateClosed {
		s.conn.Close()
	}
}

// Closed implements loop.Handler: the connection is gone, or was never opened. A
// client whose connection broke will read no answer.
func (s *session) Closed(err error) {
	s.listener.left()
	if s.loop == nil {
		s.leaveSource()
		if !errors.Is(err, loop.ErrEnded) {
			s.srv.metrics.acceptErrors.Inc()
			s.srv.log.Warn("taking a connection", zap.Error(err))
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

// closed is called once, when the connection is gone. A transaction that the
// relay has goes on: after end-of-data its outcome is logged there.
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

// EndOfInput implements loop.Handler: the client has said all that it will say. What
// it has said is carried out and answered, unless it gave up waiting; flush closes
// after the last answer.
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

// patienceOfClients is how long after end-of-data a client waits at least. One that
// ends its input sooner sends all at once, and reads the answers then.
const patienceOfClients = time.Second

// gaveUp reports whether a client whose input ends now no longer waits for an answer,
// and so will send its message again: it has not said QUIT, and has been silent for
// some time since end-of-data.
func (s *session) gaveUp() bool {
	last := s.heard
	if s.state == stateAwaitUpstream {
		last = s.t.complete
	}
	return s.loop.Clock()-last > patienceOfClients && !s.saidQuit()
}

// saidQuit reports whether QUIT is the last line of the input that waits.
func (s *session) saidQuit() bool {
	if s.in == nil || !bytes.HasSuffix(s.in.B, []byte("\r\n")) {
		return false
	}
	before := s.in.B[:len(s.in.B)-2]
	cmd, _, err := codec.ParseCommand(s.in.B[bytes.LastIndexByte(before, '\n')+1:])
	return err == nil && cmd.Verb == codec.VerbQUIT
}

// abandon drops what the client has asked for and nothing was done for yet: input
// that waits, and a message of which nothing has gone to the provider.
func (s *session) abandon() {
	if s.t.relayed != nil {
		s.t.relayed.Abandon()
	}
	if s.in != nil {
		codec.PutBuffer(s.in)
		s.in = nil
	}
}
