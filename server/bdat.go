package server

import (
	"xoauth2-proxy/codec"
)

// onBDAT starts a chunk (RFC 3030 section 2). In every state it discards the octets of a
// refused chunk: that keeps the session in step.
func (s *session) onBDAT(args []byte) (codec.Reply, state) {
	size, last, err := codec.ParseBdat(args)
	if err != nil { // how many octets follow is unknown: they must not be read as commands
		s.loop.pen.Refused(s.client(), s.t.up, codec.ReplyBadArgs, nil, "content")
		s.dropTransaction()
		return codec.ReplyBadArgs, stateLinger
	}
	t := &s.t
	inTransaction := s.state == stateRcpt || s.state == stateBdatNext
	switch {
	case s.state == stateUnauth:
		return s.refuseChunk(size, codec.ReplyAuthRequired, s.state)
	case s.state == stateHello:
		return s.skipChunk(size, codec.ReplyHelloFirst, s.state)
	case !inTransaction:
		return s.skipChunk(size, codec.ReplyBadSequence, s.state)
	}
	if r, refused := s.refuse(); refused {
		return s.skipChunk(size, r, stateReady)
	}
	if t.content == nil {
		t.content = codec.NewContent(s.share)
		t.lines.Limit = s.maxSize()
	}
	if size > s.maxSize()-t.content.Size() {
		s.condemn()
		return s.refuseChunk(size, s.contentReply(codec.ErrTooBig), stateReady)
	}
	t.chunkLeft, t.chunkLast = size, last
	if size == 0 {
		return s.chunkDone()
	}
	return codec.Reply{}, stateBdat
}

// refuseChunk is skipChunk for a refusal of our own.
func (s *session) refuseChunk(size int64, r codec.Reply, next state) (codec.Reply, state) {
	s.srv.journal.Reply(s.who(), r)
	return s.skipChunk(size, r, next)
}

// skipChunk discards size octets, answers r after them and enters next. r does not count
// as an error of the session: a client may pipeline many chunks before it reads that the
// first one, or MAIL, was refused.
func (s *session) skipChunk(size int64, r codec.Reply, next state) (codec.Reply, state) {
	if size == 0 {
		s.toldRefusal(r)
		s.pass(r, next)
		return codec.NoReply, s.state
	}
	s.t.chunkLeft, s.t.chunkReply, s.resumeTo = size, r, next
	return codec.Reply{}, stateBdatSkip
}

// onChunk takes octets of a chunk.
func (s *session) onChunk(b []byte) (rest []byte) {
	t := &s.t
	n := int(min(int64(len(b)), t.chunkLeft))
	if err := s.appendChunk(b[:n]); err != nil {
		left := t.chunkLeft
		s.condemn()
		s.answer(s.refuseChunk(left, s.contentReply(err), stateReady))
		return b
	}
	s.cameIn(n)
	if t.chunkLeft -= int64(n); t.chunkLeft > 0 {
		s.enter(stateBdat) // the content timeout is for each read
	} else if r, next := s.chunkDone(); next != stateAwaitUpstream {
		s.answer(r, next)
	}
	return b[n:]
}

// appendChunk adds octets of a chunk to the content.
func (s *session) appendChunk(b []byte) error {
	if s.srv.cfg.NormaliseNewlines && !s.binary() {
		return s.t.lines.Append(b, s.t.content)
	}
	return s.t.content.Append(b)
}

// binary reports whether the content is no text (RFC 3030 section 3).
func (s *session) binary() bool { return s.t.up.Mail.Body == codec.BodyBinaryMIME }

// endChunks ends the content after its last chunk.
func (s *session) endChunks() error {
	switch {
	case s.binary():
		return nil
	case s.srv.cfg.NormaliseNewlines:
		return s.t.lines.End(s.t.content)
	}
	return s.t.content.CheckText()
}

// chunkDone ends a chunk; after the last one the message is complete.
func (s *session) chunkDone() (codec.Reply, state) {
	if !s.t.chunkLast {
		return codec.ReplyChunkOK, stateBdatNext
	}
	if err := s.endChunks(); err != nil {
		r := s.contentReply(err)
		s.condemn()
		s.toldRefusal(r)
		return r, stateReady
	}
	s.submit()
	return codec.Reply{}, s.state
}

// onSkippedChunk discards octets of a refused chunk.
func (s *session) onSkippedChunk(b []byte) (rest []byte) {
	t := &s.t
	n := int(min(int64(len(b)), t.chunkLeft))
	s.times.pace.Add(s.loop.Now(), n)
	if t.chunkLeft -= int64(n); t.chunkLeft > 0 {
		s.enter(stateBdatSkip)
	} else {
		r := t.chunkReply
		s.toldRefusal(r)
		s.pass(r, s.resumeTo)
	}
	return b[n:]
}
