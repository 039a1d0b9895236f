package server

import (
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/server/internal/records"
	"xoauth2-proxy/upstream"
)

// RecipientsReplied implements upstream.Completer.
func (s *session) RecipientsReplied(tx *upstream.Transaction, on *loop.Loop) {
	s.deliver((*recipientsAnswer)(tx), on)
}

// Complete implements upstream.Completer.
func (s *session) Complete(tx *upstream.Transaction, on *loop.Loop) {
	s.deliver((*completion)(tx), on)
}

// Late implements upstream.Completer. It may be called when the session has ended, and on
// any goroutine: it looks only at what does not change.
func (s *session) Late(tx *upstream.Transaction) {
	c := records.Client{Session: s.id, Addr: s.source, Listener: s.listener.name}
	records.NewPen(s.srv.cfg.Accounting).Message(c, tx, true)
}

// client is what records say of the session.
func (s *session) client() records.Client {
	return records.Client{Session: s.id, Addr: s.source, Listener: s.listener.name, Account: s.account}
}

// answer is a transaction that the relay gives back.
type answer interface {
	loop.Runner
	loop.Dropper
}

// deliver runs an answer on the session's loop. on is the caller's loop: if it is the
// session's, the answer runs right after the current callback; otherwise it is posted to
// the inbox of the session's loop.
func (s *session) deliver(a answer, on *loop.Loop) {
	if on == s.loop.Loop {
		on.Later(a)
	} else if !s.loop.Post(a) {
		a.Dropped()
	}
}

// recipientsAnswer is a transaction whose recipients have their replies, on its way to
// its session's loop.
type recipientsAnswer upstream.Transaction

// Run implements loop.Runner.
func (a *recipientsAnswer) Run() {
	s := a.Done.(*session)
	defer s.loop.Contain(s)
	s.recipientsReplied((*upstream.Transaction)(a))
}

// Dropped implements loop.Dropper.
func (a *recipientsAnswer) Dropped() { (*upstream.Transaction)(a).Release() }

// completion is a transaction with its result, on its way to its session's loop.
type completion upstream.Transaction

// Run implements loop.Runner. It reads Done first: at the time of a panic the transaction
// may have been released and be another session's.
func (c *completion) Run() {
	s := c.Done.(*session)
	defer s.loop.Contain(s)
	s.completed((*upstream.Transaction)(c))
}

// Dropped implements loop.Dropper.
func (c *completion) Dropped() {
	s, up := c.Done.(*session), (*upstream.Transaction)(c)
	s.srv.metrics.LostReplies.Inc()
	s.Late(up)
	up.Release()
}

// completed answers end-of-data with the provider's final reply. If the client does not
// get the reply, or may not read it, the log has it.
func (s *session) completed(up *upstream.Transaction) {
	id, res, recipients, octets := up.Account.ID, up.Result, len(up.Rcpts), up.Size()
	s.loop.pen.Message(s.client(), up, s.state != stateAwaitUpstream)
	up.Release()
	if s.state != stateAwaitUpstream {
		s.srv.metrics.LostReplies.Inc()
		s.logUnread("client had gone before the final reply", id, res)
		return
	}
	leaving := s.ended && !s.saidQuit()
	s.t = transaction{}
	s.logOutcome(res.Reply, recipients, octets, res.Why()...)
	if res.Reply.Positive() {
		s.errors = 0
	}
	s.pass(res.Reply, stateReady)
	s.resume()
	switch {
	case s.broken:
		s.srv.metrics.LostReplies.Inc()
		s.logUnread("cannot write the final reply: the connection is broken", id, res)
	case leaving:
		s.logUnread("client had closed its side before the final reply and may not read it", id, res)
	}
}

// logOutcome logs the reply to a message, if that is configured.
func (s *session) logOutcome(r codec.Reply, recipients int, octets int64, why ...zap.Field) {
	if s.srv.cfg.LogMessages.Wants(r.Positive()) {
		s.srv.journal.Outcome(s.who(), r, recipients, octets, why...)
	}
}

// logUnread logs the outcome of a message whose client may not have read it.
func (s *session) logUnread(why, account string, res upstream.Result) {
	s.srv.journal.Note(zap.InfoLevel, why, zap.Uint64("sid", s.id), zap.String("account", account), zap.Int("code", res.Reply.Code))
}
