package matrix

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestMatrix runs every fault at every phase.
func TestMatrix(t *testing.T) {
	allCases(func(name string, c *matrixCase) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for timeout := brief; !c.run(t, timeout); timeout *= 4 { // another step met it first: the machine is busy
				if timeout > 64*brief {
					t.Fatal("the fault did not strike")
				}
			}
		})
	})
}

// contentSize is the size of a message in the matrix, in octets.
const contentSize = 4 << 10

// run sends a message into the fault, and then further ones. It reports whether the fault
// struck: a stall does so only if the timeout for it suffices for the steps before.
func (c *matrixCase) run(t *testing.T, timeout time.Duration) (struck bool) {
	s := defaults(c.preset)
	if c.stall {
		c.point.shorten(&s, timeout)
	}
	rules := []sandbox.Rule{c.rule}
	switch c.point.phase {
	case sandbox.PhaseQuit: // each connection ends after its first message
		s.account = func(a *account.Account) { a.Limits.MaxMessagesPerConnection = 1 }
	case sandbox.PhaseRset: // a refusal has the relay end the transaction
		rules = append(rules, sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Account: victim, Reply: refusedMail})
	case sandbox.PhaseIdle: // the first time is after the login
		rules[0].Per, rules[0].Nth = "connection", 2
		if c.rcpts > 1 { // the second one is after RSET: MAIL is repeated, as the content has octets above 127
			rules[0].Nth = 3
		}
	}
	k := newStack(t, s)
	first, err := k.login(victim)
	if err != nil {
		t.Fatal(err)
	}
	defer first.close()
	provider.Faults(t, k.sandbox, rules...)
	l := newLetter(victim, c.rcpts, contentSize)
	o := first.send(l, c.how)
	if c.strikes() && k.sandbox.Fired("fault") == 0 {
		if !c.stall {
			t.Fatal("the fault did not strike")
		}
		k.Stop()
		return false
	}
	c.check(t, k, l, o)
	if c.point.scoped {
		k.deliver(t, nil, neighbour, c.rcpts, c.how, c.stall)
	}
	if c.rule.Action != sandbox.ActionSlow && !c.strikes() {
		k.struck(t, 1)
	}
	k.sandbox.ClearFaults()
	if c.rule.Action == sandbox.ActionDropKeyword { // what was offered lasts as long as the connection
		k.sandbox.Disconnect()
	}
	if o.closing() {
		first.close()
		first = nil
	}
	k.deliver(t, first, victim, c.rcpts, c.how, true)
	k.deliver(t, nil, neighbour, c.rcpts, c.how, c.stall || c.rule.Action == sandbox.ActionDropKeyword)
	c.recheck(t, k, l, o)
	k.Settled(t)
	k.Stop()
	return true
}

// strikes reports whether the fault strikes before the client has its answer.
func (c *matrixCase) strikes() bool {
	return c.rule.Action != sandbox.ActionSlow && c.point.answer != delivered && c.point.phase != sandbox.PhaseRset
}

// refusedMail is the provider's reply in the cases of RSET.
const refusedMail = "450 4.2.0 later, says the provider"

// struck waits until the fault has struck n times.
func (k *stack) struck(t testing.TB, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := k.sandbox.WaitFired(ctx, "fault", n); err != nil {
		t.Fatal(err)
	}
}

// check compares what the client was told with what the case says.
func (c *matrixCase) check(t *testing.T, k *stack, l letter, o outcome) {
	t.Helper()
	if o.err != nil {
		t.Fatalf("the connection of the client: %v after %+v", o.err, o)
	}
	text := c.rule.Reply
	if c.point.phase == sandbox.PhaseRset {
		text = refusedMail
	}
	if got := o.told(0); !matches(got, c.want, text) {
		t.Errorf("the client was told %q, want %q", got, c.want)
	}
	for i := 1; i < c.rcpts; i++ {
		got := o.told(i)
		ok := matches(got, c.want, text) || got == "" && o.closing()
		for _, want := range c.later {
			ok = ok || matches(got, want, text)
		}
		if !ok {
			t.Errorf("of recipient %d the client was told %q, want %q or one of %q", i, got, c.want, c.later)
		}
	}
	c.recheck(t, k, l, o)
}

// recheck compares what the client was told with what the provider has, which
// must not change any more.
func (c *matrixCase) recheck(t *testing.T, k *stack, l letter, o outcome) {
	t.Helper()
	got, to := k.arrived(l), o.accepted(l)
	switch {
	case len(to) > 0 && len(got) != 1:
		t.Errorf("the client was told 250, the provider has %d copies", len(got))
	case len(to) > 0:
		checkCopy(t, got[0], l, to)
	case c.rule.Accept && len(got) != 1:
		t.Errorf("the provider took the message and said nothing, and has %d copies", len(got))
	case !c.rule.Accept && len(got) != 0:
		t.Errorf("the client was refused, the provider has %d copies", len(got))
	}
}

// matches compares a reply with the wanted one: the whole text if that is the provider's,
// else code and enhanced code.
func matches(got, want, text string) bool {
	if want == said {
		return got == text
	}
	return strings.HasPrefix(got, want+" ")
}

// deliver sends letters of user until one is accepted: the first, unless
// refusals are allowed. They must be passing ones, of letters that the provider
// does not have. It uses c while that is open, and other connections then.
func (k *stack) deliver(t testing.TB, c *client, user string, rcpts int, how style, refusals bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		l := newLetter(user, rcpts, contentSize)
		o, err := k.try(&c, l, how)
		to := o.accepted(l)
		if len(to) == rcpts {
			if got := k.arrived(l); len(got) != 1 {
				t.Fatalf("%s was told 250, the provider has %d copies", user, len(got))
			} else {
				checkCopy(t, got[0], l, to)
			}
			c.close()
			return
		}
		if len(to) > 0 {
			t.Fatalf("%s: only %v of %v were accepted: %+v", user, to, l.to, o)
		}
		if !refusals || time.Now().After(deadline) {
			t.Fatalf("%s: the next message was answered by %+v, %v", user, o, err)
		}
		var r refusal
		if told := o.told(0); told != "" && told[0] != '4' || errors.As(err, &r) && r[0] != '4' {
			t.Fatalf("%s: the next message was refused for good: %+v, %v", user, o, err)
		}
		if n := len(k.arrived(l)); n != 0 {
			t.Fatalf("%s was refused, the provider has %d copies", user, n)
		}
	}
}

// try sends one letter over *c, which it opens if need be and forgets when it
// has ended.
func (k *stack) try(c **client, l letter, how style) (o outcome, err error) {
	if *c == nil {
		if *c, err = k.login(l.user); err != nil {
			*c = nil
			return o, err
		}
	}
	if o = (*c).send(l, how); o.closing() {
		(*c).close()
		*c = nil
	}
	return o, o.err
}
