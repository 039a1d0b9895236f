package server

import (
	"errors"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// session is one client connection. All its fields belong to its loop; other
// goroutines reach it through the loop's mailbox only.
type session struct {
	srv      *Server
	listener *listener
	loop     *loop
	accepted int // the socket, until the loop opens the session
	conn     gnet.Conn
	tls      *tlsLayer // nil in clear
	id       uint64
	remote   string // for the log; gnet forgets the address at close

	source       netip.Addr // of the client, behind a PROXY header too; invalid for unix
	counted      bool       // is in listener.sources
	awaitsHeader bool       // begins with a PROXY header

	state    state
	resumeTo state // where skipLine and bdatSkip go back to
	quit     bool  // QUIT was the last word of the client: close without lingering

	in     *codec.Buffer // input not consumed yet; nil when there is none
	behind []byte        // the input behind the command that is being run
	paused bool          // the connection is not read from
	shut   bool          // all that came over the connection was read, and no more will
	ended  bool          // the client has ended its input: shut, or a close_notify
	broken bool          // closed because the connection failed
	heard  time.Duration // when the client last said something, by the loop's clock

	snapshot *account.Snapshot // the one that account was looked up in
	account  *account.Account  // nil before a successful AUTH
	login    []byte            // during AUTH: the user name of LOGIN, the challenge of CRAM-MD5
	joining  *account.Account  // named by a login that is being decided
	delay    time.Duration     // for which a refusal is held back

	t    transaction
	data codec.DataDecoder
	ends int64 // when the session is too old, in ticks of the loop

	errors   int // our 5yz replies so far
	messages int // transactions begun

	wheelNode
}

// feed consumes what arrived. b is borrowed.
func (s *session) feed(b []byte) {
	s.heard = s.loop.clock
	if s.in != nil {
		_, _ = s.in.Write(b) // never fails
		b = s.in.B
	}
	rest := s.consume(b)
	s.keep(rest)
	s.flush()
}

// resume goes on with input that was left unread while the session waited.
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
		if s.paused && s.state != stateClosed {
			s.unpause()
		}
	case !s.pause():
		s.end(codec.ReplyTooMuchInput)
		codec.PutBuffer(s.in)
		s.in = nil
	}
}

// consume runs the state machine over b and returns what must wait: a line
// that is not complete, or everything behind a command whose answer must come
// from somebody else.
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
			n, done := codec.SkipLine(b)
			b = b[n:]
			if !done {
				return b // at most a CR, whose LF is to come
			}
			s.enter(s.resumeTo)
		case stateAuthPlain, stateAuthLoginUser, stateAuthLoginPass, stateAuthCRAM:
			line, n, err := codec.ParseLine(b, codec.MaxAuthLine)
			if errors.Is(err, codec.ErrIncomplete) {
				return b
			}
			b = b[n:]
			if err != nil {
				s.badLine(err, s.greeted())
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
	cmd, n, err := codec.ParseCommand(b)
	if errors.Is(err, codec.ErrIncomplete) || s.t.pending > 0 && (err != nil || !s.joins(cmd)) {
		if s.t.pending > 0 { // their replies come before this command's
			s.sendRecipients()
			return 0, !waiting.has(s.state)
		}
		return 0, false
	}
	if err != nil {
		s.badLine(err, s.state)
		return n, true
	}
	s.srv.metrics.commands[cmd.Verb].Inc()
	if ce := s.srv.log.Check(zap.DebugLevel, "command"); ce != nil {
		ce.Write(zap.Uint64("sid", s.id), zap.Stringer("verb", cmd.Verb), zap.Stringer("state", s.state))
	}
	s.behind = b[n:]
	s.answer(s.step(cmd))
	s.behind = nil // borrowed
	if s.state == stateHandshake {
		if s.flush(); s.state == stateHandshake {
			s.startTLS()
		}
	}
	return n, true
}

// badLine answers a line that is no command and goes to next.
func (s *session) badLine(err error, next state) {
	if errors.Is(err, codec.ErrLineTooLong) {
		s.answer(codec.ReplyLineTooLong, next)
		if s.state == next { // not ended by too many errors
			s.resumeTo = next
			s.enter(stateSkipLine)
		}
		return
	}
	s.answer(codec.ReplyBareNewline, next)
}

// answer queues a reply of ours, unless it is the zero one, and enters next.
// Too many errors end the session.
func (s *session) answer(r codec.Reply, next state) {
	s.pass(r, next)
	if !r.Permanent() || s.state == stateLinger {
		return
	}
	if s.errors++; s.errors >= s.srv.cfg.MaxErrors {
		s.dropTransaction()
		s.pass(codec.ReplyTooManyErrors, stateLinger)
	}
}

// pass queues a reply, also one of the upstream, which is no error of the
// session, and enters next.
func (s *session) pass(r codec.Reply, next state) {
	if !r.IsZero() {
		s.loop.out = r.AppendTo(s.loop.out)
		if r.Code == 421 { // RFC 5321 section 3.8: the server closes behind it
			next = stateLinger
		}
	}
	s.enter(next)
}

// flush writes the queued replies: the only place that touches the
// connection for writing. gnet closes inside a failing Write and runs OnClose
// within it; a Write after that would go to whoever has the descriptor then.
// A session without a transaction ends here while the server drains, and when
// its account is gone.
func (s *session) flush() {
	switch {
	case s.loop.draining && idle.has(s.state):
		s.end(codec.ReplyShutdown)
	case s.state == stateReady && !s.checkAccount():
		s.end(replyAccountRemoved)
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
		if err := s.write(out); err != nil || s.state == stateClosed {
			return
		}
		if s.conn.OutboundBuffered() > maxOutbound {
			s.srv.metrics.deafClients.Inc()
			s.close()
			return
		}
	}
	if s.state == stateLinger && (len(out) > 0 || s.ended) {
		s.leave()
	}
}

// write sends octets to the client, through TLS where there is TLS.
func (s *session) write(b []byte) error {
	if s.tls != nil {
		return s.writeTLS(b)
	}
	_, err := s.conn.Write(b)
	return err
}

// maxOutbound caps the replies, in octets, that a client leaves unread.
const maxOutbound = 64 << 10

// timeout is called by the wheel when the deadline has passed.
func (s *session) timeout() {
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
	}
	s.srv.metrics.timeouts.Inc()
	s.end(codec.ReplyTimeout)
	s.flush()
}

// expireIn sets the deadline of a state, which is never later than that of the
// whole session: at once when that has passed, and for the client's part of a
// message some time later.
func (s *session) expireIn(d time.Duration) {
	now := s.loop.ticks
	deadline := now + ticksOf(d)
	switch {
	case s.state == stateLinger || s.state == stateDelayed:
	case idle.has(s.state):
		deadline = min(deadline, max(s.ends, now+1))
	default:
		deadline = min(deadline, max(s.ends+ticksOf(s.srv.cfg.ContentTimeout), now+1))
	}
	s.loop.wheel.set(s, deadline)
}
