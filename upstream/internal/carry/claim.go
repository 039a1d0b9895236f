package carry

import (
	"os"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// A shard may not come back from what it is at (watchdog). The sessions that wait
// for it then answer their clients themselves, by EndWait. Transaction.claim sees to
// it that a client gets one answer, and that nothing leaves of a message after its
// client was told that nothing has. Whoever changes it, by compare-and-swap or swap,
// decides:
//
//	claimShard -> claimCarrier  a connection, before it sends anything
//	claimCarrier -> claimShard  the same, to have it sent again: nothing was taken
//	claimCarrier -> claimKnown  the same, with an answer that the shard is to hear of first
//	any -> claimOver            Relay.Finish: the session gets tx back with the answer
//	any but claimOver -> claimGone  the session, by EndWait
//
// The memory of a transaction that is claimGone stays the relay's: who holds it
// releases it when it meets that in place of sending or finishing it.
const (
	claimShard uint32 = iota
	claimCarrier
	claimKnown
	claimOver
	claimGone
)

// know keeps the answer to tx, in case that telling the shard takes for ever.
func (tx *Transaction) know(res Result) {
	tx.known = res
	tx.claim.CompareAndSwap(claimCarrier, claimKnown)
}

// EndWait ends the wait for the answer to tx if its shard is stuck. It is for the
// session, between TrySubmit or Continue and the answer. On true, reply is the
// answer, and the session must forget tx without Release: no method of Done is
// called for it any more.
//
// A message that waits in the shard is refused at once, and never sent. One that is
// being sent needs no shard for its answer, and has until its own deadline to get
// it; then it may have been taken.
func (tx *Transaction) EndWait(now time.Time) (reply codec.Reply, ok bool) {
	r := tx.relay
	if !tx.home().Stuck() {
		return codec.Reply{}, false
	}
	var res Result
	claim, peer := tx.claim.Load(), tx.as.SMTP.String()
	switch {
	case claim == claimShard:
		res = Failed(&failure.Error{Phase: throttle.PhaseQueue, Err: failure.ErrStuck}, peer)
	case claim == claimCarrier && tx.Content != nil && now.After(tx.deadline):
		res = Failed(&failure.Error{Phase: throttle.PhaseFinal, Err: os.ErrDeadlineExceeded, Upstream: peer}, peer)
	case claim == claimKnown:
		res = tx.known
	default:
		return codec.Reply{}, false
	}
	sid, id, provider := tx.SID, tx.as.ID, tx.as.Provider
	if !tx.claim.CompareAndSwap(claim, claimGone) {
		return codec.Reply{}, false
	}
	r.Metrics.message(provider, res, r.cfg.DryRun)
	r.logResult(zap.InfoLevel, sid, id, res)
	return res.Reply, true
}

// late releases a transaction whose session has been answered by EndWait.
func (r *Relay) late(tx *Transaction, res Result) {
	r.log.Info("a message ended after its client had been answered, since its shard was stuck", zap.Uint64("sid", tx.SID),
		zap.String("account", tx.Account.ID), zap.Int("code", res.Reply.Code), zap.Stringer("phase", res.Phase))
	tx.release()
}
