package smtpclient

import (
	"fmt"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Recipient is one forward-path of a transaction.
type Recipient struct {
	Args codec.RcptArgs
	// Reply is the provider's answer to this RCPT, or ours in its place; zero until it is
	// known. Refusal says more of one that refuses.
	Reply codec.Reply
	Refusal
	// Told: the client was told 250. It is the session's.
	Told bool
}

// Refusal is where a recipient was refused, and by whom.
type Refusal struct {
	Phase throttle.Phase
	Own   bool   // by us
	Class string // one short word
}

// Exchange is one try to send a transaction over a connection, and what came of it.
// A whole message for one recipient has its content from the beginning; else recipients
// and content are added when Owner.Answered is called.
type Exchange struct {
	Mail *codec.MailArgs
	// Rcpts are the recipients, which get their replies here. A recipient that has one
	// already is not sent, unless Repeat is set and it was accepted.
	Rcpts []Recipient
	// To is how many of Rcpts are sent: those after them have replies of ours.
	To int
	// Content is the message; nil: not there yet. Its memory is given back when its end
	// has left, unless Keep is set.
	Content *codec.Content
	// Keep: the message may have to be sent again after its end has left.
	Keep bool
	// MaxSize is the most octets of content that the account may send; 0: any number.
	MaxSize int64
	// Promised: the client was told 250 for the first recipient, so its refusal is that
	// of the transaction.
	Promised bool
	// Repeat: the sender, and all recipients that were accepted before, have to be accepted
	// again.
	Repeat bool
	// Until is when the provider must have answered the content.
	Until time.Time

	needs codec.Extensions // see Needs

	// Undeclared: the content has octets above 127, which neither the client declared nor
	// the provider takes by declaration.
	Undeclared bool
	// Phase is where the exchange ended.
	Phase throttle.Phase
	// Reply is the answer: the first refusal, or the final reply. Zero: there is none.
	Reply codec.Reply
	// Err is why there is no answer, or no more use of the connection.
	Err error
	// Own: Reply is not the provider's.
	Own bool
	// Revoked is the provider's refusal, at Phase, of the sender or of a recipient that it
	// accepted before, zero if there is none. Reply quotes it.
	Revoked codec.Reply
	// Lost: the connection is of no use any more.
	Lost bool
	// Reset: the provider may still have the transaction open, RSET ends it.
	Reset bool
	// Left: the end of the content may have left this process. LeftAt is when its last
	// octet had; zero: it has not.
	Left   bool
	LeftAt time.Time
	// BDAT: content has gone by BDAT.
	BDAT bool
	// Silence is for how long the provider has not answered the content, which had left and
	// was all that it had to answer, after it had accepted what came before. It is set when
	// that was for too long.
	Silence time.Duration
	// NoBDAT: the provider has refused BDAT, whatever the content is.
	NoBDAT bool
}

// open reports whether nothing has gone wrong yet.
func (x *Exchange) open() bool { return x.Reply.IsZero() && x.Err == nil }

// whole reports whether the exchange is a message for one recipient, of which nothing
// is known yet.
func (x *Exchange) whole() bool { return x.Content != nil && len(x.Rcpts) == 1 && !x.Repeat }

// Fail notes that an operation of the phase failed, unless an answer is known already.
func (x *Exchange) Fail(p throttle.Phase, err error) {
	x.Lost = true
	if x.open() {
		x.Phase, x.Err = p, err
	}
}

// refused notes the first refusal, which is the answer.
func (x *Exchange) refused(p throttle.Phase, reply codec.Reply) {
	if x.open() {
		x.Phase, x.Reply = p, reply
	}
	x.Reset = true
	if throttle.Closes(&reply) {
		x.Lost = true
	}
}

// Decline answers a message that the provider cannot take, or the account may not
// send, without asking the provider for it.
func (x *Exchange) Decline(p throttle.Phase, reply codec.Reply) {
	x.Phase, x.Reply, x.Own = p, reply, true
}

// revoke notes that the sender or a recipient is refused that was accepted before.
func (x *Exchange) revoke(p throttle.Phase, reply codec.Reply) {
	if x.open() {
		what := "a recipient"
		if p == throttle.PhaseMail {
			what = "the sender"
		}
		x.Phase, x.Revoked, x.Own = p, reply, true
		x.Reply = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 3, 0}, Hint: hint.EnvelopeRefusedNow,
			Text: "Not sent: the provider refuses " + what + " that it accepted before: " + Cut(reply.String())}
	}
	x.Reset = true
	x.Lost = x.Lost || throttle.Closes(&reply)
}

