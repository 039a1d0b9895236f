package upstream

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/failure"
)

// TestAbandon abandons messages that wait for the only connection, and one that is
// under way: those that wait are answered and not sent, the others are sent.
func TestAbandon(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(300 * time.Millisecond), Times: 1})
	abandoned := []bool{true, true, false, true, false, true} // the first one is under way when it is
	txs, clients := make([]*Transaction, len(abandoned)), make([]client, len(abandoned))
	for i := range abandoned {
		txs[i], clients[i] = f.message(f.accounts[0], fmt.Sprintf("to%d@example.com", i), "text\r\n")
		if err := f.trySubmit(txs[i]); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			provider.Fired(f.t, f.box, "think", 1)
		}
	}
	for i, is := range abandoned {
		if is {
			txs[i].Abandon()
		}
	}
	for i, is := range abandoned {
		res := clients[i].next(t)
		switch sent := !is || i == 0; {
		case sent && res.res.Reply.Code != 250:
			t.Errorf("message %d was answered %v, want 250", i, res.res.Reply)
		case !sent && (res.res.Reply != ClientReply(failure.ErrAbandoned) || !errors.Is(res.res.Err, failure.ErrAbandoned)):
			t.Errorf("message %d was answered %v (%v), want %v", i, res.res.Reply, res.res.Err, ClientReply(failure.ErrAbandoned))
		}
		res.tx.Release()
	}
	provider.Messages(f.t, f.box, 3)
	provider.NoViolations(f.t, f.box)
}
