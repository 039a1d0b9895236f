package upstream

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// replyFor is what the sandbox's rules of refuse answer to a recipient.
func replyFor(path string) int {
	switch {
	case strings.HasPrefix(path, "bad"):
		return 550
	case strings.HasPrefix(path, "later"):
		return 450
	}
	return 250
}

// refuse makes the sandbox refuse recipients at bad and later domains.
func refuse(f *fixture) {
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "*@bad.test", Action: sandbox.ActionReply, Reply: "550 5.1.1 no such user"},
		sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "*@later.test", Action: sandbox.ActionReply, Reply: "450 4.2.1 over rate"})
}

// path returns an address that replyFor gives that code.
func path(i, code int) string {
	domain := map[int]string{250: "good.test", 450: "later.test", 550: "bad.test"}[code]
	local := map[int]string{250: "good", 450: "later", 550: "bad"}[code]
	return fmt.Sprintf("%s%d@%s", local, i, domain)
}

// dialog plays a client's transaction: the recipients in groups as they come in
// pipelined, then the content. It returns the replies that the client gets.
func dialog(f *fixture, groups [][]string, body string) (rcpts []codec.Reply, final codec.Reply) {
	f.t.Helper()
	tx, c := f.envelope(f.accounts[0], groups[0]...)
	if err := f.trySubmit(tx); err != nil {
		f.t.Fatal(err)
	}
	c.next(f.t)
	for _, g := range groups[1:] {
		if tx.Rcpts[0].Reply.Code >= 400 {
			break // as a session does, which answers all others itself
		}
		for _, p := range g {
			tx.AddRcpt(codec.RcptArgs{Path: []byte(p)})
		}
		if err := f.goOn(tx); err != nil {
			f.t.Fatal(err)
		}
		c.next(f.t)
	}
	for i := range tx.Rcpts {
		rcpts = append(rcpts, tx.Rcpts[i].Reply)
	}
	if final = rcpts[0]; final.Code >= 400 {
		tx.Release()
		return rcpts, final
	}
	tx.Content = content(f.t, body)
	if err := f.goOn(tx); err != nil {
		tx.Release()
		return rcpts, ClientReply(err)
	}
	a := c.next(f.t)
	a.tx.Release()
	return rcpts, a.res.Reply
}

