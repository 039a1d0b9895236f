package smtpclient

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

// forOffers runs a test with each of the four offers, and with each cut of the replies
// of its steps.
func forOffers(t *testing.T, steps map[string][]step, run func(c *client, steps []step, cut int)) {
	for _, o := range offers {
		t.Run(o.name, func(t *testing.T) {
			for cut := -1; cut <= longest(steps[o.name]); cut++ {
				t.Run(fmt.Sprint("cut ", cut), func(t *testing.T) {
					run(newClient(t, newLoop(t), o.ext), steps[o.name], cut)
				})
			}
		})
	}
}

// TestWhole: a whole message goes in the groups that the offer allows, one write each.
func TestWhole(t *testing.T) {
	forOffers(t, map[string][]step{
		"none": {{mail, ok}, {rcptA, ok}, {"DATA\r\n", go354}, {"..dot\r\n.\r\n", "250-2.0.0 taken\r\n250 2.0.0 id\r\n"}},
		"PIPELINING": {{mail + rcptA + "DATA\r\n", ok + "250-2.1.5 yes\r\n250 2.1.5 fine\r\n" + go354},
			{"..dot\r\n.\r\n", "250-2.0.0 taken\r\n250 2.0.0 id\r\n"}},
		"CHUNKING": {{mail, ok}, {rcptA, "251 2.1.5 forwards\r\n"}, {"BDAT 6 LAST\r\n.dot\r\n", "250-2.0.0 taken\r\n250 2.0.0 id\r\n"}},
		"both":     {{mail + rcptA + "BDAT 6 LAST\r\n.dot\r\n", ok + ok + "250-2.0.0 taken\r\n250 2.0.0 id\r\n"}},
	}, func(c *client, steps []step, cut int) {
		for range 2 { // the connection carries more than one
			c.begin(".dot\r\n", a)
			c.play(steps, cut)
			c.expectTold("ended")
			c.expectState(idle)
			c.expectOutcome("final reply 250 2.0.0 taken / id left")
			if !c.Usable() {
				c.t.Fatal("the connection is not usable after a message that was taken")
			}
		}
		c.loop.Advance(testTimeouts.Hold * 10)
		c.expectTold()
		c.expectState(idle)
	})
}

// TestSeveral: recipients have their replies each, then the content follows.
func TestSeveral(t *testing.T) {
	no := "550-5.1.1 no\r\n550 5.1.1 such user\r\n"
	forOffers(t, map[string][]step{
		"none":       {{mail, ok}, {rcptA, "250 2.1.5 a\r\n"}, {rcptB, no}},
		"PIPELINING": {{mail + rcptA + rcptB, ok + "250 2.1.5 a\r\n" + no}},
		"CHUNKING":   {{mail, ok}, {rcptA, "250 2.1.5 a\r\n"}, {rcptB, no}},
		"both":       {{mail + rcptA + rcptB, ok + "250 2.1.5 a\r\n" + no}},
	}, func(c *client, steps []step, cut int) {
		c.begin("", a, b)
		c.play(steps, cut)
		c.expectTold("answered")
		c.expectState(open)
		c.proceed("", cc)
		c.play([]step{{rcptC, "450 4.2.1 later\r\n"}}, cut)
		c.expectTold("answered")
		got := ""
		for _, r := range c.Exchange.Rcpts {
			got += r.Reply.String() + "; "
		}
		if want := "250 2.1.5 a; 550 5.1.1 no / such user; 450 4.2.1 later; "; got != want {
			c.t.Fatalf("the recipients got %q, want %q", got, want)
		}
		c.proceed("hi\r\n")
		c.finish("hi\r\n")
		c.expectTold("ended")
		c.expectOutcome("final reply 250 2.0.0 OK left")
	})
}

// TestRecipientsAndContent: recipients and content that are added at once.
func TestRecipientsAndContent(t *testing.T) {
	for _, o := range offers {
		t.Run(o.name, func(t *testing.T) {
			c := newClient(t, newLoop(t), o.ext)
			c.begin("", a)
			groups := c.groups
			c.groups = nil
			c.say(ok)
			if len(groups[0]) == len(mail) {
				c.expect(rcptA)
			}
			c.say(ok)
			c.expectTold("answered")
			c.proceed("hi\r\n", b)
			c.expect(rcptB)
			c.say("550 5.1.1 no\r\n")
			c.finish("hi\r\n")
			c.expectTold("ended")
			c.expectOutcome("final reply 250 2.0.0 OK left")
			if r := c.ends[0].Rcpts[1].Reply; r.Code != 550 {
				t.Errorf("the refused recipient got %v", r)
			}
		})
	}
}

