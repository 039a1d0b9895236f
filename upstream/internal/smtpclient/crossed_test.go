package smtpclient

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/codec"
)

// TestRefusalCrossedByContent: a refusal of the envelope that the content has crossed is
// the answer, and proves that nothing was taken, if nothing positive comes after it, and
// every later reply does or the provider ends the connection. Else the replies are out of
// step: the message may have been taken.
func TestRefusalCrossedByContent(t *testing.T) {
	type after struct {
		name   string
		what   func(c *client)
		proved bool
	}
	say := func(replies string) func(*client) { return func(c *client) { c.say(replies) } }
	endInput := func(c *client) { c.sock.EndInput() }
	both := func(first, then func(*client)) func(*client) { return func(c *client) { first(c); then(c) } }
	ends := []after{
		{"FIN", endInput, true},
		{"reset", func(c *client) { c.sock.Break(syscall.ECONNRESET) }, true},
		{"FIN in a reply", both(say("250 2.0.0 O"), endInput), false},
		{"reset in a reply", both(say("503-5.5.1 n"), func(c *client) { c.sock.Break(syscall.ECONNRESET) }), false},
		{"silence", func(c *client) { c.loop.Advance(testTimeouts.Final * 2) }, false},
		{"garbage", say("what\r\n"), false},
		{"our own end", func(c *client) { c.loop.Do(func() { c.Fail(net.ErrClosed) }) }, false},
		{"our own panic", func(c *client) { c.loop.Do(func() { defer c.contain(); panic("ours") }) }, false},
	}
	refusals := []struct {
		name, before string
		due          int // replies that are due after the refusal
	}{{"MAIL", "", 2}, {"RCPT", ok, 1}}
	for _, reply := range []string{"421 bye", "421 4.4.2 bye", "452 4.4.5 enough", "550 5.7.1 no"} {
		for _, r := range refusals {
			tests := ends
			if reply[:3] != "421" || r.due == 1 {
				tests = append(tests, after{"refusals", say(strings.Repeat("503 5.5.1 no\r\n", r.due)), true},
					after{"acceptance", say(strings.Repeat("503 5.5.1 no\r\n", r.due-1) + ok), false})
			}
			for _, tt := range tests {
				for _, more := range []bool{false, true} { // one refusal more comes before
					if more && (r.due == 1 || tt.name == "refusals" || tt.name == "acceptance") {
						continue
					}
					t.Run(fmt.Sprint(reply, "/", r.name, "/", tt.name, "/", more), func(t *testing.T) {
						c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
						c.begin("hi\r\n", a)
						c.say(r.before + reply + "\r\n")
						if more {
							c.say("503 5.5.1 no\r\n")
						}
						if c.count("ended") > 0 {
							t.Fatal("the exchange has ended before the other replies")
						}
						tt.what(c)
						if c.count("ended") != 1 {
							t.Fatalf("the owner was told %q", c.told)
						}
						x := &c.ends[0]
						if x.Untaken() != tt.proved || !x.Left || tt.proved != (x.Reply.String() == reply) {
							t.Errorf("outcome %q, nothing was taken: %t, want %t", outcome(x), x.Untaken(), tt.proved)
						}
						if !tt.proved && (!x.Reply.IsZero() || x.Err == nil) {
							t.Errorf("outcome %q tells of a refusal", outcome(x))
						}
						c.told = []string{"opened"}
						if c.state == closed {
							c.told = append(c.told, "closed")
						}
					})
				}
			}
		}
	}
}

// bdatRefusals are replies to BDAT, with whether they are about BDAT itself if the content
// is smaller than the announced SIZE.
var bdatRefusals = map[string]bool{
	"500 5.5.2 what": true, "502 5.5.1 not implemented": true, "504 5.5.4 no such parameter": true, "503 5.5.1 bad sequence": true,
	"552 5.3.4 too big": true,
	"552 5.2.2 full":    false, "552 too big": false, "501 5.5.4 syntax": false, "550 5.7.1 no": false, "554 5.6.0 no": false,
	"555 5.5.4 no": false, "450 4.2.1 later": false, "421 4.3.0 bye": false, "452 4.3.1 no room": false, "505 what": false,
}