// TestEveryMixOfRecipients checks the rule that counts: no recipient answered
// 250 and covered by a 250 at the end was refused, and none answered 4yz or 5yz
// got the message.
func TestEveryMixOfRecipients(t *testing.T) {
	codes := []int{250, 450, 550}
	for _, offer := range offers {
		t.Run(offer.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) {
				s.keywords = offer.keywords
				s.limits.MaxConnections = 1 // the next transaction shows whether it is in step
			})
			refuse(f)
			delivered := 0
			check := func(groups [][]string) {
				t.Helper()
				rcpts, final := dialog(f, groups, "a\r\n")
				var paths, want []string
				for _, g := range groups {
					paths = append(paths, g...)
				}
				if replyFor(paths[0]) >= 400 {
					if final.Code != replyFor(paths[0]) {
						t.Fatalf("%v: first recipient refused by %d, final reply %v", groups, replyFor(paths[0]), final)
					}
					for i, r := range rcpts[1:] {
						if r.Code != 452 {
							t.Fatalf("%v: recipient %d answered %v behind a refused first one", groups, i+1, r)
						}
					}
					provider.Messages(f.t, f.box, delivered)
					return
				}
				for i, r := range rcpts {
					if r.Code != replyFor(paths[i]) {
						t.Fatalf("%v: recipient %s answered %v", groups, paths[i], r)
					}
					if r.Code == 250 {
						want = append(want, paths[i])
					}
				}
				if final.Code != 250 {
					t.Fatalf("%v: final reply %v", groups, final)
				}
				delivered++
				var got []string
				for _, r := range provider.Messages(f.t, f.box, delivered)[delivered-1].Recipients {
					got = append(got, r.Path)
				}
				if strings.Join(got, " ") != strings.Join(want, " ") {
					t.Fatalf("%v: delivered to %v, accepted were %v", groups, got, want)
				}
			}
			for _, a := range codes {
				for _, b := range codes {
					check([][]string{{path(0, a), path(1, b)}})
					for _, c := range codes {
						check([][]string{{path(0, a), path(1, b)}, {path(2, c)}})
						check([][]string{{path(0, a), path(1, b), path(2, c)}})
					}
				}
			}
			rng := rand.New(rand.NewPCG(1, 2))
			for range 10 { // up to 100 recipients, pipelined at random
				var groups [][]string
				n := 2 + rng.IntN(99)
				g := []string{path(0, 250), path(1, codes[rng.IntN(3)])}
				for i := 2; i < n; i++ {
					if rng.IntN(3) == 0 {
						groups, g = append(groups, g), nil
					}
					g = append(g, path(i, codes[rng.IntN(3)]))
				}
				check(append(groups, g))
			}
			if n := f.box.Stats().Logins; n != 1 {
				t.Errorf("%d logins: a connection was not in step after a refusal", n)
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}

func TestOpenedTransactionRefusedAtMail(t *testing.T) {
	for _, offer := range offers {
		t.Run(offer.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.keywords = offer.keywords })
			provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "550 5.7.60 not your address", Times: 1})
			rcpts, final := dialog(f, [][]string{{"a@good.test", "b@good.test"}}, "a\r\n")
			if final.String() != "550 5.7.60 not your address" || rcpts[1].Code != 452 {
				t.Errorf("final reply %v, second recipient %v", final, rcpts[1])
			}
			f.sendOK(f.accounts[0], "b\r\n")
			provider.Messages(f.t, f.box, 1)
			provider.NoViolations(f.t, f.box)
		})
	}
}

func TestAbortResetsTheUpstream(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
	tx, c := f.envelope(f.accounts[0], "a@good.test", "b@good.test")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	c.next(t)
	tx.Release()
	f.sendOK(f.accounts[0], "a\r\n")
	if got, want := strings.Join(f.commands(), " "), "MAIL RCPT RCPT RSET MAIL RCPT BDAT"; got != want {
		t.Errorf("commands %s, want %s", got, want)
	}
	if got := provider.Messages(f.t, f.box, 1)[0].Recipients; len(got) != 1 {
		t.Errorf("recipients of the aborted transaction got the next message: %v", got)
	}
}

func TestReleaseAbortsToo(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
	tx, c := f.envelope(f.accounts[0], "a@good.test", "b@good.test")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	c.next(t)
	tx.Release()
	f.sendOK(f.accounts[0], "a\r\n") // over the only connection
	if n := f.metric("upstream_aborted_total"); n != "1" {
		t.Errorf("upstream_aborted_total = %s", n)
	}
	provider.Messages(f.t, f.box, 1)
}

