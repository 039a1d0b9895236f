package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// What the provider answers to a recipient.
type verdict byte

const (
	accepted  verdict = '2'
	transient verdict = '4'
	refused   verdict = '5'
)

// recipientFaults has the provider answer to each address what its name says.
var recipientFaults = []sandbox.Rule{
	{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Recipient: "*@4.example.com", Reply: "450 4.2.1 Busy\n4.2.1 come back"},
	{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Recipient: "*@5.example.com", Reply: "550 5.1.1 No such user\n5.1.1 at all"},
}

func (v verdict) address(i int) string { return fmt.Sprintf("r%d@%c.example.com", i, v) }

// reply is the provider's, as the client must see it.
func (v verdict) reply() string {
	switch v {
	case transient:
		return "450-4.2.1 Busy\n450 4.2.1 come back"
	case refused:
		return "550-5.1.1 No such user\n550 5.1.1 at all"
	}
	return "250 2.1.5 "
}

// TestRecipients has every mix of answers to four recipients, and checks the
// rule: no recipient was told 250 and does not have the message, and none was refused
// and has it.
func TestRecipients(t *testing.T) {
	k := newStack(t)
	provider.Faults(t, k.sandbox, recipientFaults...)
	verdicts := []verdict{accepted, transient, refused}
	var mixes [][]verdict
	for _, a := range verdicts {
		mixes = append(mixes, []verdict{a})
		for _, b := range verdicts {
			mixes = append(mixes, []verdict{a, b})
			for _, c := range verdicts {
				mixes = append(mixes, []verdict{a, b, c}, []verdict{a, b, c, accepted})
			}
		}
	}
	for _, user := range []string{gmailUser, plainUser} {
		for _, pipelined := range []bool{false, true} {
			for _, verb := range []string{"DATA", "BDAT"} {
				name := fmt.Sprintf("user=%s/pipelined=%v/verb=%s", user, pipelined, verb)
				t.Run(name, func(t *testing.T) {
					c := k.login(t, user)
					for _, mix := range mixes {
						checkMix(t, k, c, user, mix, pipelined, verb)
					}
					c.Cmd("QUIT", "221")
				})
			}
		}
	}
}

// checkMix sends one message and compares what each recipient was told with
// what the provider has.
func checkMix(t *testing.T, k *stack, c *client, user string, mix []verdict, pipelined bool, verb string) {
	t.Helper()
	if err := k.sandbox.ClearMessages(); err != nil {
		t.Fatal(err)
	}
	const body = "text\r\n"
	content := "DATA\r\n"
	if verb == "BDAT" {
		content = fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body)
	}
	told := make([]string, len(mix))
	if pipelined {
		group := "MAIL FROM:<a@example.com>\r\n"
		for i, v := range mix {
			group += "RCPT TO:<" + v.address(i) + ">\r\n"
		}
		c.Send(group + content)
		c.Expect("250 2.1.0 ")
		for i := range mix {
			told[i] = c.Expect("")
		}
	} else {
		c.Cmd("MAIL FROM:<a@example.com>", "250 2.1.0 ")
		for i, v := range mix {
			told[i] = c.Cmd("RCPT TO:<"+v.address(i)+">", "")
		}
		c.Send(content)
	}
	final := c.Expect("")
	if strings.HasPrefix(final, "354") {
		c.Send(body + ".\r\n")
		final = c.Expect("")
	}

	// What each is to be told: what the provider says. Where the first one had
	// to be told 250 before the others came, and the provider refuses it, the
	// others are told 452 4.5.3, and the content gets its refusal.
	promised := (!pipelined || len(mix) == 1) && mix[0] != accepted
	for i, v := range mix {
		want := v.reply()
		switch {
		case promised && i == 0:
			want = accepted.reply()
		case promised:
			want = "452 4.5.3 "
		}
		if !strings.HasPrefix(told[i], want) {
			t.Errorf("%s: recipient %d is told %q, want %q", mix, i, told[i], want)
		}
	}
	wantFinal := "250 2.0.0 "
	switch {
	case promised:
		wantFinal = mix[0].reply()
	case !slices.Contains(mix, accepted):
		wantFinal = "554 5.5.1 "
	}
	if !strings.HasPrefix(final, wantFinal) {
		t.Errorf("%s: the message is told %q, want %q", mix, final, wantFinal)
	}

	// And is it so?
	var want []string
	for i, v := range mix {
		if strings.HasPrefix(told[i], "250") && strings.HasPrefix(final, "250") {
			want = append(want, v.address(i))
		}
	}
	var got []string
	for _, m := range k.sandbox.Messages() {
		if string(m.Body) != body || m.Account != user {
			t.Errorf("%s: the provider has %q under %s", mix, m.Body, m.Account)
		}
		got = append(got, provider.Paths(m)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: the provider has the message for %q, told 250 were %q", mix, got, want)
	}
}

