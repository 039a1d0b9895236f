package upstream

import (
	"errors"
	"fmt"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/throttle"
)

// attempt is what is known of one try to send a transaction over a connection.
type attempt struct {
	// phase is where it stands, or where it ended.
	phase Phase
	// reply is the answer: the first refusal, or the final reply. Zero: none yet.
	reply codec.Reply
	// err is why there is no answer, or no more use of the connection.
	err error
	// lost: the connection is of no use any more.
	lost bool
	// reset: the transaction may be open still at the upstream, RSET ends it.
	reset bool
	// reused: the connection has carried a message before, or was parked.
	reused bool
	// retire: by the reply, the connection has done its share.
	retire bool
	// own: the reply is not the provider's, see Error.
	own bool
	// left: the end of the content may have left this process.
	left bool
	// told: the session has been given replies of this attempt.
	told bool
	// retried: the transaction has been retried before.
	retried bool
	// noted is the gravest refusal that is of concern to the account and is not
	// the answer: that of one recipient of several.
	noted *Error
	// provider is the account's.
	provider throttle.Provider
	// probe: see Transaction.
	probe bool
	// taken is Transaction.taken, for when the transaction is gone.
	taken int
	// softQuota is Config.QuotaAsTemporary.
	softQuota bool
}

// mayRetry is the only rule by which a transaction is sent again, on a fresh
// connection: once, when the connection was lost, and only if the upstream
// provably has not taken the message and the client knows nothing of this
// attempt. It has not taken the message if the end of the content cannot have
// left; what it replied before then binds nobody.
func (a *attempt) mayRetry() bool {
	if a.retried || a.told || a.left || !a.lost {
		return false
	}
	if a.reply.IsZero() {
		return !errors.Is(a.err, ErrProtocol)
	}
	// A connection that was idle for long may be closed by a 421 that crosses
	// our MAIL: that one speaks of the connection. Other 421s speak of the
	// account or the service: another connection would make them worse.
	return throttle.Closes(&a.reply) && a.judge(a.phase, &a.reply).Connection == throttle.ConnectionRetired
}

// judge tells what a reply at the phase means.
func (a *attempt) judge(p Phase, reply *codec.Reply) throttle.Verdict {
	return throttle.Judge(throttle.Occasion{Provider: a.provider, Phase: p, Carried: a.reused}, reply)
}

// newAttempt begins a try of tx over c.
func (r *Relay) newAttempt(c *conn, tx *Transaction) attempt {
	return attempt{reused: c.reused, retried: tx.retried, taken: tx.taken, provider: throttle.ProviderOf(tx.Account), probe: tx.probe,
		softQuota: r.cfg.QuotaAsTemporary}
}

// retries reports whether tx is sent again, which has a meaning while there is
// time enough and the client has no answer; it is counted then, and the shard's.
func (r *Relay) retries(tx *Transaction, a *attempt, now time.Time) bool {
	if !a.mayRetry() || now.Sub(tx.submitted) >= r.cfg.TransactionTimeout/2 {
		return false
	}
	if !tx.claim.CompareAndSwap(claimCarrier, claimShard) {
		return false
	}
	tx.retried = true
	r.metrics.retries.Inc()
	return true
}

// failed notes that an operation of the phase failed, unless an answer is
// known already.
func (a *attempt) failed(p Phase, err error) {
	a.lost = true
	if a.reply.IsZero() && a.err == nil {
		a.phase, a.err = p, err
	}
}

// refused notes the first refusal, which is the answer.
func (a *attempt) refused(p Phase, reply codec.Reply) {
	if a.reply.IsZero() && a.err == nil {
		a.phase, a.reply = p, reply
	}
	a.reset = true
	if throttle.Closes(&reply) {
		a.lost = true
	}
	if a.judge(p, &reply).Connection == throttle.ConnectionRetired {
		a.retire = true
	}
}

// decline answers a message that the provider cannot take, or the account may
// not send, without asking the provider for it.
func (a *attempt) decline(p Phase, reply codec.Reply) {
	a.phase, a.reply, a.own = p, reply, true
}