// TestRepeat: over another connection, only the recipients that were accepted are sent
// again, and all of them have to be accepted.
func TestRepeat(t *testing.T) {
	first := codec.Reply{Code: 250, Text: "first"}
	refused := codec.Reply{Code: 550, Text: "refused"}
	tests := []struct {
		name, again, outcome string
	}{
		{"accepted", ok, "final reply 250 2.0.0 OK left"},
		{"revoked", "550 5.1.1 gone\r\n",
			"RCPT 451 4.3.0 Not sent: the provider refuses a recipient that it accepted before: 550 5.1.1 gone own reset"},
		{"revoked for now", "450 4.2.1 busy\r\n",
			"RCPT 451 4.3.0 Not sent: the provider refuses a recipient that it accepted before: 450 4.2.1 busy own reset"},
		{"revoked by 421", "421 4.7.0 bye\r\n",
			"RCPT 451 4.3.0 Not sent: the provider refuses a recipient that it accepted before: 421 4.7.0 bye own lost reset"},
		{"354", go354, "RCPT protocol error lost"},
	}
	for _, o := range offers {
		for _, tt := range tests {
			for _, whole := range []bool{false, true} {
				t.Run(fmt.Sprint(o.name, "/", tt.name, "/with content ", whole), func(t *testing.T) {
					c := newClient(t, newLoop(t), o.ext)
					c.Exchange = Exchange{Mail: &codec.MailArgs{Path: []byte("from@example.com"), Size: -1}, Repeat: true}
					c.Exchange.Until = c.Since().Add(testTimeouts.Hold)
					c.add("", a, b, cc)
					c.Exchange.Rcpts[0].Reply, c.Exchange.Rcpts[1].Reply, c.Exchange.Rcpts[2].Reply = refused, first, first
					if whole {
						c.add("hi\r\n")
					}
					c.loop.Do(c.Begin)
					if o.ext.Has(codec.ExtPIPELINING) {
						c.expect(mail + rcptB + rcptC)
						c.say(ok + ok + tt.again)
					} else {
						c.expect(mail)
						c.say(ok)
						c.expect(rcptB)
						c.say(ok)
						c.expect(rcptC)
						c.say(tt.again)
					}
					if tt.again == ok && !whole {
						c.expectTold("answered")
						c.proceed("hi\r\n")
					}
					if tt.again == ok {
						c.finish("hi\r\n")
					}
					c.expect()
					c.expectOutcome(tt.outcome)
					rcpts := c.ends[0].Rcpts
					got := []codec.Reply{rcpts[0].Reply, rcpts[1].Reply, rcpts[2].Reply}
					if !slices.Equal(got, []codec.Reply{refused, first, first}) {
						t.Errorf("the replies that the client has became %v", got)
					}
				})
			}
		}
	}
}

// TestPromised: the refusal of a recipient is that of the transaction where the client
// was told 250 for it.
func TestPromised(t *testing.T) {
	for _, o := range offers {
		for _, promised := range []bool{false, true} {
			t.Run(fmt.Sprint(o.name, "/", promised), func(t *testing.T) {
				c := newClient(t, newLoop(t), o.ext)
				c.Exchange = Exchange{Mail: &codec.MailArgs{Path: []byte("from@example.com"), Size: -1}, Promised: promised}
				c.add("", a, b)
				c.loop.Do(c.Begin)
				c.say(ok)
				c.say("550 5.1.1 no\r\n")
				sent := strings.Join(c.groups, "")
				if !promised {
					c.say(ok)
					c.expectTold("answered")
					return
				}
				if o.ext.Has(codec.ExtPIPELINING) {
					c.say(ok)
				} else if strings.Contains(sent, "<b@") {
					t.Errorf("sent after the refusal: %q", sent)
				}
				c.expectTold("ended")
				c.expectOutcome("RCPT 550 5.1.1 no reset")
			})
		}
	}
}
