package carry

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/smtpclient"
)

var replyLaterRcpt = codec.Reply{Code: 452, Enhanced: codec.EnhancedCode{4, 5, 3}, Text: "Send this recipient in another transaction", Hint: hint.NextTransaction}

// Finish gives a transaction with its result back to the session, counts and
// logs it. A transaction that could not be opened has no content yet: all
// recipients without a reply get the refusal, or, where the client was told 250 for the first
// one, that one gets it with the content and the others are to be sent again.
// If the session has its answer already, because the shard was stuck, it is told
// nothing. The caller is on the loop on, or on none if that is nil.
func (r *Relay) Finish(tx *Transaction, res Result, now time.Time, on *loop.Loop) {
	if tx.Passage.Done.IsZero() { // else EndWait may be reading it
		tx.Passage.Done = now
	}
	r.leave(tx, &res)
	if tx.claim.Swap(claimOver) == claimGone {
		r.late(tx, res)
		return
	}
	r.ByAccount.message(tx, r.Metrics.message(tx.Account.Provider, res, r.cfg.DryRun), now)
	sid, id, level := tx.SID, tx.Account.ID, zap.DebugLevel
	if tx.Content != nil {
		r.Metrics.answered(tx.Account.Provider, now.Sub(tx.Place.Submitted))
		tx.Result = res
		tx.Done.Complete(tx, on)
	} else {
		for i := range tx.Rcpts {
			switch rcpt := &tx.Rcpts[i]; {
			case tx.told && !rcpt.Reply.IsZero():
			case i > 0 && tx.FirstAnswered && !tx.told:
				rcpt.Reply = replyLaterRcpt
				rcpt.Refusal = smtpclient.Refusal{Phase: res.Phase, Own: true, Class: "first_refused"}
			default:
				rcpt.Reply, rcpt.Refusal = res.Reply, res.refusal()
			}
		}
		tx.over, tx.held = res.Err, nil
		level = zap.InfoLevel
		tx.Done.RecipientsReplied(tx, on)
	}
	r.logResult(level, sid, id, res)
}

// logResult writes a line about a message. At level Info it is about recipients that failed
// together: the session logs the replies to messages, see Result.Why.
func (r *Relay) logResult(level zapcore.Level, sid uint64, id string, res Result) {
	line := r.log.Check(level, "message")
	if line == nil {
		return
	}
	fields := []zap.Field{zap.Uint64("sid", sid), zap.String("account", id), zap.Int("code", res.Reply.Code)}
	if res.Err == nil {
		fields = append(fields, zap.String("upstream", res.Upstream), zap.Stringer("phase", res.Phase))
	}
	line.Write(append(append(fields, res.Why()...), res.Reply.Hint.Fields()...)...)
}

// Why returns the fields of the log that say why a message was not accepted, none if it was.
func (res *Result) Why() []zap.Field {
	if res.Err == nil {
		return nil
	}
	return []zap.Field{zap.String("upstream", res.Upstream), zap.Stringer("phase", res.Phase),
		zap.String("error", smtpclient.Cut(res.Err.Error())), zap.Bool("maybe_accepted", res.Err.MaybeAccepted())}
}

// undeclared counts a message whose octets above 127 nothing declares (RFC 6152 section 3),
// and warns of the first one at an endpoint.
func (r *Relay) undeclared(tx *Transaction, peer string) {
	r.Metrics.undeclared.Inc()
	if _, known := r.undeclaredAt.LoadOrStore(peer, true); known {
		return
	}
	r.log.Warn("8-bit content goes to a provider without 8BITMIME, undeclared by the client", zap.Uint64("sid", tx.SID),
		zap.String("account", tx.Account.ID), zap.String("upstream", peer))
}
