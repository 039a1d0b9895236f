package ledger

import (
	"context"

	"xoauth2-proxy/internal/share"
)

// Renew executes reports, each for itself.
func (l *Ledger) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	now, err := l.begin(ctx)
	if err != nil {
		return share.Answer{}, err
	}
	defer l.mu.Unlock()
	a := share.Answer{Epoch: l.epoch, Grants: make([]share.Grant, len(reports))}
	for i := range reports {
		a.Grants[i] = l.report(now, n, &reports[i])
	}
	return a, nil
}

// begin begins a call: on success the lock is held.
func (l *Ledger) begin(ctx context.Context) (now int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return 0, ErrClosed
	}
	return l.now().UnixMilli(), nil
}

// report executes one report.
func (l *Ledger) report(now int64, n share.Node, r *share.Report) share.Grant {
	g := share.Grant{Key: r.Key, Seq: r.Seq}
	e := l.entry(r.Key, now)
	mine, isNew := e.row(n)
	if !isNew && r.Seq <= mine.seq {
		g.Stale = true
		return g
	}
	mine.seq = r.Seq
	g.Slots = l.slots(e, mine, now, r)
	for k := range share.NumKinds {
		g.Permits[k] = l.permits(e, mine, now, k, n.Name, r)
	}
	for _, o := range e.rows {
		if o.live(now) {
			g.Nodes++
		}
	}
	return g
}
