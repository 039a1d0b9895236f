package server

import (
	"time"

	"xoauth2-proxy/internal/loop"
)

// checkInterval is how often a loop asks the relay whether a shard is stuck.
const checkInterval = 10 // ticks of 100 ms

// check is the repeated question of one loop.
type check struct {
	loop.Timer
	srv *Server
	l   *eventLoop
}

// awaitAnswers starts the check of a loop: its sessions that wait for a stuck shard
// answer their clients themselves.
func (s *Server) awaitAnswers(l *eventLoop) {
	c := &check{srv: s, l: l}
	c.Expirer = c
	c.Expired()
}

// Expired implements loop.Expirer.
func (c *check) Expired() {
	c.l.SetTimer(&c.Timer, c.l.Now()+checkInterval)
	if !c.srv.relay.Stuck() {
		return
	}
	now := time.Now()
	for s := range c.l.sessions {
		s.visit(func(s *session) { s.endWait(now) })
	}
}

// endWait answers the client if the session waits for a stuck shard and
// upstream.Transaction.EndWait allows it.
func (s *session) endWait(now time.Time) {
	t := &s.t
	if t.relayed == nil {
		return
	}
	ended, ok := t.relayed.EndWait(now)
	if !ok {
		return
	}
	reply := ended.Result.Reply
	if s.state == stateAwaitUpstream {
		ended.Place.Submitted, ended.Passage.Done = now.Add(t.complete-s.loop.Clock()), now
		s.loop.pen.Message(s.client(), ended, false)
		ended.Release()
		recipients := t.rcpts
		s.t = transaction{}
		s.logOutcome(reply, recipients, 0)
		s.pass(reply, stateReady)
		s.resume()
		return
	}
	t.up, t.relayed, t.opened = ended, nil, false
	t.refusal, t.later = reply, reply
	if err := ended.Result.Err; err != nil {
		t.cause = err
	}
	s.loop.pen.Unsent(s.client(), ended, t.pending, reply, t.cause)
	s.enter(stateRcpt)
	for ; t.pending > 0 && s.state == stateRcpt; t.pending-- {
		s.pass(reply, stateRcpt)
	}
	if s.state != stateRcpt { // the answer ended the session
		s.dropTransaction()
	}
	s.resume()
}
