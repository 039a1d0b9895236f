package matrix

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "seed of TestProperty; 0 takes one from the clock")
	lettersFlag = flag.Int64("letters", 0, "letters and logins of TestProperty; 0 takes 1500, with the race detector 500")
)

// TestProperty has random clients send letters while the provider fails at
// random, accounts come and go and tokens end. Then the ledgers of both ends
// must agree.
func TestProperty(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	count := *lettersFlag
	switch {
	case count > 0:
	case raceDetector:
		count = 500
	default:
		count = 1500
	}
	t.Logf("to do the same again: -run TestProperty -seed %d -letters %d", seed, count)
	s := defaults(sandbox.PresetGmail)
	s.users = nil
	for i := range 8 {
		s.users = append(s.users, fmt.Sprintf("user%d@matrix.test", i))
	}
	s.sandbox.Endpoints = append(s.sandbox.Endpoints, sandbox.Endpoint{Name: "plain", Preset: sandbox.PresetPlain, TLS: "-"})
	s.endpoint = func(user string) string { return []string{"mail", "plain"}[user[len("user")]%2] }
	s.sandbox.Tokens = sandbox.TokenConfig{Rotation: "on"}
	s.account = hurried
	shortCommands(&s, brief)
	s.upstream.GreetingTimeout, s.upstream.TLSTimeout, s.upstream.LoginTimeout = 2*brief, 2*brief, 2*brief
	s.upstream.QuitTimeout, s.upstream.HoldTimeout, s.oauth.Timeout = brief, 2*brief, 2*brief
	k := newStack(t, s)
	random := rand.New(rand.NewPCG(seed, 0))
	clients := 1 + random.IntN(40)
	run := &propertyRun{stack: k, tick: make(chan struct{}, clients)}
	var working sync.WaitGroup
	for i := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(i+1)))
		working.Go(func() {
			for run.sent.Load() < count {
				run.session(t, random)
			}
		})
	}
	var upsetting sync.WaitGroup
	upsetting.Go(func() {
		for range run.tick {
			if random.IntN(6) == 0 {
				run.upset(t, random)
			}
		}
	})
	working.Wait()
	close(run.tick)
	upsetting.Wait()
	run.quiet(t)
	if n := run.audit(t, k); int64(n) < count/20 {
		t.Errorf("only %d of %d letters were accepted: the test shows nothing", n, count)
	}
	v := k.sandbox.Stats().Violations
	delete(v, sandbox.ViolationEarlyTalk) // a connection that is given up ahead of the greeting looks like it
	if len(v) > 0 {
		t.Errorf("breaches of protocol: %v", v)
	}
	k.Settled(t)
	k.Stop()
}

// hurried makes an account one whose messages wait for each other, but not for
// long.
func hurried(a *account.Account) {
	a.Limits.MaxConnections, a.Limits.MaxMessagesPerConnection = 4, 20
	a.Limits.AcquireTimeout = 4 * brief
}

// propertyRun is one run of TestProperty.
type propertyRun struct {
	*stack
	ledger
	sent atomic.Int64
	tick chan struct{} // one for each letter
	down bool          // an endpoint does not listen
}

// session is one connection of a client.
func (p *propertyRun) session(t *testing.T, random *rand.Rand) {
	user := p.users[random.IntN(len(p.users))]
	defer p.count()
	c, err := p.login(user)
	if err != nil { // refused, or cut off by a reload
		p.hung(t, "login of "+user, err)
		return
	}
	defer c.close()
	for range 1 + random.IntN(8) {
		l := newLetter(user, 1+random.IntN(6)*random.IntN(2), random.IntN(40<<10))
		how := style{pipelined: random.IntN(2) == 0, bdat: random.IntN(2) == 0}
		if random.IntN(12) == 0 {
			p.enter(c.leave(l, how, random))
			return
		}
		o := c.send(l, how)
		p.enter(fate{letter: l, outcome: o})
		p.hung(t, "letter "+l.from, o.err)
		if p.count(); o.closing() {
			return
		}
	}
}

