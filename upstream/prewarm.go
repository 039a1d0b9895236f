package upstream

import (
	"context"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
)

// Prewarm opens Config.PrewarmConnections connections of each account ahead of
// mail, at Config.PrewarmRate over all accounts and within the limits of each;
// those that are open count. The loops serve them in turn. Catch-all accounts have no
// mailbox to log in to. It returns at once; a run that is not done is replaced.
// Connections that no mail comes for are closed after their idle timeout as all others.
func (r *Relay) Prewarm(s *account.Snapshot, on []*loop.Loop) {
	if r.cfg.PrewarmConnections == 0 || len(on) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.warmer.Replace(cancel, func() { r.prewarm(ctx, s.All(), on) })
}

// prewarm asks for the first connection of each account, then for the second
// ones.
func (r *Relay) prewarm(ctx context.Context, accounts []*account.Account, on []*loop.Loop) {
	pace := time.NewTicker(time.Second / time.Duration(r.cfg.PrewarmRate))
	defer pace.Stop()
	for n := 1; n <= r.cfg.PrewarmConnections; n++ {
		for i, a := range accounts {
			if a.IsCatchAll() {
				continue
			}
			select {
			case <-pace.C:
			case <-ctx.Done():
				return
			}
			s := r.shardOf(a)
			s.do(func(now time.Time) { s.warm(a, n, on[(i+n)%len(on)], now) })
		}
	}
}

// warm opens the n-th connection of an account, if nothing is against it: mail
// that waits goes first.
func (s *shard) warm(a *account.Account, n int, on *loop.Loop, now time.Time) {
	if s.closing {
		return
	}
	st := s.state(a)
	if st.lease != nil && !st.room(now) && st.open() < n { // onLease comes back
		st.warming = warming{n, on}
		s.expect(st, now)
	}
	if st.gone || st.open() >= n || st.waiting.Len()+st.fresh.Len() > 0 || !st.room(now) || !st.mayLogin(now) ||
		st.throttle.Suspended(now) != nil || !st.backoff.Allows(now, st.count[connDialing]) || s.relay.gate.Contended() || !s.slot() {
		return
	}
	// It takes no turn, which mail would have to wait for: Config.PrewarmRate is
	// what spreads these logins.
	if s.open(&dialing{relay: s.relay, shard: s, st: st, account: a, loop: on}) {
		s.relay.metrics.Prewarmed.Inc()
	} else {
		s.relay.gate.Release()
	}
}
