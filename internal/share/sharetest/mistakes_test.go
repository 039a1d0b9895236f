package sharetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
	"xoauth2-proxy/internal/share/sharetest"
)

// wrong is a ledger that makes a mistake.
type wrong struct {
	*ledger.Ledger
	clock  *sharetest.Clock
	limit  int
	before func(w *wrong, n share.Node, r *share.Report)
	after  func(w *wrong, g *share.Grant)
	nodes  map[share.Node]time.Time // when each reported last
	calls  uint64
	seq    uint64 // of the report that is executed
}

func (w *wrong) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	w.nodes[n] = w.clock.Now()
	w.calls++
	for i := range reports {
		if w.before != nil {
			w.before(w, n, &reports[i])
		}
	}
	a, err := w.Ledger.Renew(ctx, n, reports)
	for i := range a.Grants {
		if w.after != nil {
			w.after(w, &a.Grants[i])
		}
	}
	return a, err
}

// Each mistake of a node or a store fails some history, of those that hold without it.
func TestMistakesAreFound(t *testing.T) {
	tests := []struct {
		name  string
		want  error
		skip  int // histories that do not show it
		nodes sharetest.Mistakes
		// The store's.
		before func(w *wrong, n share.Node, r *share.Report)
		after  func(w *wrong, g *share.Grant)
	}{
		{name: "answers to earlier reports are obeyed", want: sharetest.ErrTooManyOpen, skip: 90, nodes: sharetest.Mistakes{ObeyLate: true}},
		{name: "connections are opened between a report and its answer", want: sharetest.ErrTooManyOpen, skip: 80, nodes: sharetest.Mistakes{OpenWhileAsking: true}},
		{name: "leases do not end", want: sharetest.ErrTooManyOpen, nodes: sharetest.Mistakes{ForgetTTL: true}},
		{name: "the grant counts, not what is open", want: sharetest.ErrTooManyOpen, before: func(_ *wrong, _ share.Node, r *share.Report) {
			r.Slots.Have = 0
		}},
		{name: "what is open counts, not the grant", want: sharetest.ErrTooManyOpen, after: func(w *wrong, g *share.Grant) {
			g.Slots = min(g.Slots+1, w.limit)
		}},
		{name: "busy connections of silent nodes do not count", want: sharetest.ErrTooManyOpen, before: func(_ *wrong, _ share.Node, r *share.Report) {
			r.Slots.Busy = 0
		}},
		{name: "late reports are executed", want: sharetest.ErrTooManyOpen, before: func(w *wrong, _ share.Node, r *share.Report) {
			w.seq, r.Seq = r.Seq, w.calls
		}, after: func(w *wrong, g *share.Grant) { g.Seq = w.seq }},
		{name: "an equal part for each, and the rest for none", want: sharetest.ErrIdle, after: func(w *wrong, g *share.Grant) {
			live := 0
			for _, at := range w.nodes {
				if w.clock.Now().Sub(at) < share.TTL {
					live++
				}
			}
			if live <= w.limit {
				g.Slots = min(g.Slots, w.limit/live)
			}
		}},
		{name: "permits that were used do not count", want: sharetest.ErrTooManyCounted, before: func(_ *wrong, _ share.Node, r *share.Report) {
			r.Permits[share.MessagesPerMinute].Settled = 0
		}},
		{name: "permits that are held do not count", want: sharetest.ErrTooManyCounted, after: func(_ *wrong, g *share.Grant) {
			g.Permits[share.MessagesPerMinute].Held++
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, h := range histories(12, 12_000)[tt.skip:] {
				good := h
				h.Mistakes = tt.nodes
				c := sharetest.NewClock()
				w := &wrong{Ledger: ledger.New(ledger.Config{Now: c.Now, BusyFor: h.BusyFor}), clock: c, limit: h.Limit, before: tt.before, after: tt.after, nodes: make(map[share.Node]time.Time)}
				_, err := h.Run(c, w)
				if errors.Is(err, tt.want) {
					t.Logf("%v: %v", h, err)
					if _, err := run(good); err != nil {
						t.Errorf("the same without the mistake: %v", err)
					}
					return
				}
			}
			t.Error("not found")
		})
	}
}
