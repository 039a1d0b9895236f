package smtpclient

import (
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// atRest brings connections to each kind of rest.
var atRest = map[string]func(c *client){
	"new":  func(*client) {},
	"idle": func(c *client) { c.begin("hi\r\n", a); c.say(ok + ok + ok) },
	"open": func(c *client) { c.begin("", a); c.say(ok + ok) },
	"cleared": func(c *client) {
		c.on["ended"] = func() { c.Clear(true) }
		c.begin("", a)
		c.say("550 5.7.1 no\r\n503 5.5.1 no\r\n")
		c.loop.SetPolled(time.Now()) // before the reply to RSET
		c.say(ok)
	},
}

// TestLook: whether the connection can be used after a rest depends on what has come in
// since the loop last asked for everything.
func TestLook(t *testing.T) {
	const yes, no, ended = loop.NothingUnread, loop.InputUnread, loop.Ended
	for name, bring := range atRest {
		for _, tt := range []struct {
			name   string
			polled time.Duration // after the rest began
			look   time.Duration // after that
			unread loop.Unread
			want   Readiness
		}{
			{"polled before the rest", -time.Hour, 0, yes, Ready},
			{"polled before the rest, input", -time.Hour, 0, no, Pending},
			{"polled before the rest, ended", -time.Hour, 0, ended, Stale},
			{"polled just before the rest, input", -1, 2, no, Pending},
			{"polled just before the rest, ended", -1, 2, ended, Stale},
			{"polled at once, nothing", 1, recent - 1, yes, Ready},
			{"polled at once, input came after", 1, recent - 1, no, Ready},
			{"polled a while ago, nothing", 1, recent, yes, Ready},
			{"polled a while ago, input", 1, recent, no, Pending},
			{"polled a while ago, ended", 1, recent, ended, Stale},
		} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
				before := time.Now()
				bring(c)
				if since := c.Since(); name != "new" && (since.Before(before) || since.After(time.Now())) {
					t.Fatalf("the rest began %v ago", time.Since(since))
				}
				polled := c.Since().Add(tt.polled)
				if name != "cleared" || tt.polled > 0 {
					c.loop.SetPolled(polled)
				}
				c.sock.SetUnread(tt.unread)
				if got := c.Look(polled.Add(tt.look)); got != tt.want {
					t.Errorf("%v, want %v", got, tt.want)
				}
			})
		}
	}
}

// TestLookAgain: a connection whose input is never read is stale, and one whose input
// was nothing of SMTP is looked at anew.
func TestLookAgain(t *testing.T) {
	c := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING)
	looks := func(want ...Readiness) {
		t.Helper()
		for i, w := range want {
			if got := c.Look(time.Now()); got != w {
				t.Fatalf("look %d: %v, want %v", i, got, w)
			}
		}
	}
	for range 2 {
		c.sock.SetUnread(loop.InputUnread)
		looks(Pending, Pending, Pending, Stale, Stale)
		c.sock.SetUnread(loop.NothingUnread)
		looks(Ready)
	}
	c.sock.SetUnread(loop.InputUnread)
	looks(Pending, Pending)
	c.begin("", a)
	c.say(ok + ok)
	looks(Pending, Pending, Pending, Stale)
	c.loop.Do(c.Close)
	looks(Stale)
}
