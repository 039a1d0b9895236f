package smtpclient

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
)

// TestRefusals: each command of a whole message is refused, for good and by 421. That
// refusal is the answer, and Left says whether the content was on its way.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name    string
		answers map[string][]string
		// outcomes with none, PIPELINING, CHUNKING and both. {} is the reply.
		outcomes [4]string
	}{
		{"MAIL", map[string][]string{"MAIL": {"{}"}},
			[4]string{"MAIL {} reset", "MAIL {} reset", "MAIL {} reset", "MAIL {} reset left"}},
		{"RCPT", map[string][]string{"RCPT": {"{}"}},
			[4]string{"RCPT {} reset", "RCPT {} reset", "RCPT {} reset", "RCPT {} reset left"}},
		{"DATA", map[string][]string{"DATA": {"{}"}, "BDAT": {"{}"}},
			[4]string{"DATA {} reset", "DATA {} reset", "final reply {} reset left", "final reply {} reset left"}},
		{"content", map[string][]string{".": {"{}"}, "BDAT": {"{}"}},
			[4]string{"final reply {} reset left", "final reply {} reset left", "final reply {} reset left", "final reply {} reset left"}},
		{"MAIL, but 354", map[string][]string{"MAIL": {"{}"}, "DATA": {go354}},
			[4]string{"MAIL {} reset", "MAIL {} reset", "MAIL {} reset", "MAIL {} reset left"}},
		{"RCPT, but 354", map[string][]string{"RCPT": {"{}"}, "DATA": {go354}},
			[4]string{"RCPT {} reset", "RCPT {} reset", "RCPT {} reset", "RCPT {} reset left"}},
		{"RCPT, but 354, and nothing is taken", map[string][]string{"RCPT": {"{}"}, "DATA": {go354}, ".": {ok}},
			[4]string{"RCPT {} reset", "RCPT {} reset", "RCPT {} reset", "RCPT {} reset left"}},
	}
	for _, reply := range []string{"550 5.7.1 no", "421 4.7.0 bye"} {
		for i, o := range offers {
			for _, tt := range tests {
				t.Run(fmt.Sprint(reply[:3], "/", o.name, "/", tt.name), func(t *testing.T) {
					c, p := newClient(t, newLoop(t), o.ext), &provider{answers: make(map[string][]string)}
					for verb, all := range tt.answers {
						p.answers[verb] = []string{strings.ReplaceAll(all[0], "{}", reply+"\r\n")}
					}
					c.begin("hi\r\n", a)
					sent := strings.Join(c.serve(p), "")
					if p.closed && len(c.ends) == 0 { // the content has crossed the 421
						c.sock.EndInput()
					}
					want := strings.ReplaceAll(tt.outcomes[i], "{}", reply)
					if reply[:3] == "421" {
						want = strings.ReplaceAll(want, " reset", " lost reset")
					}
					c.expectOutcome(want)
					c.expectTold("ended")
					if left := strings.Contains(sent, "hi\r\n"); left != c.Exchange.Left {
						t.Errorf("Left is %v, sent was %q", c.Exchange.Left, sent)
					}
					if c.Usable() != (reply[:3] != "421") {
						t.Errorf("usable: %v", c.Usable())
					}
				})
			}
		}
	}
}

// TestOddReplies: each command is answered by lines of differing codes, by a line without a
// code, or by what no terminal should get. The answer is a refusal of the class that all
// lines have, in printable characters.
func TestOddReplies(t *testing.T) {
	for _, tt := range []struct{ reply, plain, utf8 string }{ // "": a protocol error
		{"550-5.1.1 a\r\n554 5.1.1 b\r\n", "554 5.1.1 a / b", "554 5.1.1 a / b"},
		{"450-a\r\n451 b\r\n", "451 a / b", "451 a / b"},
		{"550-5.7.1 a\r\nb\r\n550 5.7.1 c\r\n", "550 5.7.1 a / b / c", "550 5.7.1 a / b / c"},
		{"550-a\r\n450 b\r\n", "", ""},
		{"550 5.1.1 \x1b[31m caf\u00e9 \xff\r\n", "550 5.1.1 ?[31m caf? ?", "550 5.1.1 ?[31m caf\u00e9 ?"},
	} {
		for _, verb := range []string{"MAIL", "RCPT", "DATA", ".", "BDAT"} {
			for _, o := range offers {
				if chunks := o.ext.Has(codec.ExtCHUNKING); verb == "BDAT" && !chunks || (verb == "DATA" || verb == ".") && chunks {
					continue
				}
				for _, keep := range []bool{false, true} {
					want := tt.plain
					if keep {
						want = tt.utf8
					}
					c, p := newClient(t, newLoop(t), o.ext|codec.ExtSMTPUTF8), &provider{answers: map[string][]string{verb: {tt.reply}}}
					c.Exchange = Exchange{Mail: &codec.MailArgs{Size: -1, SMTPUTF8: keep}, Until: time.Now().Add(time.Hour)}
					c.add("hi\r\n", a)
					c.loop.Do(c.Begin)
					c.serve(p)
					x := c.ends[0]
					if want == "" && !errors.Is(x.Err, ErrProtocol) || want != "" && x.Reply.String() != want {
						t.Errorf("%q to %s, %s, UTF-8 %v: %q, %v; want %q", tt.reply, verb, o.name, keep, x.Reply, x.Err, want)
					}
				}
			}
		}
	}
}

