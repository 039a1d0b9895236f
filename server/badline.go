package server

import (
	"errors"
	"math"

	"xoauth2-proxy/codec"
)

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
		s.end(replyNoCRLF)
		return n, true
	}
	s.skipLeft -= n
	if done {
		s.enter(s.resumeTo)
	}
	return n, done
}