// TestSlowClientHoldsNothing: while a client takes its time between recipients, or uploads,
// the only connection carries other messages. What the client sends then goes over it
// after a repetition of the envelope.
func TestSlowClientHoldsNothing(t *testing.T) {
	for _, offer := range offers {
		t.Run(offer.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) {
				s.keywords = offer.keywords
				s.relay.HoldTimeout = 20 * time.Millisecond
				s.limits.MaxConnections = 1
			})
			refuse(f)
			tx, c := f.envelope(f.accounts[0], path(0, 250), path(1, 550), path(2, 250))
			if err := f.trySubmit(tx); err != nil {
				t.Fatal(err)
			}
			c.next(t)
			f.sendOK(f.accounts[0], "between recipients\r\n")
			tx.AddRcpt(codec.RcptArgs{Path: []byte(path(3, 450))})
			tx.AddRcpt(codec.RcptArgs{Path: []byte(path(4, 250))})
			if err := f.goOn(tx); err != nil {
				t.Fatal(err)
			}
			c.next(t)
			for i, want := range []int{250, 550, 250, 450, 250} {
				if got := tx.Rcpts[i].Reply.Code; got != want {
					t.Errorf("recipient %d answered %d, want %d", i, got, want)
				}
			}
			f.sendOK(f.accounts[0], "while it uploads\r\n")
			tx.Content = content(t, "slow\r\n")
			if err := f.goOn(tx); err != nil {
				t.Fatal(err)
			}
			ans := c.next(t)
			if ans.res.Reply.Code != 250 {
				t.Errorf("reply %v", ans.res.Reply)
			}
			ans.tx.Release()
			var got []string
			for _, r := range provider.Messages(f.t, f.box, 3)[2].Recipients {
				got = append(got, r.Path)
			}
			if want := []string{path(0, 250), path(2, 250), path(4, 250)}; !slices.Equal(got, want) {
				t.Errorf("delivered to %v, want %v", got, want)
			}
			asked := map[string]int{}
			for _, r := range f.box.Commands() {
				asked[r.Line]++
			}
			if n := asked["RCPT TO:<"+path(1, 550)+">"]; n != 1 {
				t.Errorf("a refused recipient was asked for %d times", n)
			}
			if n := f.metric("upstream_hold_expired_total"); n != "2" {
				t.Errorf("upstream_hold_expired_total = %s", n)
			}
			if n := f.box.Stats().Logins; n != 1 {
				t.Errorf("%d logins, want 1", n)
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}

// TestRevokedRecipient: the sender or a recipient that was accepted is refused when the
// envelope is repeated. Nothing of the content is sent then, and the whole message gets 451.
func TestRevokedRecipient(t *testing.T) {
	for _, offer := range offers {
		for _, reply := range []string{"550 5.1.1 no such user", "450 4.2.1 over rate", "421 4.7.0 go away"} {
			for _, revoked := range []string{"a@good.test", "c@good.test", "the sender"} {
				t.Run(fmt.Sprintf("%s/%s/%s", offer.name, reply, revoked), func(t *testing.T) {
					f := newFixture(t, func(s *setup) {
						s.keywords = offer.keywords
						s.relay.HoldTimeout = 20 * time.Millisecond
					})
					tx, c := f.envelope(f.accounts[0], "a@good.test", "b@good.test", "c@good.test")
					if err := f.trySubmit(tx); err != nil {
						t.Fatal(err)
					}
					c.next(t)
					f.until(func() bool { return f.state(f.accounts[0]).Parked == 1 })
					rule := sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: revoked, Action: sandbox.ActionReply, Reply: reply}
					if revoked == "the sender" {
						rule.Phase, rule.Recipient = sandbox.PhaseMail, ""
					}
					provider.Faults(f.t, f.box, rule)
					tx.Content = content(t, "slow\r\n")
					if err := f.goOn(tx); err != nil {
						t.Fatal(err)
					}
					ans := c.next(t)
					if r := ans.res.Reply; r.Code != 451 || !strings.Contains(r.Text, reply) || ans.res.Err.MaybeAccepted() {
						t.Errorf("reply %v", r)
					}
					ans.tx.Release()
					provider.Messages(f.t, f.box, 0)
					for _, verb := range f.commands() {
						if verb == "BDAT" || verb == "DATA" {
							t.Errorf("the content was sent: %v", f.commands())
						}
					}
					f.box.ClearFaults()
					f.eventually(f.accounts[1])
					provider.NoViolations(f.t, f.box)
				})
			}
		}
	}
}

