package server

import "time"

// endWait answers the client itself if the shard that it waits for is stuck, as far
// as the relay lets it (upstream.Transaction.EndWait).
func (s *session) endWait(now time.Time) {
	t := &s.t
	if t.relayed == nil {
		return
	}
	reply, ok := t.relayed.EndWait(now)
	if !ok {
		return
	}
	if s.state == stateAwaitUpstream {
		s.t = transaction{}
		s.pass(reply, stateReady)
		s.resume()
		return
	}
	t.relayed, t.opened = nil, false
	t.refusal, t.later = reply, reply
	s.enter(stateRcpt)
	for ; t.pending > 0 && s.state == stateRcpt; t.pending-- {
		s.pass(reply, stateRcpt)
	}
	if s.state != stateRcpt { // the answer ended the session
		s.dropTransaction()
	}
	s.resume()
}
