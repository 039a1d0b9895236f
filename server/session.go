package server

import (
	"errors"
	"math"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
)

// session is one client connection: its loop.Handler. All its fields belong to its
// loop; other goroutines reach it through the loop's inbox only.
type session struct {
	srv      *Server
	listener *listener
	loop     *eventLoop // nil until the session is opened, as is conn
	conn     *loop.Conn
	upgraded bool // by STARTTLS: the client was greeted before
	id       uint64
	remote   string // for the log

	source       netip.Addr // of the client, also with a PROXY header; invalid for unix
	counted      bool       // is in listener.sources
	awaitsHeader bool       // begins with a PROXY header

	state    state
	resumeTo state // where skipLine and bdatSkip go back to
	skipLeft int   // octets that skipLine may discard before the session ends
	evicted  bool  // ends when it is in no transaction
	quit     bool  // QUIT was the client's last command: close without lingering

	in        *codec.Buffer // input not consumed yet; nil: none
	pipelined []byte        // the input after the command that is being run
	ended     bool          // the client has ended its input, by FIN or a close_notify
	broken    bool          // closed because the connection failed
	lastInput time.Duration // when the client last sent something, by the loop's clock

	snapshot *account.Snapshot // in which account was looked up
	account  *account.Account  // nil before a successful AUTH
	fetches  uint64            // counts the waits for a token
	tried    string            // the last user name of a login, for the log
	share    *codec.Share      // of the memory for content; nil as account
	login    []byte            // during AUTH: the user name of LOGIN, the challenge of CRAM-MD5
	joining  *account.Account  // named by a login that waits for its password check or token

	t    transaction
	data codec.DataDecoder

	errors   int // our 5yz replies since a message was accepted
	messages int // transactions begun

	times deadlines
}

// feed consumes what arrived. b is borrowed.
func (s *session) feed(b []byte) {
	s.lastInput = s.loop.Clock()
	if s.in != nil {
		_, _ = s.in.Write(b) // never fails
		b = s.in.B
	}
	rest := s.consume(b)
	s.keep(rest)
	s.flush()
}

// resume consumes the input that came while the session waited.
func (s *session) resume() {
	if s.in != nil && s.state != stateClosed {
		s.keep(s.consume(s.in.B))
	}
	s.flush()
}

// keep stores the unread rest of the input, which may lie inside s.in.
func (s *session) keep(rest []byte) {
	switch {
	case s.state == stateClosed || s.state == stateLinger || len(rest) == 0:
		if s.in != nil {
			codec.PutBuffer(s.in)
			s.in = nil
		}
	case s.in == nil:
		s.in = codec.GetBuffer()
		s.in.B = append(s.in.B[:0], rest...)
	default:
		s.in.B = s.in.B[:copy(s.in.B, rest)]
	}
	switch {
	case s.in == nil || len(s.in.B) <= s.srv.cfg.MaxPipelined:
		s.conn.Resume()
	case !s.pause():
		s.end(codec.ReplyTooMuchInput)
		codec.PutBuffer(s.in)
		s.in = nil
	}
}

// pause stops reading from the client, so that TCP holds the client back. Otherwise a
// client could pipeline without bound while its session waits. It reports whether
// reading has stopped.
func (s *session) pause() bool {
	if s.conn.Paused() {
		return true
	}
	if !s.conn.Pause() {
		return false
	}
	s.srv.metrics.Pauses.Inc()
	return true
}

// consume runs the state machine over b and returns the input that must wait: an
// incomplete line, or everything after a command whose reply is not known yet.
func (s *session) consume(b []byte) (rest []byte) {
	for len(b) > 0 {
		switch s.state {
		case stateData:
			b = s.onContent(b)
		case stateBdat:
			b = s.onChunk(b)
		case stateBdatSkip:
			b = s.onSkippedChunk(b)
		case stateSkipLine:
			n, done := s.skipLine(b)
			b = b[n:]
			if !done {
				return b // at most a CR, whose LF may follow
			}
		case stateAuthPlain, stateAuthLoginUser, stateAuthLoginPass, stateAuthCRAM:
			line, n, err := codec.ParseLine(b, codec.MaxAuthLine, s.srv.lineEnd)
			if errors.Is(err, codec.ErrIncomplete) {
				return b
			}
			b = b[n:]
			if err != nil {
				s.badLine(err, codec.MaxAuthLine-n, s.greeted())
				continue
			}
			s.answer(s.onAuthLine(line))
		case stateAwaitPassword, stateDelayed, stateAwaitToken, stateAwaitRcpts, stateAwaitUpstream:
			return b
		case stateHello, stateUnauth, stateReady, stateMail, stateRcpt, stateBdatNext:
			n, again := s.onCommand(b)
			b = b[n:]
			if !again {
				return b
			}
		default:
			return nil
		}
	}
	if s.t.pending > 0 {
		s.sendRecipients()
	}
	return nil
}

// onCommand reads one command. again is false when the input must wait.
func (s *session) onCommand(b []byte) (n int, again bool) {
	cmd, n, err := codec.ParseCommand(b, s.srv.lineEnd)
	if errors.Is(err, codec.ErrIncomplete) || s.t.pending > 0 && (err != nil || !s.joins(cmd)) {
		if s.t.pending > 0 { // the recipients' replies come before this command's
			s.sendRecipients()
			return 0, !waiting.has(s.state)
		}
		return 0, false
	}
	if err != nil {
		s.badLine(err, codec.LineCap(b)-n, s.state)
		return n, true
	}
	s.srv.metrics.Commands[cmd.Verb].Inc()
	if ce := s.srv.log.Check(zap.DebugLevel, "command"); ce != nil {
		ce.Write(zap.Uint64("sid", s.id), zap.Stringer("verb", cmd.Verb), zap.Stringer("state", s.state))
	}
	s.pipelined = b[n:]
	s.answer(s.step(cmd))
	s.pipelined = nil // borrowed
	if s.state == stateHandshake {
		if s.flush(); s.state == stateHandshake {
			s.startTLS()
		}
	}
	return n, true
}