// TestBDATRefused: a reply to BDAT that is about BDAT itself ends the connection, without
// a further command, and says so; a provider that accepts something after it may have
// taken what the content says.
func TestBDATRefused(t *testing.T) {
	for reply, about := range bdatRefusals {
		for _, o := range offers {
			for _, rcpts := range [][]string{{a}, {a, b}} {
				for _, behind := range []string{"", "500 5.5.2 what\r\n500 5.5.2 what\r\n", "500 5.5.2 what\r\n250 2.0.0 OK\r\n", "354 go\r\n"} {
					t.Run(fmt.Sprint(reply, "/", o.name, "/", len(rcpts), "/", behind), func(t *testing.T) {
						c := newClient(t, newLoop(t), o.ext)
						c.Offer.Size = 1000
						c.envelopeTaken("NOOP\r\n", rcpts...)
						if !o.ext.Has(codec.ExtCHUNKING) {
							c.say(go354)
						}
						c.groups = nil
						c.say(reply + "\r\n" + behind)
						c.expect()
						if len(c.ends) != 1 {
							t.Fatal("the exchange has not ended")
						}
						x, bdat := &c.ends[0], o.ext.Has(codec.ExtCHUNKING)
						if x.BDAT != bdat || x.NoBDAT != (bdat && about) {
							t.Fatalf("by BDAT: %t, of no use: %t", x.BDAT, x.NoBDAT)
						}
						if !x.NoBDAT {
							if x.Reply.String() != reply || !x.Untaken() {
								t.Errorf("outcome %q", outcome(x))
							}
							return
						}
						accepts := strings.Contains(behind, "250") || strings.Contains(behind, "354")
						if !x.Lost || x.Untaken() == accepts || accepts != x.Reply.IsZero() {
							t.Errorf("outcome %q, nothing was taken: %t", outcome(x), x.Untaken())
						}
					})
				}
			}
		}
	}
}

// TestBDATRefusedAfterRefusals: a refusal of BDAT after one of the envelope.
func TestBDATRefusedAfterRefusals(t *testing.T) {
	for reply, about := range map[string]bool{
		"500 5.5.2 what": true, "502 5.5.1 no": true, "504 5.5.4 no": true, "503 5.5.1 no MAIL": false, "552 5.3.4 too big": false,
	} {
		for _, envelope := range []string{"550 5.7.1 no\r\n503 5.5.1 no\r\n", ok + "550 5.1.1 no\r\n"} {
			c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
			c.Offer.Size = 1000
			c.begin("hi\r\n", a)
			c.say(envelope + reply + "\r\n")
			if x := &c.ends[0]; x.NoBDAT != about || x.Lost != about || x.Reply.Code != 550 {
				t.Errorf("%q after %q: outcome %q, BDAT of no use: %t", reply, envelope, outcome(x), x.NoBDAT)
			}
		}
	}
}

// TestRefusedBeforeTheCommandLeft: what has not left of big content cannot be read as a
// command.
func TestRefusedBeforeTheCommandLeft(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string
	}{
		{big(3*TurnSize/len(line)) + "DATA\r\n", "final reply 500 5.5.2 what lost reset"},
		{"DATA\r\n" + big(3*TurnSize/len(line)), "final reply protocol error lost reset left"},
	} {
		c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
		c.begin(tt.text, a)
		c.say(ok + ok)
		c.say("500 5.5.2 what\r\n")
		c.expectOutcome(tt.want)
		if x := &c.ends[0]; !x.NoBDAT || x.Untaken() == x.Left {
			t.Errorf("BDAT of no use: %t, nothing was taken: %t", x.NoBDAT, x.Untaken())
		}
	}
}

