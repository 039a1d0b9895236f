package upstream

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/throttle"
)

// place is where in a session a reply can come.
type place struct {
	name     string
	phase    Phase
	at       sandbox.Phase
	several  bool     // recipients, of which the second one is refused
	keywords []string // of the provider
}

var places = []place{
	{"greeting", throttle.PhaseGreeting, sandbox.PhaseBanner, false, offerBDAT},
	{"EHLO", throttle.PhaseEHLO, sandbox.PhaseEHLO, false, offerBDAT},
	{"STARTTLS", throttle.PhaseTLS, sandbox.PhaseStartTLS, false, offerBDAT},
	{"AUTH", throttle.PhaseAuth, sandbox.PhaseAuth, false, offerBDAT},
	{"MAIL", throttle.PhaseMail, sandbox.PhaseMail, false, offerBDAT},
	{"the only RCPT", throttle.PhaseRcpt, sandbox.PhaseRcpt, false, offerBDAT},
	{"one RCPT of several", throttle.PhaseRcpt, sandbox.PhaseRcpt, true, offerBDAT},
	{"BDAT", throttle.PhaseFinal, sandbox.PhaseAfterEOD, false, offerBDAT},
	{"DATA", throttle.PhaseData, sandbox.PhaseData, false, offerDATA},
	{"the content", throttle.PhaseFinal, sandbox.PhaseAfterEOD, false, offerDATA},
}

// cell is one reply at one place from one provider.
type cell struct {
	*fixture
	place
	text     string
	reply    codec.Reply
	account  *account.Account
	provider throttle.Provider
	carried  bool // the connection has carried a message
	want     throttle.Verdict
	odd      bool // one message more before: no two refusals in a row are at the same count
}

func (c *cell) failf(format string, args ...any) {
	c.t.Helper()
	c.t.Errorf("%s from %s at %s, used connection %t: "+format,
		append([]any{c.text, c.provider, c.name, c.carried}, args...)...)
}

// TestEveryCellOfTheTable has a provider give each reply of the table at each
// place, over a new connection and, from MAIL on, over one that has carried a
// message: what the client is told, what becomes of the connection, and what the
// account's next message meets, are as the table says.
func TestEveryCellOfTheTable(t *testing.T) {
	file, err := os.ReadFile("internal/throttle/testdata/samples.txt")
	if err != nil {
		t.Fatal(err)
	}
	replies := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
	for _, keywords := range [][]string{offerBDAT, offerDATA} {
		for by := range throttle.NumProviders {
			t.Run(fmt.Sprintf("%s, %d keywords", by, len(keywords)), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, func(s *setup) {
					s.keywords = keywords
					s.relay.ThrottleRecovery = time.Hour
				})
				a := f.accounts[0]
				a.Provider = [throttle.NumProviders]string{throttle.ProviderGoogle: "gmail", throttle.ProviderMicrosoft: "outlook", throttle.ProviderOther: "own"}[by]
				cells, odd := 0, false
				for _, p := range places {
					if !slices.Equal(p.keywords, keywords) {
						continue
					}
					for _, text := range replies {
						r := parseReply(text)
						at := throttle.Occasion{Provider: by, Phase: p.phase}
						fresh := throttle.Judge(at, &r)
						at.Carried = true
						used := throttle.Judge(at, &r)
						if p.name == "BDAT" && throttle.RefusesBDAT(&r, true, true) {
							continue // that is not about the message: see TestBDATDoesNotWork
						}
						if p.phase >= throttle.PhaseMail {
							(&cell{f, p, text, r, a, by, true, used, odd}).check()
							cells++
							odd = odd != (used.Connection == throttle.ConnectionRetired)
						}
						if p.phase < throttle.PhaseMail || fresh != used {
							(&cell{f, p, text, r, a, by, false, fresh, false}).check()
							cells++
						}
					}
				}
				if provider.NoViolations(f.t, f.box); cells < 2*len(replies) {
					t.Errorf("%d cells", cells)
				}
			})
		}
	}
}