// Untaken reports whether the provider cannot have taken the message: the end of the
// content has not left, or the provider has refused the content or what it needs. It has
// not refused content that it may have read as commands (withoutBDAT). After a refusal that content has crossed, every later reply was a refusal too, or the connection
// has ended without one: missing and outOfStep take the answer away in all other cases.
func (x *Exchange) Untaken() bool {
	return !x.Left || x.Err == nil && !x.Own && x.Reply.Code >= 400
}

// anyRecipient reports whether the provider has accepted a recipient. Of a whole message
// there is only one, whose refusal is the answer.
func (x *Exchange) anyRecipient() bool {
	for i := range x.Rcpts[:x.To] {
		if x.Rcpts[i].Reply.Positive() {
			return true
		}
	}
	return x.whole()
}

// missing notes that replies are missing, though the content was on its way and the
// provider has not ended the connection. After a refusal the provider may then have said
// something else than it was asked for.
func (x *Exchange) missing(err error) {
	if x.Left && !x.Reply.IsZero() {
		x.Err = fmt.Errorf("%w: no reply after the refusal %q: %w", ErrProtocol, Cut(x.Reply.String()), err)
		x.Reply, x.Lost = codec.Reply{}, true
	}
}

// outOfStep reports whether the replies cannot be those to our commands: a recipient,
// or the content, is accepted after a refusal of what it needs. There was a reply too
// many then, which crossed the first command, and each one since belongs to the command
// before. So it is unknown who has the message, nothing that was read may be passed on,
// and the connection must not be used again, not even for RSET: its reply would be a
// wrong one too.
func (x *Exchange) outOfStep(reply *codec.Reply) bool {
	if x.Reply.IsZero() || !reply.Positive() {
		return false
	}
	x.contradict(reply)
	return true
}

// contradict takes the answer away, which the reply contradicts.
func (x *Exchange) contradict(reply *codec.Reply) {
	x.Err = fmt.Errorf("%w: %q after the refusal %q", ErrProtocol, Cut(reply.String()), Cut(x.Reply.String()))
	x.Reply, x.Lost = codec.Reply{}, true
}

// heard takes note of the reply to MAIL, DATA or the content, or to the recipient of a
// whole message.
func (x *Exchange) heard(p throttle.Phase, reply *codec.Reply) {
	want := 2
	if p == throttle.PhaseData {
		want = 3
	}
	switch {
	case p == throttle.PhaseRcpt && x.outOfStep(reply):
	case p == throttle.PhaseMail && x.Repeat && reply.Code >= 400:
		x.revoke(p, *reply)
	case reply.Code >= 400:
		x.refused(p, *reply)
	case reply.Code/100 != want:
		x.Fail(p, protocolError(p, reply))
	}
}

// recipient takes note of the reply to recipient i of several. Its refusal is its own
// affair, but for the first one that the client was promised, for one that was accepted
// before, and for 421, which ends the transaction.
func (x *Exchange) recipient(i int, reply codec.Reply) {
	r := &x.Rcpts[i]
	again := x.Repeat && r.Reply.Positive()
	switch {
	case x.Phase == throttle.PhaseMail && x.outOfStep(&reply):
		return
	case reply.Code >= 300 && reply.Code < 400:
		x.Fail(throttle.PhaseRcpt, protocolError(throttle.PhaseRcpt, &reply))
		return
	case again && reply.Code >= 400:
		x.revoke(throttle.PhaseRcpt, reply)
		return
	case throttle.Closes(&reply), i == 0 && x.Promised && reply.Code >= 400:
		x.refused(throttle.PhaseRcpt, reply)
		if x.Lost {
			return
		}
	}
	if !again {
		r.Reply = reply
	}
}

// final notes the reply to the content, unless something was refused before: that
// refusal is the answer. Should the content be taken all the same, the replies do not
// fit the commands, and it is unknown who has the message.
func (x *Exchange) final(reply codec.Reply) {
	x.heard(throttle.PhaseFinal, &reply)
	switch {
	case x.outOfStep(&reply):
		x.Phase = throttle.PhaseFinal
	case x.open():
		x.Phase, x.Reply = throttle.PhaseFinal, reply
	}
}
