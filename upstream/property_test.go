package upstream

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestNothingLostNothingTwice: clients at random, faults at every phase and
// reloads; then every message acknowledged with 250 arrived, and no message
// arrived twice unless its fate was unknown.
func TestNothingLostNothingTwice(t *testing.T) {
	const clients, messages = 16, 15
	for _, offer := range offers {
		t.Run(offer.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) {
				s.keywords = offer.keywords
				s.accounts = 5
				s.relay.Shards = 2
				s.relay.GlobalConcurrency = 9
				s.relay.HoldTimeout = 5 * time.Millisecond
				for _, timeout := range []*time.Duration{&s.relay.GreetingTimeout, &s.relay.LoginTimeout, &s.relay.TLSTimeout,
					&s.relay.CommandTimeout, &s.relay.DataTimeout, &s.relay.FinalTimeout, &s.relay.QuitTimeout} {
					*timeout = 300 * time.Millisecond
				}
				s.limits.MaxMessagesPerConnection = 20
				s.limits.IdleTimeout = 5 * time.Millisecond
				s.limits.AcquireTimeout = 2 * time.Second
			})
			provider.Faults(f.t, f.box, randomFaults()...)
			var (
				mu      sync.Mutex
				wg      sync.WaitGroup
				replies = map[string]Result{} // by content
			)
			for i := range clients {
				wg.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(i), 7))
					for j := range messages {
						body := fmt.Sprintf("X-Id: %d-%d\r\n\r\n", i, j)
						if res, ok := f.randomMessage(rng, body); ok {
							mu.Lock()
							replies[body] = res
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			f.close()
			checkDeliveries(t, f, replies)
		})
	}
}

// randomFaults strike now and then, at every phase.
func randomFaults() (rules []sandbox.Rule) {
	every := int64(31)
	for _, phase := range []sandbox.Phase{sandbox.PhaseConnect, sandbox.PhaseTLS, sandbox.PhaseBanner, sandbox.PhaseEHLO,
		sandbox.PhaseAuth, sandbox.PhaseMail, sandbox.PhaseRcpt, sandbox.PhaseData, sandbox.PhaseMidContent,
		sandbox.PhaseAfterEOD, sandbox.PhaseAfterReply, sandbox.PhaseRset} {
		for _, action := range []sandbox.Action{sandbox.ActionReply, sandbox.ActionClose, sandbox.ActionReset, sandbox.ActionGarbage} {
			every += 7
			rules = append(rules, sandbox.Rule{Phase: phase, Action: action, Every: every, Reply: "451 4.3.0 later"})
		}
	}
	return append(rules, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionAcceptThenClose, Every: 53})
}

// randomMessage relays body to one or several recipients, sometimes gives up on
// the way; ok is false if there is no result.
func (f *fixture) randomMessage(rng *rand.Rand, body string) (res Result, ok bool) {
	a := f.accounts[rng.IntN(len(f.accounts))]
	if rng.IntN(10) == 0 { // a reload: sometimes nothing has changed for the account
		changed := *a
		if rng.IntN(2) == 0 {
			changed.SMTP.Host = "localhost"
		}
		a = &changed
	}
	if rng.IntN(3) > 0 {
		tx, c := f.message(a, "to@example.com", body)
		if err := f.trySubmit(tx); err != nil {
			tx.Release()
			return Result{Reply: ClientReply(err)}, true
		}
		ans := c.next(f.t)
		ans.tx.Release()
		return ans.res, true
	}
	return f.randomDialog(rng, a, body)
}

// randomDialog relays body to several recipients.
func (f *fixture) randomDialog(rng *rand.Rand, a *account.Account, body string) (Result, bool) {
	tx, c := f.envelope(a, "a@example.com", "b@example.com")
	if err := f.trySubmit(tx); err != nil {
		tx.Release()
		return Result{Reply: ClientReply(err)}, true
	}
	c.next(f.t)
	for range rng.IntN(3) {
		if tx.Rcpts[0].Reply.Code >= 400 {
			break
		}
		tx.AddRcpt(codec.RcptArgs{Path: []byte("c@example.com")})
		if err := f.goOn(tx); err != nil {
			tx.Release()
			return Result{Reply: ClientReply(err)}, true
		}
		c.next(f.t)
	}
	switch {
	case tx.Rcpts[0].Reply.Code >= 400:
		reply := tx.Rcpts[0].Reply
		tx.Release()
		return Result{Reply: reply}, true
	case rng.IntN(8) == 0:
		tx.Release()
		return Result{}, false
	}
	tx.Content = content(f.t, body)
	if err := f.goOn(tx); err != nil {
		tx.Release()
		return Result{Reply: ClientReply(err)}, true
	}
	ans := c.next(f.t)
	ans.tx.Release()
	return ans.res, true
}

func checkDeliveries(t *testing.T, f *fixture, replies map[string]Result) {
	arrived := map[string]int{}
	for _, m := range f.box.Messages() {
		arrived[string(m.Body)]++
	}
	accepted := 0
	for body, res := range replies {
		id := strings.TrimSpace(body)
		maybe := res.Err != nil && res.Err.MaybeAccepted()
		switch n := arrived[body]; {
		case res.Reply.IsZero():
			t.Errorf("%s: no reply", id)
		case res.Reply.Code == 250 && n != 1:
			t.Errorf("%s: answered 250, arrived %d times", id, n)
		case res.Reply.Code != 250 && n > 0 && !maybe:
			t.Errorf("%s: answered %v, arrived %d times", id, res.Reply, n)
		case n > 1:
			t.Errorf("%s: arrived %d times", id, n)
		case n == 1:
			accepted++
		}
		delete(arrived, body)
	}
	if len(arrived) > 0 {
		t.Errorf("%d messages arrived that were aborted", len(arrived))
	}
	if accepted < len(replies)/3 {
		t.Errorf("only %d of %d messages went through", accepted, len(replies))
	}
}