// check plays the cell.
func (c *cell) check() {
	f, a := c.fixture, c.account
	f.absolved(a)
	if c.want.Account == throttle.AccountToken { // a token source of its own, which has refused no token yet
		own := *a
		own.ID = fmt.Sprintf("%s-%s", a.ID, c.text)
		c.account, a = &own, &own
		f.sendOK(a, "has a token\r\n")
	}
	if c.phase < throttle.PhaseMail || !c.carried {
		f.relay.Drain(a.ID)
		f.until(func() bool { return f.state(a).Open == 0 })
	} else {
		f.sendOK(a, "used\r\n")
		if c.odd {
			f.sendOK(a, "used\r\n")
		}
	}
	rule := sandbox.Rule{Name: "cell", Phase: c.at, Action: sandbox.ActionReply, Reply: c.text, Times: 1}
	if c.several {
		rule.Recipient = "bad@x.test"
	}
	if c.want.Account == throttle.AccountToken || c.want.Line&throttle.LineForm != 0 {
		rule.Times = 2 // with another token, or in the other form, too
	}
	provider.Faults(f.t, f.box, rule)
	throttled, paused := f.metric(`upstream_throttle_events_total{action="concurrency"}`), f.metric(`upstream_throttle_events_total{action="logins"}`)
	told := c.message()
	provider.Fired(f.t, f.box, "cell", rule.Times)
	f.box.ClearFaults()
	if c.phase < throttle.PhaseMail {
		c.checkLogin(told, paused)
	} else {
		c.checkMessage(told, throttled)
	}
}

// message sends the message that meets the reply, and returns what its client is
// told of that.
func (c *cell) message() codec.Reply {
	f := c.fixture
	if !c.several {
		return f.send(c.account, "to@x.test", "a\r\n").Reply
	}
	tx, client := f.envelope(c.account, "to@x.test", "bad@x.test")
	if err := f.trySubmit(tx); err != nil {
		f.t.Fatal(err)
	}
	client.next(f.t)
	first, second := tx.Rcpts[0].Reply, tx.Rcpts[1].Reply
	if !first.Positive() {
		tx.Release()
		return first
	}
	tx.Content = content(f.t, "a\r\n")
	if err := f.goOn(tx); err != nil {
		f.t.Fatal(err)
	}
	ans := client.next(f.t)
	if !ans.res.Reply.Positive() {
		c.failf("the other recipient is told %v", ans.res.Reply)
	}
	ans.tx.Release()
	return second
}

// checkLogin is for a reply before MAIL.
func (c *cell) checkLogin(told codec.Reply, paused string) {
	f, a := c.fixture, c.account
	if c.want.Message != throttle.MessageLater || !told.Transient() {
		c.failf("told %v", told)
	}
	if st := f.state(a); c.want.Connection != throttle.ConnectionClosed || st.Parked+st.Busy > 0 || st.Failures == 0 {
		c.failf("state %+v", st)
	}
	long := c.phase == throttle.PhaseAuth && (c.want.Account == throttle.AccountLogins || c.want.Account == throttle.AccountThrottle)
	if now := f.metric(`upstream_throttle_events_total{action="logins"}`); (now != paused) != long {
		c.failf("pauses of logins: %s, before %s", now, paused)
	}
	if c.want.Account == throttle.AccountHold {
		f.refusedFor(a, "451 4.7.0", "held", c.text[:3])
		return
	}
	f.until(func() bool { return f.send(a, "to@x.test", "next\r\n").Err == nil })
}

// told is what the client is to be told of a reply from MAIL on that is the answer.
func (c *cell) told() codec.Reply {
	if c.want.Message == throttle.MessageQuota {
		return codec.Reply{Code: 452, Enhanced: codec.EnhancedCode{4, 7, 1}, Text: c.reply.Text, Hint: c.want.Hint}
	}
	r := c.reply
	r.Hint = c.want.Hint
	return r
}

