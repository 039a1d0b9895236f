package server

import (
	"xoauth2-proxy/codec"
	"xoauth2-proxy/server/internal/senders"
	"xoauth2-proxy/upstream"
)

// onContent takes DATA content up to end-of-data.
func (s *session) onContent(b []byte) (rest []byte) {
	n, done := s.data.Decode(b, s.t.content)
	s.cameIn(n)
	err := s.data.Err()
	if err != nil && s.t.up != nil { // the rest of the content is discarded
		s.condemn()
	}
	switch {
	case !done:
		s.enter(stateData) // the content timeout is for each read
	case err != nil:
		r := s.contentReply(err)
		s.toldRefusal(r)
		s.answer(r, stateReady)
	default:
		s.submit()
	}
	return b[n:]
}

// contentReply returns the refusal of content, and counts it.
func (s *session) contentReply(err error) codec.Reply {
	r := codec.ReplyForContent(err)
	if r.Transient() {
		s.srv.metrics.BudgetRefusals.Inc()
	}
	s.srv.metrics.ContentRefusals.Inc()
	return r
}

// notListed counts a refusal by the account's list of senders.
func (s *session) notListed(r codec.Reply) codec.Reply {
	s.srv.metrics.SenderRefusals.Inc()
	return r
}

// submit hands the complete envelope to the relay.
func (s *session) submit() {
	t := &s.t
	up := t.up
	if r := senders.CheckContent(up.Account, t.content); !r.IsZero() {
		s.condemn()
		s.toldRefusal(r)
		s.answer(s.notListed(r), stateReady)
		return
	}
	s.loop.pen.Identify(up, t.content)
	up.Content = t.content
	t.content = nil
	var err error
	if t.opened {
		err = s.srv.relay.Continue(up)
	} else {
		err = s.srv.relay.TrySubmit(up)
	}
	if err != nil {
		r, recipients, octets := upstream.ClientReply(err), len(up.Rcpts), up.Size()
		s.loop.pen.Refused(s.client(), up, r, err, "content")
		s.dropTransaction()
		s.logOutcome(r, recipients, octets)
		s.pass(r, stateReady)
		return
	}
	t.up, t.relayed, t.complete = nil, up, s.lastInput
	s.enter(stateAwaitUpstream)
}

// condemn ends the transaction, whose content is refused. For the record its envelope stays
// until the client is told.
func (s *session) condemn() {
	t := &s.t
	var kept *upstream.Transaction
	if s.loop.pen.On() {
		s.loop.pen.Identify(t.up, t.content)
		t.up.Content = t.content // for its size
		kept = t.up.Copy()
		t.up.Content = nil
	}
	s.dropTransaction()
	t.condemned = kept
}

// toldRefusal ends what condemn has left, when the client is told r.
func (s *session) toldRefusal(r codec.Reply) {
	if up := s.t.condemned; up != nil {
		s.loop.pen.Refused(s.client(), up, r, nil, "content")
		s.dropTransaction()
	}
}
