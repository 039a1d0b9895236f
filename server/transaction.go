package server

import (
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/server/internal/ehlo"
	"xoauth2-proxy/server/internal/senders"
	"xoauth2-proxy/upstream"
)

// transaction is the client's side of one mail transaction (RFC 5321 section
// 3.3). It is dropped whole.
type transaction struct {
	up        *upstream.Transaction // nil while the relay owns it
	relayed   *upstream.Transaction // the transaction while the relay owns it
	content   *codec.Content        // nil before DATA or the first BDAT
	ext       codec.Extensions      // what RCPT may use
	rcpts     int                   // recipients so far, refused ones included
	accepted  int                   // recipients answered with 250
	pending   int                   // the last recipients, not yet handed to the relay
	malformed bool                  // there was a malformed RCPT, which is one error of the session
	answered  int                   // index in up.Rcpts of the first recipient without a reply to the client
	complete  time.Duration         // when end-of-data came, by the loop's clock
	opened    bool                  // the relay has opened the transaction and given it back
	refusal   codec.Reply           // the reply to DATA or BDAT, if the transaction is refused already
	later     codec.Reply           // with refusal: the reply to further recipients
	cause     error                 // of refusal
	condemned *upstream.Transaction // a copy without content; see condemn

	lines      codec.Normaliser // of BDAT content, where that is configured
	chunkLeft  int64            // octets of the BDAT chunk still to come
	chunkLast  bool             // the chunk is the last one
	chunkReply codec.Reply      // the reply after a discarded chunk
}

// dropTransaction ends the transaction, if there is one, without an answer.
func (s *session) dropTransaction() {
	t := &s.t
	if t.up != nil {
		t.up.Release() // also ends what is open upstream
	}
	if t.content != nil {
		t.content.Release()
	}
	if t.condemned != nil {
		t.condemned.Release()
	}
	*t = transaction{}
}

// onMAIL opens a transaction (RFC 5321 section 4.1.1.2).
func (s *session) onMAIL(args []byte) (codec.Reply, state) {
	r, next := s.open(args)
	if r.Code >= 400 {
		s.loop.pen.Envelope(s.client(), args, r)
	}
	return r, next
}

// open opens a transaction, or refuses it.
func (s *session) open(args []byte) (codec.Reply, state) {
	if s.leaves() {
		return codec.ReplyShutdown, stateLinger
	}
	if s.loop.Now() >= s.times.ends {
		return codec.ReplyTimeout, stateLinger
	}
	if limit := s.listener.cfg.MaxMessages; limit > 0 && s.messages >= limit {
		return codec.ReplyTooManyMessages, stateLinger
	}
	if !s.checkAccount() {
		return codec.ReplyAccountRemoved, stateLinger
	}
	if r, held := s.suspended(s.account); held {
		return r, s.state
	}
	mail, err := codec.ParseMail(args, ehlo.Understood(s.account.Extensions))
	if err != nil {
		return codec.ReplyForArgs(err), s.state
	}
	if r := ehlo.CannotCarry(mail, s.account.Extensions); !r.IsZero() {
		return r, s.state
	}
	if mail.Size > s.maxSize() {
		return codec.ReplyTooBig, s.state
	}
	if r := senders.CheckPath(s.account, mail.Path); !r.IsZero() {
		return s.notListed(r), s.state
	}
	if !s.share.MayBegin(max(mail.Size, 0)) {
		s.srv.metrics.BudgetRefusals.Inc()
		return codec.ReplyNoStorage, s.state
	}
	s.messages++
	up := upstream.GetTransaction()
	up.Account, up.Done, up.SID, up.Loop = s.account, s, s.id, s.loop.Loop
	up.SetMail(mail)
	s.t.up, s.t.ext = up, ehlo.Understood(s.account.Extensions)
	if !mail.SMTPUTF8 { // RFC 6531 section 3.4
		s.t.ext &^= codec.ExtSMTPUTF8
	}
	return codec.ReplySenderOK, stateMail
}

func (s *session) maxSize() int64 {
	if l := s.account.Limits.MaxMessageSize; l > 0 {
		return min(l, s.srv.cfg.MaxMessageSize)
	}
	return s.srv.cfg.MaxMessageSize
}

func (s *session) maxRecipients() int {
	if l := s.account.Limits.MaxRecipients; l > 0 {
		return min(l, s.srv.cfg.MaxRecipients)
	}
	return s.srv.cfg.MaxRecipients
}

// onRCPT answers the first recipient itself, unless the client has pipelined another one.
// All others wait in t.pending for the provider's replies (doc.go, Recipients). Pipelined
// recipients go out together: onCommand calls sendRecipients.
func (s *session) onRCPT(args []byte) (codec.Reply, state) {
	rcpt, err := codec.ParseRcpt(args, s.t.ext)
	t := &s.t
	var r codec.Reply
	var cause error
	counts := true // as an error of the session
	switch {
	case err != nil:
		r, counts, t.malformed = codec.ReplyForArgs(err), !t.malformed, true
	case ehlo.CannotName(rcpt.Path, s.account.Extensions):
		r = codec.ReplyNoUTF8Upstream
	case t.rcpts >= s.maxRecipients():
		r = codec.ReplyTooManyRcpts
	case !t.refusal.IsZero():
		r, counts = t.later, false
		if t.later == t.refusal {
			cause = t.cause
		}
	default:
		return s.addRecipient(rcpt)
	}
	s.loop.pen.Recipient(s.client(), t.up, args, r, cause)
	if counts {
		return r, s.state
	}
	s.pass(r, s.state)
	return codec.NoReply, s.state
}

