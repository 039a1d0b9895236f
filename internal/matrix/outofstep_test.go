package matrix

import (
	"sync"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestOutOfStep lets a provider send an unsolicited reply other than 421 before it reads
// the next transaction. If that crosses a transaction, each reply seems to be the reply to
// the next command: no client may be told a reply that was read in such a place.
func TestOutOfStep(t *testing.T) {
	for _, reply := range []string{"452 4.2.2 not now", "550 5.1.1 never"} {
		t.Run(reply[:3], func(t *testing.T) {
			t.Parallel()
			s := defaults(sandbox.PresetGmail)
			s.account = hurried
			k := newStack(t, s)
			provider.Faults(t, k.sandbox, sandbox.Rule{Name: "fault", Phase: sandbox.PhaseIdle, Action: sandbox.ActionReply, Reply: reply, Every: 3})
			var told ledger
			var working sync.WaitGroup
			for n := range 4 {
				working.Go(func() {
					var c *client
					for i := range 40 {
						l := newLetter(victim, 1+(i+n)%3, contentSize)
						o, err := k.try(&c, l, style{pipelined: true, bdat: i%2 == 0})
						if err != nil {
							t.Error(err)
							return
						}
						told.enter(fate{letter: l, outcome: o})
					}
				})
			}
			working.Wait()
			k.struck(t, 1)
			k.sandbox.ClearFaults()
			told.audit(t, k)
			k.deliver(t, nil, victim, 1, style{}, true)
			k.Settled(t)
			k.Stop()
		})
	}
}
