package carry

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/smtpclient"
)

var replyLaterRcpt = codec.Reply{Code: 452, Enhanced: codec.EnhancedCode{4, 5, 3}, Text: "Send this recipient in another transaction"}

// Finish gives a transaction with its result back to the session, counts and
// logs it. A transaction that could not be opened has no content yet: all
// recipients without a reply get the refusal, or, where the client was told 250 for the first
// one, that one gets it with the content and the others are to be sent again.
// If the session has its answer already, because the shard was stuck, it is told
// nothing. The caller is on the loop on, or on none if that is nil.
func (r *Relay) Finish(tx *Transaction, res Result, now time.Time, on *loop.Loop) {
	if tx.claim.Swap(claimOver) == claimGone {
		r.late(tx, res)
		return
	}
	r.Metrics.message(tx.Account.Provider, res, r.cfg.DryRun)
	sid, id := tx.SID, tx.Account.ID
	if tx.Content != nil {
		r.Metrics.duration.Update(now.Sub(tx.Place.Submitted).Seconds())
		tx.Result = res
		tx.Done.Complete(tx, on)
	} else {
		for i := range tx.Rcpts {
			switch reply := &tx.Rcpts[i].Reply; {
			case tx.told && !reply.IsZero():
			case i > 0 && tx.FirstAnswered && !tx.told:
				*reply = replyLaterRcpt
			default:
				*reply = res.Reply
			}
		}
		tx.over, tx.held = res.Err, nil
		tx.Done.RecipientsReplied(tx, on)
	}
	r.logResult(sid, id, res)
}

// logResult writes the one line of a message: what failed at level Info, the
// rest at Debug.
func (r *Relay) logResult(sid uint64, id string, res Result) {
	level := zapcore.DebugLevel
	if res.Err != nil {
		level = zapcore.InfoLevel
	}
	line := r.log.Check(level, "message")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.Uint64("sid", sid), zap.String("account", id), zap.String("upstream", res.Upstream),
		zap.Int("code", res.Reply.Code), zap.Stringer("phase", res.Phase),
	}
	if res.Err != nil {
		fields = append(fields, zap.String("error", smtpclient.Cut(res.Err.Error())), zap.Bool("maybe_accepted", res.Err.MaybeAccepted()))
	}
	line.Write(fields...)
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
