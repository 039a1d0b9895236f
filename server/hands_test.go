package server

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream"
)

// TestHandsChangeUnderFaults sends small messages, which the loops carry, in
// turn with large ones and with those to two recipients, which workers do, over
// few connections that fail in every way. What was acknowledged has come exactly
// once, all else at most once, and nothing is left.
func TestHandsChangeUnderFaults(t *testing.T) {
	const clients, rounds = 8, 40
	_ = openDescriptors(t) // makes the runtime open its own
	before := openDescriptors(t)
	k := newStack(t, func(cfg *Config, up *upstream.Config, box *sandbox.Config) {
		up.BackoffMin, up.BackoffMax = time.Millisecond, 2*time.Millisecond
		up.ThrottleRecovery, up.Breaker.Recovery = time.Millisecond, time.Millisecond
		up.QuitTimeout, up.CommandTimeout, up.FinalTimeout = time.Second, time.Second, time.Second
		box.Record = 10 * clients * rounds
	})
	var few []*account.Account
	for _, a := range k.back.Snapshot(t, gmailUser, outlookUser).All() {
		b := *a
		b.Limits.MaxConnections = 3
		few = append(few, &b)
	}
	snap, err := account.NewSnapshot(few)
	if err != nil {
		t.Fatal(err)
	}
	k.store.Swap(snap)
	provider.Faults(t, k.sandbox, sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReset, Every: 29},
		sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "451 4.3.0 not now", Every: 31},
		sandbox.Rule{Phase: sandbox.PhaseMidContent, Action: sandbox.ActionReset, Every: 37},
		sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionAcceptThenClose, Every: 23},
		sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionGarbage, Every: 41},
		sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, Every: 113},
		sandbox.Rule{Phase: sandbox.PhaseAfterReply, Action: sandbox.ActionReset, Every: 19},
		sandbox.Rule{Phase: sandbox.PhaseAfterReply, Action: sandbox.ActionReply, Reply: "421 4.4.2 idle", Every: 17},
		sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionCut, Every: 13})
	outcomes := make([]map[string]bool, clients) // by Message-ID: acknowledged
	var wg sync.WaitGroup
	for i := range clients {
		outcomes[i] = make(map[string]bool)
		user := []string{gmailUser, outlookUser}[i%2]
		c := &sender{client: k.login(t, user)}
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for n := range rounds {
				id := fmt.Sprintf("<%d.%d@example.com>", i, n)
				size, two := 200, false
				switch random.IntN(5) {
				case 0:
					size = 100 << 10 // a loop carries it in several records
				case 1:
					size = 300 << 10
				case 2:
					two = true
				}
				outcomes[i][id] = c.attempt(id, size, two)
				if c.ended { // the provider's 421 was passed on
					c.close()
					c = &sender{client: k.login(t, user)}
				}
			}
			c.close()
		})
	}
	wg.Wait()
	k.back.Stop()

	arrived := make(map[string]int)
	for _, m := range k.sandbox.Messages() {
		head, _, _ := strings.Cut(string(m.Body), "\r\n")
		arrived[strings.TrimPrefix(head, "Message-ID: ")]++
	}
	acknowledged := 0
	for _, of := range outcomes {
		for id, ok := range of {
			n := arrived[id]
			if n > 1 || ok && n != 1 {
				t.Errorf("%s: acknowledged %v, arrived %d times", id, ok, n)
			}
			if ok {
				acknowledged++
			}
		}
	}
	if acknowledged < clients*rounds/2 {
		t.Errorf("%d of %d messages were acknowledged", acknowledged, clients*rounds)
	}
	testkit.Eventually(t, "no descriptor is left", func() bool { return openDescriptors(t) <= before })
}

// sender is a client of which the session may have been ended by a 421.
type sender struct {
	*client
	ended bool
}

// attempt sends one message and reports whether it was acknowledged. Refusals
// must be transient.
func (c *sender) attempt(id string, size int, two bool) (acknowledged bool) {
	if !c.taken("MAIL FROM:<a@example.com>\r\n") {
		return false
	}
	ok := c.taken("RCPT TO:<b@example.com>\r\n")
	if ok && two {
		c.taken("RCPT TO:<c@example.com>\r\n")
	}
	if !ok || c.ended || !c.taken("DATA\r\n") {
		if !c.ended {
			c.taken("RSET\r\n")
		}
		return false
	}
	line := strings.Repeat("x", 70) + "\r\n"
	return c.taken("Message-ID: " + id + "\r\n\r\n" + strings.Repeat(line, size/len(line)) + ".\r\n")
}

// taken sends a command or the content, and reports whether it was accepted.
func (c *sender) taken(what string) bool {
	c.T.Helper()
	c.Send(what)
	r, err := c.Reply()
	switch {
	case err != nil:
		c.T.Errorf("after %s: %v", testkit.Brief(what), err)
		return false
	case r[0] == '5':
		c.T.Errorf("after %s: %s", testkit.Brief(what), r)
	}
	c.ended = strings.HasPrefix(r, "421")
	return r[0] == '2' || r[0] == '3'
}

// descriptors counts those of the process.
func openDescriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("there is no /proc:", err)
	}
	return len(all)
}
