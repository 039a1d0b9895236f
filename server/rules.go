package server

import (
	"xoauth2-proxy/codec"
)

// A rule says where a command is legal and what handles it.
type rule struct {
	in     stateSet
	handle func(*session, []byte) (codec.Reply, state)
}

var anyState = in(stateHello, stateUnauth, stateReady, stateMail, stateRcpt, stateBdatNext)

var rules [codec.NumVerbs]rule

func init() { // not a composite literal: the handlers refer to the table
	rules = [codec.NumVerbs]rule{
		codec.VerbUnknown:  {anyState, (*session).onUnknown},
		codec.VerbEHLO:     {anyState, (*session).onEHLO},
		codec.VerbHELO:     {anyState, (*session).onHELO},
		codec.VerbAUTH:     {in(stateUnauth), (*session).onAUTH},
		codec.VerbMAIL:     {in(stateReady), (*session).onMAIL},
		codec.VerbRCPT:     {in(stateMail, stateRcpt), (*session).onRCPT},
		codec.VerbDATA:     {in(stateRcpt), (*session).onDATA},
		codec.VerbBDAT:     {anyState, (*session).onBDAT}, // its octets follow whatever we answer
		codec.VerbRSET:     {anyState, (*session).onRSET},
		codec.VerbNOOP:     {anyState, (*session).onNOOP},
		codec.VerbVRFY:     {anyState, (*session).onVRFY},
		codec.VerbEXPN:     {anyState, (*session).onEXPN},
		codec.VerbHELP:     {anyState, (*session).onHELP},
		codec.VerbQUIT:     {anyState, (*session).onQUIT},
		codec.VerbSTARTTLS: {anyState, (*session).onSTARTTLS},
		codec.VerbHTTP:     {anyState, (*session).onHTTP},
	}
}

// step runs one command and returns the reply and the next state. It neither writes
// to the connection nor waits.
func (s *session) step(cmd codec.Command) (codec.Reply, state) {
	r := &rules[cmd.Verb]
	if r.in.has(s.state) {
		return r.handle(s, cmd.Args)
	}
	switch {
	case s.state == stateUnauth:
		return codec.ReplyAuthRequired, s.state
	case s.state == stateHello:
		return codec.ReplyHelloFirst, s.state
	}
	return codec.ReplyBadSequence, s.state
}

func (s *session) onUnknown([]byte) (codec.Reply, state) { return codec.ReplyUnknownVerb, s.state }

// onHTTP ends the session: a web page may have chosen the lines that follow, and they
// may be SMTP commands.
func (s *session) onHTTP([]byte) (codec.Reply, state) {
	s.refused("HTTP request in place of SMTP, session ended", codec.ReplyHTTP.Text, codec.ReplyHTTP.Hint.Fields()...)
	s.dropTransaction()
	s.pass(codec.ReplyHTTP, stateLinger)
	return codec.NoReply, stateLinger
}

// onEHLO also ends a transaction (RFC 5321 section 4.1.4). The login stays:
// RFC 4954 section 4 allows one per session, and clients greet again.
func (s *session) onEHLO(args []byte) (codec.Reply, state) {
	if len(args) == 0 {
		return codec.ReplyBadArgs, s.state
	}
	s.dropTransaction()
	ehlo := s.listener.currentEHLO()
	if s.conn.HasTLS() {
		return ehlo.secure, s.greeted()
	}
	return ehlo.clear, s.greeted()
}

func (s *session) onHELO(args []byte) (codec.Reply, state) {
	if len(args) == 0 {
		return codec.ReplyBadArgs, s.state
	}
	s.dropTransaction()
	return s.srv.helo, s.greeted()
}

func (s *session) greeted() state {
	if s.account != nil {
		return stateReady
	}
	return stateUnauth
}

func (s *session) onRSET([]byte) (codec.Reply, state) {
	s.dropTransaction()
	if s.state == stateHello {
		return codec.ReplyOK, stateHello
	}
	return codec.ReplyOK, s.greeted()
}

func (s *session) onNOOP([]byte) (codec.Reply, state) { return codec.ReplyOK, s.state }

func (s *session) onVRFY(args []byte) (codec.Reply, state) {
	if len(args) == 0 {
		return codec.ReplyBadArgs, s.state
	}
	return codec.ReplyCannotVerify, s.state
}

func (s *session) onEXPN([]byte) (codec.Reply, state) { return codec.ReplyNotImplemented, s.state }

func (s *session) onHELP([]byte) (codec.Reply, state) { return codec.ReplyHelp, s.state }

func (s *session) onQUIT([]byte) (codec.Reply, state) {
	s.dropTransaction()
	s.quit = len(s.pipelined) == 0 // with input unread, a close would reset the connection
	return codec.ReplyClosing, stateLinger
}