// checkMessage is for a reply from MAIL on.
func (c *cell) checkMessage(told codec.Reply, throttled string) {
	f, a := c.fixture, c.account
	if c.retried() {
		if !told.Positive() {
			c.failf("told %v, want another try", told)
		}
	} else if want := c.told(); told != want {
		c.failf("told %v (%v), want %v (%v)", told, told.Hint, want, want.Hint)
	}
	// After that, all that the message led to is known.
	f.until(func() bool { st := f.state(a); return st.Open == st.Parked })
	slow := c.want.Account == throttle.AccountThrottle
	if now := f.metric(`upstream_throttle_events_total{action="concurrency"}`); (now != throttled) != slow {
		c.failf("throttled: %s, before %s", now, throttled)
	}
	switch c.want.Account {
	case throttle.AccountHold:
		f.refusedFor(a, "451 4.7.0", "held until an operator acts", c.text[:3])
		f.until(func() bool { return f.state(a).Open == 0 })
		return
	case throttle.AccountQuota:
		f.refusedFor(a, "452 4.7.1", "quota", c.text[:3])
		return
	}
	logins := f.box.AccountStats(a.Email).Logins
	if res := f.send(a, "to@x.test", "next\r\n"); res.Err != nil {
		c.failf("the next message: %v", res.Reply)
	}
	kept := f.box.AccountStats(a.Email).Logins == logins
	if c.want.Connection == throttle.ConnectionKept != kept && !c.retried() {
		c.failf("the connection is kept: %t, want %s", kept, c.want.Connection)
	}
}

// retried: the message goes over a fresh connection if this one has done its share.
func (c *cell) retried() bool { return c.want.Connection == throttle.ConnectionRetired }

// absolved forgets what the provider's replies have led to.
func (f *fixture) absolved(a *account.Account) {
	s := f.relay.shardOf(a)
	done := make(chan struct{})
	s.do(func(time.Time) {
		defer close(done)
		if st := s.accounts[keyOf(a)]; st != nil {
			s.absolve(st)
			st.throttle, st.backoff = nil, backoff{}
		}
	})
	<-done
}

// TestEveryOtherCode has a provider refuse a message with each code that is not
// in the table: the connection and the account go on as if nothing had been.
func TestEveryOtherCode(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.accounts, s.limits.MaxConnections, s.keywords = 3, 1, offerDATA })
	f.accounts[2].Provider = "own"
	for _, a := range f.accounts {
		f.sendOK(a, "a\r\n")
	}
	codes := 0
	for code := 400; code < 600; code++ {
		if code == 421 || code == 432 {
			continue
		}
		for i, detail := range []string{"", ".1.1", ".3.0", ".5.0"} {
			text := strconv.Itoa(code)
			if detail != "" {
				text += " " + strconv.Itoa(code/100) + detail
			}
			a := f.accounts[(code+i)%len(f.accounts)]
			provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Account: a.Email, Action: sandbox.ActionReply, Reply: text + " no", Times: 1})
			if res := f.send(a, "to@x.test", "a\r\n"); res.Reply.String() != text+" no" || res.Reply.Hint == hint.None {
				t.Errorf("%s: told %v", text, res.Reply)
			}
			if res := f.send(a, "to@x.test", "next\r\n"); res.Err != nil {
				t.Errorf("after %s: %v", text, res.Reply)
			}
			codes++
		}
	}
	for _, a := range f.accounts {
		if n := f.box.AccountStats(a.Email).Logins; n != 1 {
			t.Errorf("%s: %d logins for messages one after another", a.Provider, n)
		}
		if st, _ := f.relay.Standing(a.ID); st != nil && (st.Stopped != "" || st.Connections != 0) {
			t.Errorf("%s: %+v", a.Provider, st)
		}
	}
	if codes != 198*4 {
		t.Errorf("%d replies", codes)
	}
}
