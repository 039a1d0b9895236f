package smtpclient

import (
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// refuse has an exchange refused, after which the owner asks for RSET.
func (c *client) refuse() {
	c.begin("", a)
	c.on["ended"] = func() {
		if !c.Clear(true) {
			c.t.Error("Clear says that the connection is closed")
		}
	}
	c.say("550 5.7.1 no\r\n503 5.5.1 no\r\n")
	c.expectTold("ended")
	c.expectOutcome("MAIL 550 5.7.1 no reset")
}

// expectLeft checks that our side is closed, and that the connection ends with the
// provider's side.
func (c *client) expectLeft() {
	c.t.Helper()
	c.expectState(leaving)
	if !c.sock.WriteClosed() {
		c.t.Error("our side is not closed")
	}
	c.say(ok) // is passed over
	c.expectState(leaving)
	c.sock.EndInput()
	c.expectState(closed)
	c.expect()
}

// TestClear: RSET makes the connection fit for another exchange, if it is taken and
// nothing else is said.
func TestClear(t *testing.T) {
	for _, tt := range []struct {
		name, reply string
		cleared     bool
	}{
		{"taken", ok, true},
		{"taken, of two lines", "250-2.0.0 a\r\n250 2.0.0 b\r\n", true},
		{"refused", "502 5.5.1 what\r\n", false},
		{"421", "421 4.7.0 bye\r\n", false},
		{"354", go354, false},
		{"garbage", "what?\r\n", false},
		{"a reply too many", ok + ok, false},
		{"half a reply too many", ok + "25", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
			c.refuse()
			c.expect(mail+rcptA, "RSET\r\n")
			c.say(tt.reply)
			if !tt.cleared {
				c.expectTold()
				c.expectLeft()
				c.expectTold("closed")
				return
			}
			c.expectTold("cleared")
			c.expectState(idle)
			c.loop.Advance(10 * testTimeouts.Hold)
			c.begin("hi\r\n", a)
			c.serve(&provider{})
			c.expectTold("ended")
			c.expectOutcome("final reply 250 2.0.0 OK left")
		})
	}
}

// TestClearInStep: the replies that are still due when the answer is known come before
// RSET. Here the exchange of one flight ends with the last of them.
func TestClearInStep(t *testing.T) {
	for _, o := range offers {
		t.Run(o.name, func(t *testing.T) {
			c, p := newClient(t, newLoop(t), o.ext), &provider{answers: map[string][]string{"RCPT": {"550 5.1.1 no\r\n", ok}}}
			c.on["ended"] = func() { c.Clear(c.Exchange.Reset) }
			c.begin("hi\r\n", a)
			c.serve(p)
			c.expectTold("ended", "cleared")
			c.begin("hi\r\n", a)
			c.serve(p)
			c.expectTold("ended")
			c.expectOutcome("final reply 250 2.0.0 OK left")
			if len(p.taken) != 1 {
				t.Errorf("the provider has %q", p.taken)
			}
		})
	}
}

// TestClearWithout: no RSET where the connection is of no use any more.
func TestClearWithout(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reset bool
		end   func(c *client)
	}{
		{"by the owner's wish", false, func(c *client) { c.say("550 5.7.1 no\r\n") }},
		{"after 421 with more", true, func(c *client) { c.say("421 4.7.0 bye\r\n" + ok) }},
		{"after a reply too many in the same record", true, func(c *client) { c.say("550 5.7.1 no\r\n" + ok) }},
		{"after half a reply too many", true, func(c *client) { c.say("550 5.7.1 no\r\n2") }},
		{"with FIN unread", true, func(c *client) { c.sock.SetUnread(loop.Ended); c.say("550 5.7.1 no\r\n") }},
		{"with a reply too many unread", true, func(c *client) {
			c.sock.SetUnread(loop.InputUnread)
			c.say("550 5.7.1 no\r\n")
			c.loop.RunOnce()
			c.expectState(clearing)
			c.sock.SetUnread(loop.NothingUnread)
			c.say(ok)
			c.loop.RunPosted()
		}},
		{"with something unread that is never read", true, func(c *client) {
			c.sock.SetUnread(loop.InputUnread)
			c.say("550 5.7.1 no\r\n")
			c.loop.RunPosted()
			c.sock.SetUnread(loop.NothingUnread)
		}},
		{"when the loop ends", true, func(c *client) {
			c.sock.SetUnread(loop.InputUnread)
			c.loop.End()
			c.say("550 5.7.1 no\r\n")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, newLoop(t), 0)
			c.on["ended"] = func() { c.Clear(tt.reset) }
			c.begin("", a)
			tt.end(c)
			c.expectTold("ended")
			c.expect(mail)
			c.expectLeft()
			c.expectTold("closed")
		})
	}
}