// addRecipient adds a recipient that the session has nothing against.
func (s *session) addRecipient(rcpt codec.RcptArgs) (codec.Reply, state) {
	t := &s.t
	t.up.AddRcpt(rcpt)
	t.rcpts++
	if t.rcpts == 1 && !s.anotherRecipient() {
		t.up.FirstAnswered, t.up.Rcpts[0].Told = true, true
		t.answered, t.accepted = 1, 1
		return codec.ReplyRecipientOK, stateRcpt
	}
	t.pending++
	return codec.NoReply, stateRcpt
}

// anotherRecipient reports whether the next command is a RCPT that has arrived
// already.
func (s *session) anotherRecipient() bool {
	cmd, _, err := codec.ParseCommand(s.pipelined, s.srv.lineEnd)
	return err == nil && s.joins(cmd)
}

// joins reports whether cmd is one more recipient for t.pending.
func (s *session) joins(cmd codec.Command) bool {
	if cmd.Verb != codec.VerbRCPT || s.t.rcpts >= s.maxRecipients() {
		return false
	}
	rcpt, err := codec.ParseRcpt(cmd.Args, s.t.ext)
	return err == nil && !ehlo.CannotName(rcpt.Path, s.account.Extensions)
}

// sendRecipients hands the pending recipients to the relay.
func (s *session) sendRecipients() {
	t := &s.t
	up := t.up
	var err error
	if t.opened {
		err = s.srv.relay.Continue(up)
	} else {
		err = s.srv.relay.TrySubmit(up)
	}
	if err == nil {
		t.up, t.relayed = nil, up
		s.enter(stateAwaitRcpts)
		return
	}
	r := upstream.ClientReply(err)
	if t.opened || t.accepted == 0 { // the relay has ended it, or never had it
		t.opened = false
		t.refusal, t.later, t.cause = r, r, err
	}
	s.loop.pen.Unsent(s.client(), up, t.pending, r, err)
	up.Rcpts = up.Rcpts[:len(up.Rcpts)-t.pending]
	for ; t.pending > 0; t.pending-- {
		s.pass(r, stateRcpt)
		if s.state != stateRcpt { // the answer ended the session
			s.dropTransaction()
			return
		}
	}
}

// recipientsReplied takes up back from the relay, with a reply for each recipient.
func (s *session) recipientsReplied(up *upstream.Transaction) {
	if s.state != stateAwaitRcpts {
		up.Release() // the client has gone
		return
	}
	t := &s.t
	t.up, t.relayed, t.opened, t.pending = up, nil, true, 0
	if cause := up.Over(); cause != nil {
		t.opened = false
		t.refusal, t.cause = cause.ClientReply(), cause
		t.later = t.refusal
		if up.FirstAnswered {
			t.later = codec.ReplyNextTransaction
		}
	}
	s.enter(stateRcpt)
	s.loop.pen.Replied(s.client(), up, t.answered)
	for ; t.answered < len(up.Rcpts) && s.state == stateRcpt; t.answered++ {
		rcpt := &up.Rcpts[t.answered]
		if rcpt.Told = rcpt.Reply.Positive(); rcpt.Told {
			t.accepted++
		}
		s.pass(rcpt.Reply, stateRcpt)
	}
	if s.state != stateRcpt {
		s.dropTransaction()
	}
	s.resume()
}

// refuse ends a transaction that is refused before its content, because of t.refusal or
// because no recipient was accepted.
func (s *session) refuse() (r codec.Reply, refused bool) {
	switch {
	case !s.t.refusal.IsZero():
		r = s.t.refusal
	case s.t.accepted == 0:
		r = codec.ReplyNoRecipients
	default:
		return r, false
	}
	recipients := s.t.rcpts
	s.loop.pen.Refused(s.client(), s.t.up, r, s.t.cause, "DATA")
	s.dropTransaction()
	s.logOutcome(r, recipients, 0)
	return r, true
}

// onDATA asks for the content, or answers with the refusal that is known already.
func (s *session) onDATA(args []byte) (codec.Reply, state) {
	if len(args) > 0 {
		return codec.ReplyBadArgs, s.state
	}
	if r, refused := s.refuse(); refused {
		s.pass(r, stateReady)
		return codec.NoReply, s.state
	}
	if s.t.up.Mail.Body == codec.BodyBinaryMIME { // RFC 3030 section 3: by BDAT only
		return codec.ReplyBadSequence, s.state
	}
	s.t.content = codec.NewContent(s.share)
	s.data.Normalise = s.srv.cfg.NormaliseNewlines
	s.data.Reset(s.maxSize())
	return codec.ReplyStartData, stateData
}