// TestAbort: where the envelope was refused and DATA has its 354 all the same, "." ends
// the content at once.
func TestAbort(t *testing.T) {
	for end, want := range map[string]string{
		"554 5.5.1 no recipients\r\n": "RCPT 550 5.1.1 no reset",
		"250 2.0.0 taken\r\n":         "RCPT 550 5.1.1 no reset",
		"421 4.7.0 bye\r\n":           "RCPT 550 5.1.1 no lost reset",
	} {
		t.Run(end[:3], func(t *testing.T) {
			c := newClient(t, newLoop(t), codec.ExtPIPELINING)
			c.begin("hi\r\n", a)
			c.expect(mail + rcptA + "DATA\r\n")
			c.say(ok + "550 5.1.1 no\r\n" + go354)
			c.expect(".\r\n")
			c.expectTold()
			c.expectState(aborting)
			c.say(end)
			c.expect()
			c.expectTold("ended")
			c.expectOutcome(want)
		})
	}
}

// TestSeveralRefused: MAIL, or a recipient by 421, refuses the transaction of several
// recipients.
func TestSeveralRefused(t *testing.T) {
	for _, o := range offers {
		for _, tt := range []struct {
			name    string
			answers map[string][]string
			outcome string
		}{
			{"MAIL", map[string][]string{"MAIL": {"550 5.7.1 no\r\n"}}, "MAIL 550 5.7.1 no reset"},
			{"MAIL by 421", map[string][]string{"MAIL": {"421 4.7.0 bye\r\n"}}, "MAIL 421 4.7.0 bye lost reset"},
			{"the second RCPT by 421", map[string][]string{"RCPT": {ok, "421 4.7.0 bye\r\n"}}, "RCPT 421 4.7.0 bye lost reset"},
			{"MAIL, but RCPT is accepted", map[string][]string{"MAIL": {"550 no\r\n"}, "RCPT": {ok}}, ""},
			{"the last RCPT by 354", map[string][]string{"RCPT": {ok, ok, go354}}, "RCPT protocol error lost"},
		} {
			t.Run(o.name+"/"+tt.name, func(t *testing.T) {
				c, p := newClient(t, newLoop(t), o.ext), &provider{answers: tt.answers}
				c.begin("", a, b, cc)
				c.serve(p)
				want := tt.outcome
				switch { // one at a time, nothing is sent after a refusal of MAIL
				case want != "":
					c.expectTold("ended")
				case o.ext.Has(codec.ExtPIPELINING):
					want = "MAIL protocol error lost reset"
				default:
					want = "MAIL 550 no reset"
				}
				c.expectOutcome(want)
			})
		}
	}
}

