package smtpclient

import (
	"fmt"
	"testing"

	"xoauth2-proxy/codec"
)

// TestOwnerPanics: whatever the owner is told when it panics, the connection is closed,
// the owner hears of that once, and an exchange that was under way has ended once.
func TestOwnerPanics(t *testing.T) {
	run := func(c *client) {
		c.begin("", a)
		c.say(ok + ok)
		if c.state == open {
			c.proceed("hi\r\n")
			c.say(ok)
		}
	}
	fails := func(c *client) {
		c.begin("hi\r\n", a)
		c.sock.Break(errReset)
	}
	clears := func(c *client) {
		c.begin("", a)
		c.on["answered"] = func() { c.Clear(true) }
		c.say(ok + ok)
		c.say(ok)
	}
	for _, tt := range []struct {
		what  string
		run   func(c *client)
		ended int
	}{
		{"answered", run, 0},
		{"ended", run, 1},
		{"ended", fails, 1},
		{"ended", func(c *client) {
			c.begin("hi\r\n", a)
			c.sock.EndInput()
		}, 1},
		{"ended", func(c *client) {
			c.write = func(int) error { return errReset }
			c.begin("hi\r\n", a)
		}, 1},
		{"ended", func(c *client) {
			c.begin("hi\r\n", a)
			c.loop.Advance(testTimeouts.Final * 2)
		}, 1},
		{"ended", func(c *client) {
			c.begin("hi\r\n", a)
			c.loop.Do(func() { c.Conn.Fail(errReset) })
		}, 1},
		{"ended", func(c *client) {
			c.Offer.Size = 1
			c.begin("hi\r\n", a)
		}, 1},
		{"cleared", clears, 0},
		{"broken", func(c *client) { c.say(ok) }, 0},
		{"broken", func(c *client) { c.sock.EndInput() }, 0},
		{"broken", func(c *client) { c.sock.Break(errReset) }, 0},
		{"hold expired", func(c *client) {
			c.begin("", a)
			c.say(ok + ok)
			c.loop.Advance(testTimeouts.Hold * 2)
		}, 0},
		{"closed", fails, 1},
		{"closed", func(c *client) { c.loop.Do(func() { c.Clear(false) }); c.sock.EndInput() }, 0},
	} {
		for _, clear := range []bool{false, true} { // before it panics
			t.Run(fmt.Sprint(tt.what, "/asks for Clear: ", clear), func(t *testing.T) {
				c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
				c.on[tt.what] = func() {
					if clear {
						c.Clear(true)
					}
					panic("owner")
				}
				tt.run(c)
				c.loop.RunPosted()
				if c.state != closed || c.count("closed") != 1 || c.count("panicked") != 1 || len(c.ends) != tt.ended {
					t.Errorf("the connection is %v, the owner was told %v", c.state, c.told)
				}
			})
		}
	}
}

// TestWritePanics: a panic below the connection ends it. What came of the exchange is
// unknown then, even before the content.
func TestWritePanics(t *testing.T) {
	for _, o := range offers {
		_, writes := wholeFailing(t, o.ext, 3*TurnSize/len(line), -1, false)
		for n := range writes {
			for _, closes := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/write %d of %d/closes %v", o.name, n, writes, closes), func(t *testing.T) {
					c := newClient(t, newLoop(t), o.ext)
					writes := 0
					c.write = func(int) error {
						if writes++; writes-1 != n {
							return nil
						}
						if closes {
							c.sock.Conn.Close()
						}
						panic("write")
					}
					c.begin(big(3*TurnSize/len(line)), a)
					c.serve(&provider{})
					c.expectTold("panicked", "ended", "closed")
					if x := &c.Exchange; !x.Left || !x.Lost || x.Err == nil || !x.Reply.IsZero() || writes != n+1 {
						t.Errorf("outcome %s, %d writes", outcome(x), writes)
					}
				})
			}
		}
	}
}

// TestPanicDropsWhatWasGathered: nothing that was gathered for the connection that
// panics leaves by another one, whoever contains the panic.
func TestPanicDropsWhatWasGathered(t *testing.T) {
	l := newLoop(t)
	for _, what := range []string{"answered", "ended"} {
		c := newClient(t, l, codec.ExtPIPELINING)
		other := newClient(t, l, codec.ExtPIPELINING|codec.ExtCHUNKING)
		c.on[what] = func() {
			if err := c.conn.Gather([]byte("half a message")); err != nil {
				t.Error(err)
			}
			panic("amid gathering")
		}
		c.begin("", a)
		if what == "answered" {
			c.say(ok + ok)
		} else {
			c.say("550 5.7.1 no\r\n503 5.5.1 no\r\n")
		}
		c.expectState(closed)
		other.begin("hi\r\n", b)
		other.expect(mail + rcptB + "BDAT 4 LAST\r\nhi\r\n")
	}
}

// TestClosedBetween: the connection is closed between the replies and the content.
func TestClosedBetween(t *testing.T) {
	for _, o := range offers {
		t.Run(o.name, func(t *testing.T) {
			c := newClient(t, newLoop(t), o.ext)
			c.begin(big(3*TurnSize/len(line)), a)
			p := &provider{}
			for c.state != content {
				replies := p.read(c.groups[len(c.groups)-1])
				c.say(replies)
			}
			c.groups = nil
			c.loop.Do(c.Close) // a turn is posted
			c.expectTold("ended", "closed")
			c.loop.RunPosted()
			c.expect()
			if x := &c.Exchange; x.Left || !x.Lost || x.Err == nil {
				t.Errorf("outcome %s", outcome(x))
			}
		})
	}
}
