package carry

import (
	"os"
	"time"

	"go.uber.org/zap"

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

// know keeps the answer to tx, in case that telling the shard takes for ever. If the
// client has another one, it is not kept.
func (tx *Transaction) know(res Result) {
	tx.known = res
	if !tx.claim.CompareAndSwap(claimCarrier, claimKnown) {
		tx.known = Result{}
	}
}

// EndWait ends the wait for the answer to tx if its shard is stuck. It is for the
// session, between TrySubmit or Continue and the answer. On true, the session must forget
// tx without Release: of Done only Late may be called for it. It gets a Copy in its place,
// which has the answer as Result, and of Passage what is known.
//
// A message that waits in the shard is refused at once, and never sent. One that is
// being sent needs no shard for its answer, and has until its own deadline to get
// it; then it may have been taken.
func (tx *Transaction) EndWait(now time.Time) (ended *Transaction, ok bool) {
	r := tx.relay
	if !tx.home().Stuck() {
		return nil, false
	}
	var res Result
	var passage Passage
	claim, peer := tx.claim.Load(), tx.as.SMTP.String()
	switch {
	case claim == claimShard:
		res = Failed(&failure.Error{Phase: throttle.PhaseQueue, Err: failure.ErrStuck}, peer)
	case claim == claimCarrier && tx.Content != nil && now.After(tx.deadline):
		res = Failed(&failure.Error{Phase: throttle.PhaseFinal, Err: os.ErrDeadlineExceeded, Upstream: peer}, peer)
	case claim == claimKnown:
		res, passage = tx.known, tx.Passage
	default:
		return nil, false
	}
	ended = tx.Copy()
	if !tx.claim.CompareAndSwap(claim, claimGone) {
		ended.Release()
		return nil, false
	}
	ended.Result, ended.Passage = res, passage
	r.Metrics.message(ended.Account.Provider, res, r.cfg.DryRun)
	r.logResult(zap.InfoLevel, ended.SID, ended.Account.ID, res)
	return ended, true
}

// late releases a transaction whose session has been answered by EndWait.
func (r *Relay) late(tx *Transaction, res Result) {
	if tx.Content != nil && tx.known.Reply.IsZero() && res.ByProvider() {
		tx.Result = res
		tx.Done.Late(tx)
	}
	r.log.Info("a message ended after its client had been answered, since its shard was stuck", zap.Uint64("sid", tx.SID),
		zap.String("account", tx.Account.ID), zap.Int("code", res.Reply.Code), zap.Stringer("phase", res.Phase))
	tx.release()
}