// TestStrangeReplies: what SMTP does not allow there ends the exchange, and with it the
// use of the connection. Nothing that was said counts.
func TestStrangeReplies(t *testing.T) {
	pipe, bdat, all := codec.ExtPIPELINING, codec.ExtCHUNKING, codec.ExtPIPELINING|codec.ExtCHUNKING
	for _, tt := range []struct {
		name    string
		ext     codec.Extensions
		replies []string // each to what was written before
		outcome string
	}{
		{"354 to MAIL", 0, []string{go354}, "MAIL protocol error lost"},
		{"354 to RCPT", 0, []string{ok, go354}, "RCPT protocol error lost"},
		{"250 to DATA", 0, []string{ok, ok, ok}, "DATA protocol error lost"},
		{"334 to DATA", 0, []string{ok, ok, "334 what\r\n"}, "DATA protocol error lost"},
		{"354 to the content", 0, []string{ok, ok, go354, go354}, "final reply protocol error lost left"},
		{"354 to BDAT", bdat, []string{ok, ok, go354}, "final reply protocol error lost left"},
		{"no reply", 0, []string{"hello\r\n"}, "MAIL protocol error lost"},
		{"no reply to the content", all, []string{ok + ok + "250x\r\n"}, "final reply protocol error lost left"},
		{"two codes", 0, []string{"250-a\r\n251 b\r\n"}, "MAIL protocol error lost"},
		{"1yz", 0, []string{"150 wait\r\n"}, "MAIL protocol error lost"},
		{"too long", 0, []string{strings.Repeat("250-x\r\n", codec.MaxReply/7+1)}, "MAIL protocol error lost"},
		{"too long a line", 0, []string{"450 " + strings.Repeat("x", codec.MaxReply)}, "MAIL protocol error lost"},
		{"RCPT accepted after MAIL was refused", pipe, []string{"550 no\r\n" + ok}, "MAIL protocol error lost reset"},
		{"content accepted after MAIL was refused", all, []string{"550 no\r\n550 no\r\n" + ok}, "final reply protocol error lost reset left"},
		{"content accepted after RCPT was refused", all, []string{ok + "550 no\r\n" + ok}, "final reply protocol error lost reset left"},
		{"354 to BDAT after RCPT was refused", all, []string{ok + "550 no\r\n" + go354}, "final reply protocol error lost reset left"},
		{"a reply too many before", pipe, []string{ok + ok + ok}, "DATA protocol error lost"},
		// What came before a command was sent cannot be its reply.
		{"more than the reply to MAIL", 0, []string{ok + ok}, "MAIL error: the provider said more than it was asked for lost"},
		{"more than the reply to RCPT", 0, []string{ok, ok + go354}, "RCPT error: the provider said more than it was asked for lost"},
		{"more than the reply to RCPT, before BDAT", bdat, []string{ok, ok + ok}, "RCPT error: the provider said more than it was asked for lost"},
		{"more than 354", 0, []string{ok, ok, go354 + ok}, "DATA error: the provider said more than it was asked for lost"},
		{"half a reply more than 354", 0, []string{ok, ok, go354 + "2"}, "DATA error: the provider said more than it was asked for lost"},
		{"more than 354, pipelined", pipe, []string{ok + ok + go354 + ok}, "DATA error: the provider said more than it was asked for lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, newLoop(t), tt.ext)
			c.begin("hi\r\n", a)
			for _, r := range tt.replies {
				c.say(r)
			}
			if c.count("ended") != 1 {
				t.Errorf("the owner was told %v", c.told)
			}
			c.expectOutcome(tt.outcome)
			if !c.Exchange.Reply.IsZero() {
				t.Errorf("reply %v", c.Exchange.Reply)
			}
			groups := len(c.groups)
			c.say(ok + ok)
			if c.Usable() || len(c.groups) != groups {
				t.Errorf("usable %v, written %q", c.Usable(), c.groups[groups:])
			}
		})
	}
}

// TestCannotCarry: what the provider does not offer is not asked of it.
func TestCannotCarry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		offer  Offer
		mail   codec.MailArgs
		max    int64
		text   string
		answer int
	}{
		{"SMTPUTF8", Offer{}, codec.MailArgs{SMTPUTF8: true, Path: []byte("\xc3\xbc@example.com")}, 0, "", codec.ReplyNoUTF8Upstream.Code},
		{"8BITMIME", Offer{}, codec.MailArgs{Body: codec.Body8BitMIME}, 0, "\xe9\r\n", 554},
		{"BINARYMIME without CHUNKING", Offer{Extensions: codec.ExtBINARYMIME}, codec.MailArgs{Body: codec.BodyBinaryMIME}, 0, "", 554},
		{"SIZE declared", Offer{Size: 3}, codec.MailArgs{Size: 4}, 0, "", 552},
		{"SIZE of the content", Offer{Size: 3}, codec.MailArgs{Size: -1}, 0, "1234", 552},
		{"SIZE of the account", Offer{Size: 5}, codec.MailArgs{Size: -1}, 3, "1234", 552},
		{"all is well", Offer{Size: 4}, codec.MailArgs{Size: 9}, 4, "1234", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, newLoop(t), 0)
			c.Offer = tt.offer
			c.Exchange = Exchange{Mail: &tt.mail, MaxSize: tt.max, Until: c.Since().Add(testTimeouts.Hold)}
			c.add(tt.text, a)
			c.loop.Do(c.Begin)
			if tt.answer == 0 {
				c.expect("MAIL FROM:<>\r\n")
				return
			}
			c.expect()
			c.expectTold("ended")
			if x := c.Exchange; x.Reply.Code != tt.answer || !x.Own || x.Lost || x.Reset || x.Left {
				t.Errorf("outcome %s", outcome(&x))
			}
		})
	}
	t.Run("size of content that is added", func(t *testing.T) {
		c := newClient(t, newLoop(t), 0)
		c.Offer.Size = 3
		c.begin("", a)
		c.say(ok)
		c.say(ok)
		c.proceed("1234")
		c.expect(mail, rcptA)
		c.expectTold("answered", "ended")
		if x := c.Exchange; x.Reply.Code != 552 || !x.Own || x.Lost || !x.Reset || x.Left {
			t.Errorf("outcome %s", outcome(&x))
		}
	})
}
