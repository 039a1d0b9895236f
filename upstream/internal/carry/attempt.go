package carry

import (
	"errors"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// attempt is what is known of one try to send a transaction over a connection, beside
// its exchange.
type attempt struct {
	began time.Time
	// reused: the connection has carried a message before, or was parked.
	reused bool
	// carried is how many messages that was.
	carried int
	// told: the session has been given replies of this attempt.
	told bool
	// retried: the transaction has been retried before.
	retried bool
	// noted is the gravest refusal that is of concern to the account and is not
	// the answer: the refusal of one recipient of several.
	noted *failure.Error
	// refused is how many recipients the provider has refused; counting says that it counts
	// them (account.Limits.CountRefused).
	refused  int
	counting bool
	// provider is the account's.
	provider throttle.Provider
	// probe is Place.Probe of the transaction.
	probe bool
	// taken is Place.Taken of the transaction, for when that is gone.
	taken int
	// softQuota is Config.QuotaAsTemporary.
	softQuota bool
}

// newAttempt begins a try of tx over c.
func (r *Relay) newAttempt(c *Conn, tx *Transaction, now time.Time) attempt {
	return attempt{began: now, reused: c.Reused, carried: c.Messages - 1, retried: tx.retried, taken: tx.Place.Taken, provider: throttle.ProviderOf(tx.Account), probe: tx.Place.Probe,
		counting: tx.Account.Limits.CountRefused && !r.cfg.DryRun, softQuota: r.cfg.QuotaAsTemporary}
}

// mayRetry is the only rule by which a transaction is sent again, on a fresh connection.
// The provider must provably not have taken the message, and another connection must help:
// the provider refuses BDAT itself, so the content goes by DATA; or, once, this connection
// has done its share, or was lost. Recipients that the client was told about are repeated,
// and all have to be accepted again.
func (a *attempt) mayRetry(x *smtpclient.Exchange) bool {
	switch {
	case !x.Untaken(), x.Left && !x.Keep: // without its content it cannot be
		return false
	case refusesBDAT(x):
		return true
	case a.retried:
		return false
	case x.Reply.IsZero():
		return x.Lost && !errors.Is(x.Err, failure.ErrProtocol)
	}
	return a.retires(x)
}

// mayRepeat reports whether the content may have to be sent again after its end has left.
func (a *attempt) mayRepeat(offer smtpclient.Offer) bool {
	return a.reused && !a.retried || offer.Has(codec.ExtCHUNKING)
}

// refusesBDAT reports whether the answer is the refusal of BDAT itself.
func refusesBDAT(x *smtpclient.Exchange) bool {
	return x.NoBDAT && x.Phase == throttle.PhaseFinal && x.Err == nil && !x.Own
}

// retries reports whether tx is sent again, which has a meaning while there is
// time enough and the client has no answer; it is counted then, and the shard's.
func (r *Relay) retries(tx *Transaction, a *attempt, x *smtpclient.Exchange, now time.Time) bool {
	if !a.mayRetry(x) || now.Sub(tx.Place.Submitted) >= r.cfg.TransactionTimeout/2 {
		return false
	}
	if !tx.claim.CompareAndSwap(claimCarrier, claimShard) {
		return false
	}
	tx.retried = true
	if a.retires(x) {
		tx.wornAt = a.carried
	}
	r.Metrics.retries.Inc()
	return true
}

// judge tells what a reply at the phase means.
func (a *attempt) judge(p throttle.Phase, reply *codec.Reply) throttle.Verdict {
	return throttle.Judge(throttle.Occasion{Provider: a.provider, Phase: p, Carried: a.reused}, reply)
}

// retires reports whether the connection has done its share, by the provider's answer.
func (a *attempt) retires(x *smtpclient.Exchange) bool {
	reply := &x.Reply
	if !x.Revoked.IsZero() {
		reply = &x.Revoked
	} else if x.Own {
		return false
	}
	return reply.Code >= 400 && a.judge(x.Phase, reply).Connection == throttle.ConnectionRetired
}

// inStep reports whether the next reply will be that to the next command, as far as
// one can see. Where one command is sent at a time, nothing shows whether a refusal
// of MAIL was that, or something unasked that crossed it.
func (a *attempt) inStep(x *smtpclient.Exchange, offer smtpclient.Offer) bool {
	return x.Phase != throttle.PhaseMail || !a.reused || offer.Has(codec.ExtPIPELINING)
}

// failure returns what went wrong at the peer, nil if the message was accepted.
func (a *attempt) failure(x *smtpclient.Exchange, peer string) *failure.Error {
	switch {
	case x.Err != nil:
		p := x.Phase
		if x.Left {
			p = throttle.PhaseFinal
		}
		return &failure.Error{Phase: p, Err: x.Err, Upstream: peer}
	case !x.Reply.Positive():
		e := a.refusal(x.Phase, x.Reply)
		e.Own = x.Own
		e.Temporary = e.Temporary && !x.Own
		e.Upstream = peer
		return e
	}
	return nil
}

// refusal makes an error of the provider's reply.
func (a *attempt) refusal(p throttle.Phase, reply codec.Reply) *failure.Error {
	e := &failure.Error{Phase: p, Reply: reply, Err: failure.ErrRefused, Provider: a.provider, Carried: a.reused}
	e.Temporary = a.softQuota && e.Verdict().Message == throttle.MessageQuota
	return e
}

// note keeps a refusal that is not the answer if it is of concern to the account. It
// returns what the client is told, and the class of the refusal.
func (a *attempt) note(p throttle.Phase, reply codec.Reply) (codec.Reply, string) {
	if p == throttle.PhaseRcpt {
		a.refused++
	}
	e := a.refusal(p, reply)
	v := e.Verdict()
	if v.Account > throttle.AccountNone {
		a.noted = failure.Graver(a.noted, e)
	}
	return e.ClientReply(), v.Class()
}

// outcome completes the event that ends a message, while tx is the relay's:
// what came of it for the limits of the account, and what there is to learn.
func (a *attempt) outcome(e *Event, x *smtpclient.Exchange, tx *Transaction, res *Result, dryRun bool) {
	if !dryRun && tx.Content != nil && (res.Err == nil || res.Err.MaybeAccepted()) {
		e.Accepted = 1
		if len(tx.Rcpts) > 1 {
			e.Accepted = 0
			for i := range tx.Rcpts {
				if tx.Rcpts[i].Reply.Positive() {
					e.Accepted++
				}
			}
		}
	}
	if !x.Revoked.IsZero() {
		a.note(x.Phase, x.Revoked)
	}
	if x.Phase >= throttle.PhaseRcpt && x.Reply.Code >= 400 && x.Err == nil && !x.Own {
		a.refusedWhole(tx, x.Phase)
	}
	e.Taken, e.Counted, e.Probe = tx.Place.Taken, a.counted(e.Accepted), a.probe
	e.Err = failure.Graver(a.noted, res.Err)
}

// refusedWhole counts the recipients of a message that the provider has refused as a whole.
// The refusal of one recipient of several is noted already.
func (a *attempt) refusedWhole(tx *Transaction, p throttle.Phase) {
	if len(tx.Rcpts) == 1 && tx.Content != nil {
		a.refused = 1
		return
	}
	for i := range tx.Rcpts {
		if p > throttle.PhaseRcpt && tx.Rcpts[i].Reply.Positive() {
			a.refused++
		}
	}
}

// counted is how many recipients the provider counts: those that it accepted and, if it
// counts them, those that it refused.
func (a *attempt) counted(accepted int) int {
	if a.counting {
		accepted += a.refused
	}
	return accepted
}

// result returns the end of the transaction at the peer. A refusal of BDAT itself says
// nothing about the message.
func (a *attempt) result(x *smtpclient.Exchange, peer string) Result {
	if refusesBDAT(x) {
		x.Decline(throttle.PhaseFinal, codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 3, 0}, Hint: hint.BDATRefused,
			Text: "Not sent: the provider refuses BDAT, which it offers: " + smtpclient.Cut(x.Reply.String())})
	}
	if err := a.failure(x, peer); err != nil {
		return Failed(err, peer)
	}
	return Result{Reply: x.Reply, Phase: throttle.PhaseFinal, Upstream: peer, Own: x.Own}
}