// TestRevokedSenderIsHeld: what the refusal of a repeated MAIL says of the account counts.
func TestRevokedSenderIsHeld(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.HoldTimeout = 20 * time.Millisecond })
	a := f.accounts[1] // at Microsoft
	tx, c := f.envelope(a, "a@good.test", "b@good.test")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	c.next(t)
	f.until(func() bool { return f.state(a).Parked == 1 })
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "550 5.7.501 spam"})
	tx.Content = content(t, "slow\r\n")
	if err := f.goOn(tx); err != nil {
		t.Fatal(err)
	}
	ans := c.next(t)
	if code(ans.res.Reply) != "451 4.3.0" {
		t.Errorf("told %v", ans.res.Reply)
	}
	ans.tx.Release()
	f.refusedFor(a, "451 4.7.0", "held until an operator acts", "550 5.7.501")
}

// TestConnectionLostBetweenRecipients: the envelope is repeated over a fresh connection, and
// the client notices nothing. Garbage is no loss: nothing is known any more.
func TestConnectionLostBetweenRecipients(t *testing.T) {
	for action, codes := range map[sandbox.Action][]int{
		sandbox.ActionClose: {250, 250, 250, 250}, sandbox.ActionReset: {250, 250, 250, 250}, sandbox.ActionGarbage: {250, 250, 451, 451},
	} {
		t.Run(string(action), func(t *testing.T) {
			f := newFixture(t, nil)
			provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "c@good.test", Action: action, Times: 1})
			rcpts, final := dialog(f, [][]string{{"a@good.test", "b@good.test"}, {"c@good.test"}}, "a\r\n")
			for i, want := range codes[:3] {
				if rcpts[i].Code != want {
					t.Errorf("recipient %d answered %v, want %d", i, rcpts[i], want)
				}
			}
			if final.Code != codes[3] {
				t.Errorf("final reply %v, want %d", final, codes[3])
			}
			taken := 0
			if codes[3] == 250 {
				taken = 1
			}
			for _, m := range provider.Messages(f.t, f.box, taken) {
				if len(m.Recipients) != 3 {
					t.Errorf("recipients %v", m.Recipients)
				}
			}
			f.sendOK(f.accounts[0], "b\r\n")
			provider.Messages(f.t, f.box, taken+1)
		})
	}
}

func TestUpstreamClosesByReplyAtLaterRecipient(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "b@good.test", Action: sandbox.ActionReply, Reply: "421 4.7.0 go away", Times: 1})
	rcpts, final := dialog(f, [][]string{{"a@good.test", "b@good.test"}}, "a\r\n")
	if final.String() != "421 4.7.0 go away" || rcpts[1].Code != 452 {
		t.Errorf("final reply %v, second recipient %v", final, rcpts[1])
	}
	provider.Messages(f.t, f.box, 0)
	f.sendOK(f.accounts[0], "b\r\n")
}

func TestOpenedTransactionIsRetriedBeforeTheClientKnows(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "b@good.test", Action: sandbox.ActionClose, Times: 1})
	rcpts, final := dialog(f, [][]string{{"a@good.test", "b@good.test"}}, "a\r\n")
	if rcpts[0].Code != 250 || rcpts[1].Code != 250 || final.Code != 250 {
		t.Errorf("recipients %v, final reply %v", rcpts, final)
	}
	if n := f.box.Stats().Logins; n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
	provider.Messages(f.t, f.box, 1)
}