// TestHundredRecipients sends a message to the hundred that RFC 5321 section
// 4.5.3.1.8 asks for, some of which the provider refuses.
func TestHundredRecipients(t *testing.T) {
	k := newStack(t)
	provider.Faults(t, k.sandbox, recipientFaults...)
	group := "MAIL FROM:<a@example.com>\r\n"
	var all []verdict
	for i := range 100 {
		v := accepted
		if i%7 == 3 {
			v = refused
		} else if i%11 == 5 {
			v = transient
		}
		all = append(all, v)
		group += "RCPT TO:<" + v.address(i) + ">\r\n"
	}
	c := k.login(t, gmailUser)
	c.Send(group + "DATA\r\n")
	c.Expect("250 2.1.0")
	var want []string
	for i, v := range all {
		c.Expect(v.reply())
		if v == accepted {
			want = append(want, v.address(i))
		}
	}
	c.Expect("354")
	c.Send("text\r\n.\r\n")
	c.Expect("250 2.0.0")
	checkMessage(t, provider.Messages(t, k.sandbox, 1)[0], "a@example.com", want, "text\r\n")
}

// TestOpenTransactionLeft ends transactions that are open upstream in every
// way a client may, and looks whether the provider's connection is still good
// for the next message: nothing of the old one may be in it.
func TestOpenTransactionLeft(t *testing.T) {
	tests := []struct {
		name  string
		leave func(*client)
	}{
		{"RSET", func(c *client) { c.Cmd("RSET", "250 2.0.0"); c.Cmd("QUIT", "221") }},
		{"EHLO", func(c *client) { c.Cmd("EHLO again.example.com", "250"); c.Cmd("QUIT", "221") }},
		{"QUIT", func(c *client) { c.Cmd("QUIT", "221") }},
		{"closed", (*client).close},
		{"reset", (*client).Reset},
		{"closed in DATA", func(c *client) { c.Cmd("DATA", "354"); c.Send("half a line"); c.close() }},
		{"closed in BDAT", func(c *client) { c.Send("BDAT 100 LAST\r\nhalf"); c.close() }},
		{"refused content", func(c *client) { c.Data("bare\nLF\r\n", "554 5.6.0"); c.Cmd("QUIT", "221") }},
	}
	k := newStack(t)
	for _, user := range []string{gmailUser, plainUser} {
		for _, tt := range tests {
			t.Run(user+"/"+tt.name, func(t *testing.T) {
				if err := k.sandbox.ClearMessages(); err != nil {
					t.Fatal(err)
				}
				c := k.login(t, user)
				c.Mail("left@example.com", "one@example.com", "two@example.com")
				tt.leave(c)
				c = k.login(t, user)
				c.Mail("a@example.com", "three@example.com")
				c.Data("text\r\n", "250 2.0.0")
				c.Cmd("QUIT", "221")
				checkMessage(t, provider.Messages(t, k.sandbox, 1)[0], "a@example.com", []string{"three@example.com"}, "text\r\n")
				testkit.Eventually(t, "the budget is given back", func() bool { return k.budget.Used() == 0 })
			})
		}
	}
	if v := k.sandbox.Stats().Violations; len(v) > 0 {
		t.Errorf("the provider saw breaches of protocol: %v", v)
	}
}

// TestUpstreamLostAfterRecipients has the provider's connection die once
// recipients were accepted: the envelope is repeated over another connection, which
// has the message once.
func TestUpstreamLostAfterRecipients(t *testing.T) {
	k := newStack(t)
	c := k.login(t, gmailUser)
	c.Mail("a@example.com", "one@example.com", "two@example.com")
	k.sandbox.Disconnect()
	c.Cmd("DATA", "354")
	c.Send("text\r\n.\r\n")
	c.Expect("250 2.0.0")
	if got := k.sandbox.Messages(); len(got) != 1 {
		t.Errorf("the provider has %d messages, want 1", len(got))
	}
	c.Mail("a@example.com", "one@example.com", "two@example.com")
	c.Data("text\r\n", "250 2.0.0")
	provider.Messages(t, k.sandbox, 2)
}
