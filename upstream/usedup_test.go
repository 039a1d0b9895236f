package upstream

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestUsedUpConnections: a provider that refuses what comes after the tenth message of a
// connection costs no message and slows no account, whatever it answers and however
// messages are sent. Its limit is learned.
func TestUsedUpConnections(t *testing.T) {
	const messages, most = 90, 10
	for _, offer := range offers {
		for _, reply := range []string{"452 4.4.5 enough", "451 4.4.2 enough", "421 enough", "421 4.4.2 enough"} {
			for _, at := range []sandbox.Phase{sandbox.PhaseMail, sandbox.PhaseData, sandbox.PhaseAfterEOD} {
				t.Run(fmt.Sprintf("%s/%s/%s", offer.name, reply, at), func(t *testing.T) {
					t.Parallel()
					f := newFixture(t, func(s *setup) {
						s.keywords, s.limits.MaxConnections = offer.keywords, 1
						s.relay.ThrottleRecovery = time.Hour
					})
					provider.Faults(f.t, f.box, sandbox.Rule{Phase: at, Action: sandbox.ActionReply, Reply: reply, Per: "connection", Since: most + 1})
					budget := codec.NewBudget(1 << 20)
					for i := range messages {
						tx, c := f.envelope(f.accounts[0], "to@example.com")
						tx.Content = codec.NewContent(budget)
						if err := tx.Content.Append(fmt.Appendf(nil, "message %d\r\n", i)); err != nil {
							t.Fatal(err)
						}
						if res := f.submit(tx, c); res.Reply.Code != 250 {
							t.Fatalf("message %d: %v", i, res.Reply)
						}
					}
					f.once(messages)
					if n := f.metric("upstream_retries_total"); n != "2" {
						t.Errorf("%s messages met the limit, want 2", n)
					}
					if n := f.metric(`upstream_throttle_events_total{action="concurrency"}`); n != "0" {
						t.Errorf("throttled %s times", n)
					}
					if st, _ := f.relay.Standing(f.accounts[0].ID); st != nil && (st.Stopped != "" || st.Connections != 0) {
						t.Errorf("standing %+v", st)
					}
					if n := budget.Used(); n != 0 {
						t.Errorf("%d octets of the budget are in use", n)
					}
					f.until(func() bool { return f.state(f.accounts[0]).Open == 0 })
					quits := int64(messages / most)
					if reply[:3] == "421" { // which ended two of them
						quits -= 2
					}
					if stats := f.box.Stats(); stats.Quits != quits || stats.Logins != messages/most {
						t.Errorf("%d logins, %d ended with QUIT; want %d, %d", stats.Logins, stats.Quits, messages/most, quits)
					}
				})
			}
		}
	}
}

// TestClosesBehindItsAnswer: the limit of a provider that closes a connection right after
// its 250 is learned even if it is one message.
func TestClosesBehindItsAnswer(t *testing.T) {
	for _, most := range []int64{1, 3} {
		f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
		provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAfterReply, Action: sandbox.ActionClose, Per: "connection", Nth: most})
		a := f.accounts[0]
		for i := range int(4 * most) {
			f.sendOK(a, fmt.Sprintf("message %d\r\n", i))
			if int64(i+1)%most == 0 { // the provider closes
				f.until(func() bool { return f.state(a).Open == 0 })
			}
		}
		f.box.ClearFaults()
		for i := range int(2 * most) {
			f.sendOK(a, fmt.Sprintf("message %d more\r\n", i))
		}
		f.until(func() bool { return f.state(a).Open == 0 })
		if n := f.box.Stats().Logins; n != 6 {
			t.Errorf("%d logins for six times %d messages", n, most)
		}
	}
}