// TestSpokenToInBetween has a provider say something that nobody asked for while the
// client has yet to send more: it is not taken for the reply to that. The envelope is
// repeated over another connection, which has the message.
func TestSpokenToInBetween(t *testing.T) {
	const replies = "250 2.1.0 OK\r\n250 2.1.5 OK\r\n250 2.1.5 OK\r\n"
	for name, unasked := range map[string]string{"success": "250 2.0.0 taken\r\n", "refusal": "452 4.2.2 not now\r\n", "the end": "421 4.4.2 bye\r\n"} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, with the replies %v", name, together), func(t *testing.T) {
				f := newFixture(t, func(s *setup) { s.relay.QuitTimeout = 50 * time.Millisecond })
				said := make(chan struct{}, 1)
				var connections, taken atomic.Int64
				s := newStub(t, func(c *tls.Conn) {
					if !logIn(c, offerBDAT) {
						return
					}
					if connections.Add(1) > 1 {
						taken.Add(oblige(c))
						return
					}
					if !heard(c, "RCPT TO:<two@example.com>") {
						return
					}
					if together {
						say(c, replies+unasked)
					} else {
						say(c, replies)
						say(c, unasked)
					}
					said <- struct{}{}
					for heard(c, "BDAT") && say(c, "554 5.6.0 refused\r\n") {
					}
				})
				a := s.account(f.accounts[0])
				tx, c := f.envelope(a, "one@example.com", "two@example.com")
				if err := f.trySubmit(tx); err != nil {
					t.Fatal(err)
				}
				c.next(t)
				<-said
				for i := range tx.Rcpts {
					if r := tx.Rcpts[i].Reply; r.Code != 250 {
						t.Errorf("recipient %d: %v", i, r)
					}
				}
				tx.Content = content(t, "text\r\n")
				if err := f.goOn(tx); err != nil {
					t.Fatal(err)
				}
				ans := c.next(t)
				if res := ans.res; res.Reply.Code != 250 {
					t.Errorf("the content: %+v", res)
				}
				ans.tx.Release()
				f.sendOK(a, "next\r\n")
				f.close()
				s.wait()
				if n := taken.Load(); n != 2 {
					t.Errorf("%d messages were taken, want 2", n)
				}
			})
		}
	}
}

// oblige takes all messages that come by BDAT, and returns their number.
func oblige(c *tls.Conn) (taken int64) {
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return taken
		}
		reply := "250 2.0.0 OK\r\n"
		if rest, ok := strings.CutPrefix(line, "BDAT "); ok {
			size, _, _ := strings.Cut(rest, " ")
			n, _ := strconv.Atoi(size)
			if _, err := in.Discard(n); err != nil {
				return taken
			}
			taken++
		}
		if !say(c, reply) {
			return taken
		}
	}
}

// TestRefusalOrUnasked has a provider that takes one command at a time say something
// that nobody asked for just when MAIL is sent. Nothing more is sent there: the reply
// to RSET would be that to MAIL, and each one behind it a wrong one too.
func TestRefusalOrUnasked(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.QuitTimeout = 50 * time.Millisecond })
	var connections atomic.Int64
	rest := make(chan string, 1)
	s := newStub(t, func(c *tls.Conn) {
		if !logIn(c, offerChunking) {
			return
		}
		first := connections.Add(1) == 1
		for n := 1; heard(c, "MAIL FROM:"); n++ {
			if first && n == 2 {
				say(c, "452 4.2.2 not now\r\n")
				say(c, "250 2.1.0 OK\r\n")
				b := make([]byte, 1<<10)
				k, _ := c.Read(b)
				rest <- string(b[:k])
				return
			}
			if !say(c, "250 2.1.0 OK\r\n") || !heard(c, "RCPT TO:") || !say(c, "250 2.1.5 OK\r\n") ||
				!heard(c, "end\r\n") || !say(c, "250 2.0.0 taken\r\n") {
				return
			}
		}
	})
	a := s.account(f.accounts[0])
	f.sendOK(a, "first end\r\n")
	if res := f.send(a, "to@example.com", "second end\r\n"); res.Reply.Code != 452 {
		t.Errorf("reply %v", res.Reply)
	}
	if got := <-rest; strings.Trim(got, "\r\n") != "QUIT" && got != "" {
		t.Errorf("the provider got %q behind the refusal", got)
	}
	f.sendOK(a, "third end\r\n")
}

// heard reads until what has come has the text in it.
func heard(c *tls.Conn, text string) bool {
	var all []byte
	buf := make([]byte, 32<<10)
	for !strings.Contains(string(all), text) {
		n, err := c.Read(buf)
		if all = append(all, buf[:n]...); err != nil {
			return false
		}
	}
	return true
}