// outOfStep reports whether the replies cannot be those to our commands: a
// recipient, or the content, is accepted behind a refusal of what it needs. There
// was a reply too many then, which crossed the first command, and each one since
// belongs to the command before. So nobody knows who has the message, nothing that
// was read may be passed on, and the connection must not be used again, not even for
// RSET: its reply would be a wrong one too.
func (a *attempt) outOfStep(reply *codec.Reply) bool {
	if a.reply.IsZero() || !reply.Positive() {
		return false
	}
	a.err = fmt.Errorf("%w: %q behind the refusal %q", ErrProtocol, cut(reply.String()), cut(a.reply.String()))
	a.reply, a.lost = codec.Reply{}, true
	return true
}

// open reports whether nothing has gone wrong yet.
func (a *attempt) open() bool { return a.reply.IsZero() && a.err == nil }

// failure returns what went wrong, nil if the message was accepted.
func (a *attempt) failure(c *conn) *Error {
	switch {
	case a.err != nil:
		p := a.phase
		if a.left {
			p = PhaseFinal
		}
		return &Error{Phase: p, Err: a.err, upstream: c.peer}
	case !a.reply.Positive():
		e := a.refusal(a.phase, a.reply)
		e.upstream = c.peer
		return e
	}
	return nil
}

// refusal makes an error of a reply.
func (a *attempt) refusal(p Phase, reply codec.Reply) *Error {
	e := &Error{Phase: p, Reply: reply, Err: ErrRefused, provider: a.provider, carried: a.reused, own: a.own}
	e.temporary = a.softQuota && e.verdict().Message == throttle.MessageQuota
	return e
}

// note keeps the refusal of a recipient if it is of concern to the account. It
// returns what the client is told.
func (a *attempt) note(reply codec.Reply) codec.Reply {
	if reply.Code < 400 {
		return reply
	}
	e := a.refusal(PhaseRcpt, reply)
	if e.verdict().Account > throttle.AccountNone {
		a.noted = graver(a.noted, e)
	}
	return clientReply(e)
}

// outcome completes the event that ends a message, while tx is the worker's:
// what came of it for the limits of the account, and what there is to learn.
func (a *attempt) outcome(e *event, tx *Transaction, res *Result) {
	if res.Err == nil || res.Err.MaybeAccepted() {
		e.accepted = 1
		if len(tx.Rcpts) > 1 {
			e.accepted = 0
			for i := range tx.Rcpts {
				if tx.Rcpts[i].Reply.Positive() {
					e.accepted++
				}
			}
		}
	}
	e.taken, e.probe = tx.taken, a.probe
	e.err = graver(a.noted, res.Err)
}

// result returns the end of the transaction.
func (a *attempt) result(c *conn) Result {
	res := Result{Reply: a.reply, Phase: PhaseFinal, Upstream: c.peer}
	if res.Err = a.failure(c); res.Err != nil {
		res.Reply, res.Phase = clientReply(res.Err), res.Err.Phase
	}
	return res
}

// expectReply reads the next reply. One that is not of success is noted as a
// refusal; one that SMTP does not allow there, as a failure. It returns false
// if nothing more can be read.
func (w *worker) expectReply(c *conn, a *attempt, p Phase) (codec.Reply, bool) {
	reply, err := w.in.next(c, p == PhaseFinal)
	return reply, a.heard(p, &reply, err)
}

// heard takes note of the reply of a phase, or of why there is none; false if
// nothing more can be read.
func (a *attempt) heard(p Phase, reply *codec.Reply, err error) bool {
	if err != nil {
		a.failed(p, err)
		return false
	}
	want := 2
	if p == PhaseData {
		want = 3
	}
	switch {
	case p == PhaseRcpt && a.outOfStep(reply):
	case reply.Code >= 400:
		a.refused(p, *reply)
	case reply.Code/100 != want:
		a.failed(p, fmt.Errorf("%w: %s answered by %q", ErrProtocol, p, cut(reply.String())))
	}
	return !a.lost
}