// TestRepliesByWay: what comes of a reply does not depend on the way of sending. A reply
// that speaks of the connection, which has carried a message, has the message sent over
// another one; of any other, and of a second one, the client is told.
func TestRepliesByWay(t *testing.T) {
	replies := []string{"421 a", "421 4.4.0 a", "421 4.4.2 a", "421 4.4.5 a", "451 4.4.2 a", "451 4.4.5 a", "452 4.4.2 a", "452 4.4.5 a",
		"421 4.2.1 a", "421 4.3.0 a", "421 4.3.2 a", "421 4.5.0 a", "421 4.7.0 a", "421 4.7.4 a", "450 4.4.2 a", "450 4.4.5 a", "451 a", "452 a", "451 4.4.1 a", "452 4.4.4 a",
		"451 4.3.2 a", "452 4.3.5 a", "451 4.5.2 a", "452 4.7.5 a", "454 4.4.2 a", "550 5.4.2 a", "552 5.4.5 a", "554 5.7.1 a", "501 5.5.4 a", "555 5.5.4 a"}
	for _, offer := range offers {
		t.Run(offer.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(s *setup) {
				s.keywords, s.limits.MaxConnections = offer.keywords, 1
				s.relay.ThrottleRecovery = time.Hour
			})
			f.accounts[0].Provider = "own"
			for _, text := range replies {
				for _, p := range []sandbox.Phase{sandbox.PhaseMail, sandbox.PhaseRcpt, sandbox.PhaseData, sandbox.PhaseAfterEOD} {
					for _, several := range []bool{false, true} {
						f.replyAt(text, p, several, false, false)
						if f.replyAt(text, p, several, true, false) {
							f.replyAt(text, p, several, true, true)
						}
					}
				}
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}

// replyAt has the provider answer so in a phase of a message, over a connection that has
// carried one or not, and to a second try too if twice is set. It reports whether the message is to be
// sent again.
func (f *fixture) replyAt(text string, at sandbox.Phase, several, carried, twice bool) (again bool) {
	t, a := f.t, f.accounts[0]
	f.absolved(a)
	f.until(func() bool { st := f.state(a); return st.Open == st.Parked })
	f.relay.Drain(a.ID)
	f.until(func() bool { return f.state(a).Open == 0 })
	if carried {
		f.sendOK(a, "carried\r\n")
	}
	rule := sandbox.Rule{Phase: at, Action: sandbox.ActionReply, Reply: text, Times: 1}
	if twice {
		rule.Times = 2
	}
	if several && at == sandbox.PhaseRcpt { // the first one counts for the message
		rule.Recipient = "a@x.test"
	}
	provider.Faults(f.t, f.box, rule)
	before := f.box.Stats().Messages
	body, told := "that\r\n", codec.Reply{}
	if several {
		told = f.toBoth(a, body)
	} else {
		told = f.send(a, "a@x.test", body).Reply
	}
	f.box.ClearFaults()
	r := parseReply(text)
	used := r.Code == 421 && (r.Enhanced.IsZero() || r.Enhanced[1] == 4) ||
		(r.Code == 451 || r.Code == 452) && r.Enhanced[1] == 4 && (r.Enhanced[2] == 2 || r.Enhanced[2] == 5) && at != sandbox.PhaseRcpt
	again = used && carried
	name := fmt.Sprintf("%s at %s, several %t, carried %t, twice %t", text, at, several, carried, twice)
	switch taken := f.box.Stats().Messages - before; {
	case again && !twice && (told.Code != 250 || taken != 1):
		t.Errorf("%s: told %v, taken %d times, want once over another connection", name, told, taken)
	case again && !twice:
	case several && again && at != sandbox.PhaseMail && at != sandbox.PhaseRcpt && told.Code == 451 && taken == 0:
	case told.String() != r.String() || told.Hint == hint.None || taken != 0:
		t.Errorf("%s: told %v, taken %d times", name, told, taken)
	}
	return again
}

// toBoth sends a message to two recipients, and returns the answer to the first one or
// to the content.
func (f *fixture) toBoth(a *account.Account, body string) codec.Reply {
	tx, c := f.envelope(a, "a@x.test", "b@x.test")
	if err := f.trySubmit(tx); err != nil {
		f.t.Fatal(err)
	}
	c.next(f.t)
	if cause := tx.Over(); cause != nil {
		tx.Release()
		return cause.ClientReply()
	}
	tx.Content = content(f.t, body)
	if err := f.goOn(tx); err != nil {
		tx.Release()
		return ClientReply(err)
	}
	ans := c.next(f.t)
	defer ans.tx.Release()
	return ans.res.Reply
}

// TestNoProofNoRepetition: after a reply that speaks of the connection, a message whose
// content has left is sent again only if nothing positive came after it, and nothing is
// missing on a connection that stays open.
func TestNoProofNoRepetition(t *testing.T) {
	for _, first := range []string{"421 enough\r\n", "421 4.4.2 enough\r\n", "452 4.4.5 enough\r\n"} {
		for name, rest := range map[string]string{
			"accepted after it": "503 5.5.1 no\r\n250 2.0.0 taken\r\n", "recipient accepted": "250 2.1.5 OK\r\n",
			"nothing": "", "one missing": "503 5.5.1 no\r\n", "part of a reply": "503 5.5.1 n", "garbage": "503 5.5.1 no\r\nwhat\r\n",
		} {
			t.Run(first+name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, func(s *setup) {
					s.relay.QuitTimeout, s.relay.FinalTimeout = 50*time.Millisecond, time.Second
				})
				s := newScript(t, func(c *tls.Conn, k, n int64) bool {
					if k > 0 || n == 0 {
						return say(c, threeReplies)
					}
					say(c, first+rest)
					_, _ = io.Copy(io.Discard, c) // it stays open
					return false
				})
				a := s.account(f.accounts[0])
				f.sendOK(a, "carried end\r\n")
				res := f.send(a, "to@example.com", "that end\r\n")
				if res.Reply.Code != 451 || !res.Err.MaybeAccepted() || strings.Contains(res.Reply.Text, "Not sent") {
					t.Errorf("told %v, error %v", res.Reply, res.Err)
				}
				if n := f.metric("upstream_retries_total"); n != "0" {
					t.Errorf("%s retries", n)
				}
				f.sendOK(a, "next end\r\n")
			})
		}
	}
}