// TestSilence: how long the provider has not answered the content is known if that was all
// that it had to answer, and it had all of the content.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replies string
		until   time.Duration
		want    time.Duration
	}{
		{"all of the time", ok + ok, time.Hour, testTimeouts.Final},
		{"what was left of it", ok + ok, 10 * time.Second, 10 * time.Second},
		{"MAIL is not answered", "", time.Hour, 0},
		{"the recipient is not answered", ok, time.Hour, 0},
	} {
		c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
		c.Exchange = Exchange{Mail: &codec.MailArgs{Path: []byte("from@example.com"), Size: -1}, Until: time.Now().Add(tt.until)}
		c.add("hi\r\n", a)
		c.loop.Do(c.Begin)
		if tt.replies != "" {
			c.say(tt.replies)
		}
		c.loop.Advance(2 * testTimeouts.Final)
		if x := &c.ends[0]; x.Silence < tt.want-time.Second || x.Silence > tt.want+time.Second || !errors.Is(x.Err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: silent for %v, want %v; error %v", tt.name, x.Silence, tt.want, x.Err)
		}
	}
}

// TestTooBigForTheAnnouncedSize: 552 5.3.4 is about BDAT only below a SIZE that is
// announced.
func TestTooBigForTheAnnouncedSize(t *testing.T) {
	for size, about := range map[int64]bool{0: false, 4: false, 5: true} {
		c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
		c.Offer.Size = size
		c.begin("hi\r\n", a)
		c.say(ok + ok + "552 5.3.4 too big\r\n")
		if x := &c.ends[0]; x.NoBDAT != about {
			t.Errorf("SIZE %d: BDAT of no use: %t, want %t", size, x.NoBDAT, about)
		}
	}
}

// envelopeTaken sends a message whose envelope the provider accepts, up to the content or
// DATA.
func (c *client) envelopeTaken(content string, rcpts ...string) {
	c.t.Helper()
	if len(rcpts) == 1 {
		c.begin(content, rcpts...)
	} else {
		c.begin("", rcpts...)
	}
	c.say(ok)
	for range rcpts {
		c.say(ok)
	}
	if len(rcpts) > 1 {
		c.expectTold("answered")
		c.proceed(content)
	}
}

// TestKeep: content that may have to be sent again stays when its end has left, and its
// memory is given back else.
func TestKeep(t *testing.T) {
	for _, o := range offers {
		for _, keep := range []bool{false, true} {
			c := newClient(t, newLoop(t), o.ext)
			c.Exchange.Keep = keep
			c.begin("", a)
			c.Exchange.Keep = keep
			c.say(ok)
			c.say(ok)
			c.proceed(".hi\r\n")
			content := c.Exchange.Content
			if !o.ext.Has(codec.ExtCHUNKING) {
				c.say(go354)
			}
			if kept := content.NumSegments() == 1; !c.Exchange.Left || kept != keep {
				t.Fatalf("%s: left %t, kept %t, want %t", o.name, c.Exchange.Left, kept, keep)
			}
			if keep && string(content.Segment(0)) != ".hi\r\n" {
				t.Errorf("%s: %q was kept", o.name, content.Segment(0))
			}
		}
	}
}

// TestClosedConnection: an exchange that a closed connection is to begin or to continue
// ends, and Closed is not told again.
func TestClosedConnection(t *testing.T) {
	for _, o := range offers {
		c := newClient(t, newLoop(t), o.ext)
		c.Close()
		c.begin("hi\r\n", a)
		c.expectOutcome("MAIL error: use of closed network connection lost")
		c.expectTold("broken", "closed", "ended")
		c.told = []string{"closed"}

		c = newClient(t, newLoop(t), o.ext)
		c.begin("", a)
		c.say(ok)
		c.say(ok)
		c.Close()
		c.expectTold("answered", "closed")
		c.proceed("hi\r\n")
		c.expectOutcome("RCPT error: use of closed network connection lost")
		c.told = []string{"closed"}
	}
}
