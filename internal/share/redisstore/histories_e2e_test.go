//go:build e2e

package redisstore

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
	"xoauth2-proxy/internal/share/sharetest"
)

// twin is a ledger whose reports a server must answer as it does.
type twin struct {
	*pair
	*ledger.Ledger
	clock   *sharetest.Clock
	reports int
}

func (w *twin) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	w.t.Helper()
	w.reports += len(reports)
	w.pass(w.clock.Now().Sub(w.now))
	w.told = nil
	want, err := w.Ledger.Renew(ctx, n, reports)
	got, gotErr := w.store.Renew(ctx, n, reports)
	if err != nil || gotErr != nil || !reflect.DeepEqual(got.Grants, want.Grants) {
		w.t.Fatalf("at %d of %+v:\nledger %+v, %v\nserver %+v, %v", w.now.UnixMilli(), reports, want, err, got, gotErr)
	}
	w.hear("a report")
	return want, nil
}

// Restart begins another epoch in both.
func (w *twin) Restart(epoch string, keep bool) {
	w.t.Helper()
	w.pass(w.clock.Now().Sub(w.now))
	w.restart(epoch, keep)
}

// Nodes that lose, delay and repeat calls, die and freeze, over a server that restarts: the
// limits hold, and each answer is that of the ledger.
func TestHistoriesOfNodes(t *testing.T) {
	for i, h := range []sharetest.History{
		{Nodes: 2, Limit: 1, Permits: 0},
		{Nodes: 5, Limit: 3, Permits: 12},
		{Nodes: 4, Limit: 2, Permits: 600},
		{Nodes: 3, Limit: 10, Permits: 12},
	} {
		h.Seed, h.Steps, h.BusyFor = uint64(100+i), 4000, time.Minute
		t.Run(fmt.Sprint(h), func(t *testing.T) {
			clock := sharetest.NewClock()
			p := newPairAt(t, clock.Now(), h.BusyFor)
			w := &twin{pair: p, Ledger: p.ledger, clock: clock}
			r, err := h.Run(clock, w)
			if err != nil {
				t.Error(err)
			}
			w.quiet()
			t.Logf("%d reports: %+v", w.reports, r)
			if w.reports == 0 || r.MostOpen < h.Limit {
				t.Errorf("the history does not reach the limits: %+v", r)
			}
		})
	}
}