// TestClearOpen: the owner clears an open exchange, as when its client has gone, and
// when Hold is over.
func TestClearOpen(t *testing.T) {
	for _, expired := range []bool{false, true} {
		c := newClient(t, newLoop(t), codec.ExtPIPELINING)
		c.begin("", a)
		c.say(ok + ok)
		c.expectTold("answered")
		if expired {
			c.on["hold expired"] = func() { c.Clear(true) }
			c.loop.Advance(testTimeouts.Hold + 2*loop.Tick)
			c.expectTold("hold expired")
		} else {
			c.loop.Do(func() { c.Clear(true) })
		}
		c.expect(mail+rcptA, "RSET\r\n")
		c.say(ok)
		c.expectTold("cleared")
		c.begin("", b)
		c.expect(mail + rcptB)
	}
}

// TestClearKept: what is still kept when the connection is left cannot be waited for.
func TestClearKept(t *testing.T) {
	c := newClient(t, newLoop(t), 0)
	c.sock.Room = 3
	c.on["ended"] = func() { c.Clear(false) }
	c.begin("", a)
	c.say("421 4.7.0 bye\r\n")
	c.expectTold("ended", "closed")
	c.expectState(closed)
}

// TestQuit: QUIT on an idle connection, whatever the provider says to it.
func TestQuit(t *testing.T) {
	for name, end := range map[string]func(c *client){
		"221":     func(c *client) { c.say("221-2.0.0 so\r\n221 2.0.0 bye\r\n") },
		"refused": func(c *client) { c.say("421 4.7.0 bye\r\n") },
		"FIN":     func(c *client) { c.sock.EndInput() },
		"reset":   func(c *client) { c.sock.Break(errReset) },
		"garbage": func(c *client) { c.say("bye!\r\n"); c.loop.Advance(testTimeouts.Quit + 2*loop.Tick) },
		"nothing": func(c *client) { c.loop.Advance(testTimeouts.Quit + 2*loop.Tick) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, newLoop(t), 0)
			c.loop.Do(func() {
				if !c.Quit() {
					t.Error("Quit says that the connection is closed")
				}
			})
			c.expect("QUIT\r\n")
			c.expectTold()
			end(c)
			c.expectState(closed)
			c.expectTold("closed")
		})
	}
}

// TestQuitFails: the owner is told once that the connection is closed.
func TestQuitFails(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(c *client)
		told  []string
	}{
		"write fails":  {func(c *client) { c.write = func(int) error { return errReset } }, []string{"closed"}},
		"write panics": {func(c *client) { c.write = func(int) error { panic("write") } }, []string{"panicked", "closed"}},
		"broken":       {func(c *client) { c.say("421 4.4.2 bye\r\n"); c.expectTold("broken") }, []string{"closed"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, newLoop(t), 0)
			tt.spoil(c)
			c.loop.Do(func() {
				if !c.Quit() {
					t.Error("Quit says that Closed was called before")
				}
			})
			c.expectState(closed)
			c.expectTold(tt.told...)
			if name == "broken" {
				c.expect()
			}
		})
	}
}

// TestUnasked: what the provider says unasked is never taken for the reply to what is
// sent next: the connection is of no use any more.
func TestUnasked(t *testing.T) {
	for _, text := range []string{ok, "421 4.4.2 bye\r\n", "25", "\x00"} {
		t.Run("idle", func(t *testing.T) {
			c := newClient(t, newLoop(t), 0)
			c.say(text)
			c.expectTold("broken")
			c.say(text)
			c.expectTold()
			c.sock.EndInput()
			c.expectTold()
			if c.Usable() || c.Look(c.Since()) != Stale {
				t.Error("the connection is usable")
			}
		})
		t.Run("open", func(t *testing.T) {
			c := newClient(t, newLoop(t), codec.ExtPIPELINING)
			c.begin("", a)
			c.say(ok + ok)
			c.say(text)
			c.expectTold("answered")
			if c.Usable() || c.Look(c.Since()) != Stale {
				t.Error("the connection is usable")
			}
		})
		for _, same := range []bool{true, false} {
			t.Run("after the recipients' replies", func(t *testing.T) {
				c := newClient(t, newLoop(t), codec.ExtPIPELINING)
				c.begin("", a)
				if same {
					c.say(ok + ok + text)
				} else {
					c.say(ok + ok)
					c.say(text)
				}
				c.expectTold("answered")
				if c.Usable() || c.Look(c.Since()) != Stale {
					t.Error("the connection is usable")
				}
			})
			t.Run("after the last reply", func(t *testing.T) {
				c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
				usable := true
				c.on["ended"] = func() { usable = c.Usable() }
				c.begin("hi\r\n", a)
				if same {
					c.say(ok + ok + ok + text)
				} else {
					c.say(ok + ok + ok)
					c.say(text)
				}
				c.expectTold("ended", "broken")
				c.expectOutcome("final reply 250 2.0.0 OK left")
				if usable == same { // what comes later cannot be known
					t.Errorf("when the exchange ended, the connection was usable: %v", usable)
				}
				if c.Usable() || c.Look(c.Since()) != Stale {
					t.Error("the connection is usable")
				}
			})
		}
	}
}