// hung reports a client that was not answered at all.
func (p *propertyRun) hung(t *testing.T, what string, err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s was not answered within %v", what, patience)
	}
}

func (p *propertyRun) count() {
	p.sent.Add(1)
	p.tick <- struct{}{}
}

// leave begins to hand over a letter and goes away, in order or by a reset.
func (c *client) leave(l letter, how style, random *rand.Rand) fate {
	f := fate{letter: l, left: true}
	if random.IntN(2) == 0 {
		_ = c.TCP.SetLinger(0) // it is open, and if it were not, nothing would be lost
	}
	defer c.close()
	text := "MAIL FROM:<" + l.from + "> BODY=8BITMIME\r\n"
	for _, to := range l.to {
		text += "RCPT TO:<" + to + ">\r\n"
	}
	if how.bdat {
		text += fmt.Sprintf("BDAT %d LAST\r\n%s", len(l.content), l.content)
		if f.whole = random.IntN(2) == 0; !f.whole {
			text = text[:random.IntN(len(text))]
		}
		_, _ = io.WriteString(c, text) // the server may have gone first
		return f
	}
	_, _ = io.WriteString(c, text)
	for range random.IntN(len(l.to) + 2) {
		if _, err := c.reply(); err != nil {
			break
		}
	}
	return f
}

// upset makes something go wrong, or all be well again.
func (p *propertyRun) upset(t *testing.T, random *rand.Rand) {
	user := p.users[random.IntN(len(p.users))]
	switch random.IntN(10) {
	case 0, 1, 2:
		var rules []sandbox.Rule
		for range 1 + random.IntN(4) {
			rules = append(rules, randomRule(random, user))
		}
		provider.Faults(t, p.sandbox, rules...)
	case 3, 4, 5:
		p.sandbox.ClearFaults()
	case 6:
		p.sandbox.ExpireTokens(user)
	case 7:
		p.sandbox.Disconnect()
	case 8: // some accounts go, others come back, others get new credentials
		change := random.IntN(4)
		p.account = func(a *account.Account) {
			hurried(a)
			if change > 0 {
				a.Scope = fmt.Sprint("scope-", change)
			}
		}
		p.reload(t, p.users[random.IntN(len(p.users)):])
	case 9:
		if err := p.sandbox.SetListening("plain", p.down); err != nil {
			t.Error(err)
		}
		p.down = !p.down
	}
}

// randomRule is one that Validate likes.
func randomRule(random *rand.Rand, user string) sandbox.Rule {
	r := sandbox.Rule{Every: 1 + random.Int64N(8), Times: 1 + random.Int64N(20)}
	if random.IntN(8) == 0 {
		r.Phase = sandbox.PhaseToken
		f := tokenFaults[random.IntN(len(tokenFaults))].rule
		f.Phase, f.Every, f.Times = r.Phase, r.Every, r.Times
		return f
	}
	p := points[random.IntN(len(points))]
	f := faults[random.IntN(len(faults))].rule
	f.Phase, f.Secure, f.Every, f.Times = p.phase, p.secure, r.Every, r.Times
	if p.scoped && random.IntN(2) == 0 {
		f.Account = user
	}
	// A provider that took the message and says nothing.
	f.Accept = p.phase == sandbox.PhaseAfterEOD && f.Action != sandbox.ActionReply && random.IntN(2) == 0
	return f
}

// quiet ends all faults and waits until each account works.
func (p *propertyRun) quiet(t *testing.T) {
	p.sandbox.ClearFaults()
	if p.down {
		if err := p.sandbox.SetListening("plain", true); err != nil {
			t.Fatal(err)
		}
	}
	p.account = func(a *account.Account) {
		hurried(a)
		a.Scope = "the last one"
	}
	p.reload(t, p.users)
	for _, u := range p.users {
		p.deliver(t, nil, u, 1, style{}, true)
	}
}