// badLine answers a line that is no command, and enters next after its end. left is how
// much of the line the cap allows for still.
//
// A line with a bare LF is answered at the LF, since its client may wait for that. What
// follows belongs to the line all the same, up to CRLF: read as a command, it would be
// one that the client's side may have taken for a part of an address. A client that sends
// no CRLF within the cap will send none.
func (s *session) badLine(err error, left int, next state) {
	switch {
	case errors.Is(err, codec.ErrBareLF):
		s.answer(codec.ReplyBareNewline, next)
	case errors.Is(err, codec.ErrLineTooLong):
		s.answer(codec.ReplyLineTooLong, next)
		left = math.MaxInt
	default:
		s.answer(codec.ReplyBareNewline, next)
		return
	}
	if s.state == next { // not ended by too many errors
		s.resumeTo, s.skipLeft = next, left
		s.enter(stateSkipLine)
	}
}

// skipLine discards the rest of a refused line. done is true when that has ended, or the
// session.
func (s *session) skipLine(b []byte) (n int, done bool) {
	n, done = codec.SkipLine(b, s.srv.lineEnd)
	if n > s.skipLeft {
		s.end(codec.ReplyNoCRLF)
		return n, true
	}
	s.skipLeft -= n
	if done {
		s.enter(s.resumeTo)
	}
	return n, done
}

// answer queues a reply of our own, unless it is NoReply, and enters next. Too many 5yz
// replies end the session.
func (s *session) answer(r codec.Reply, next state) {
	if r.Code >= 400 {
		s.srv.journal.Reply(s.who(), r)
	}
	s.pass(r, next)
	if !r.Permanent() || s.state == stateLinger {
		return
	}
	if s.errors++; s.errors >= s.srv.cfg.MaxErrors {
		s.dropTransaction()
		s.srv.journal.Reply(s.who(), codec.ReplyTooManyErrors)
		s.pass(codec.ReplyTooManyErrors, stateLinger)
	}
}

// pass queues a reply, unless it is NoReply, and enters next. It does not count it as an
// error of the session: the reply may be the provider's.
func (s *session) pass(r codec.Reply, next state) {
	if !r.IsZero() {
		s.loop.out = r.AppendTo(s.loop.out)
		s.srv.metrics.Refusals.Count(r.Code, r.Hint)
		if r.Code == 421 { // RFC 5321 section 3.8: the server closes after it
			next = stateLinger
		}
	}
	s.enter(next)
}

// flush writes the queued replies. A write that fails calls Closed. flush also ends a
// session without a transaction, if it is to leave or the account is gone.
func (s *session) flush() {
	switch {
	case s.leaves() && s.idle():
		s.end(codec.ReplyShutdown)
	case s.state == stateReady && !s.checkAccount():
		s.end(codec.ReplyAccountRemoved)
	case s.ended && !answersDue.has(s.state):
		s.dropTransaction()
		s.enter(stateLinger)
	}
	out := s.loop.out
	s.loop.out = out[:0]
	if s.state == stateClosed {
		return
	}
	if len(out) > 0 {
		if err := s.conn.Write(out); err != nil || s.state == stateClosed {
			return
		}
		if s.conn.Buffered() > maxOutbound {
			s.srv.metrics.UnreadReplies.Inc()
			s.close()
			return
		}
	}
	if s.state == stateLinger && (len(out) > 0 || s.ended) {
		s.leave()
	}
}

// idle reports whether the session is in no transaction. What it discards after a refusal,
// the rest of a line or a chunk, is none.
func (s *session) idle() bool {
	if s.state == stateSkipLine || s.state == stateBdatSkip {
		return idle.has(s.resumeTo)
	}
	return idle.has(s.state)
}

// maxOutbound caps the replies, in octets, that a client leaves unread.
const maxOutbound = 64 << 10

// Expired implements loop.Expirer: the deadline has passed.
func (s *session) Expired() {
	if s.state == stateLinger {
		s.close()
		return
	}
	switch s.state {
	case stateDetect:
		s.greet()
		s.flush()
		return
	case stateDelayed:
		s.delayOver()
		return
	case stateAwaitToken:
		s.tokenReady(s.fetches, errTokenLate)
		return
	}
	up, tooSlow := s.times.expired(s.loop.Loop)
	if !up {
		return
	}
	r := codec.ReplyTimeout
	if tooSlow {
		r = codec.ReplyTooSlow
	}
	s.srv.metrics.Timeouts.Inc()
	if s.state == stateHandshake {
		s.refused(handshakeFailed, "timeout")
	}
	s.end(r)
	s.flush()
}

// enter is the only writer of s.state. It also sets the deadline of the new state.
func (s *session) enter(next state) {
	s.state = next
	s.times.enter(s.loop.Loop, &s.srv.cfg, next)
}

// cameIn counts octets of content.
func (s *session) cameIn(n int) {
	s.srv.metrics.ContentBytes.Add(n)
	s.times.pace.Add(s.loop.Now(), n)
}
