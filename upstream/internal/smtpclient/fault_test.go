package smtpclient

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

var errReset = errors.New("connection reset by peer")

// wholeFailing runs one message, small or of three turns, over a connection on which write
// fails at write n; it returns how many writes there were.
func wholeFailing(t *testing.T, ext codec.Extensions, lines, n int, several bool) (c *client, writes int) {
	c = newClient(t, newLoop(t), ext)
	p := &provider{}
	c.write = func(int) error {
		writes++
		if writes-1 == n {
			return errReset
		}
		return nil
	}
	if several {
		c.begin("", a, b)
		c.on["answered"] = func() { c.Conn.loop.Later(runner(func() { c.add(big(lines)); c.Continue() })) }
	} else {
		c.begin(big(lines), a)
	}
	c.serve(p)
	if len(c.ends) == 1 && c.Exchange.Reply.Code == 250 && (len(p.taken) != 1 || p.taken[0] != big(lines)) {
		t.Errorf("taken, but the provider has %s", short(p.taken))
	}
	return c, writes
}

// runner is a function that a loop runs.
type runner func()

func (f runner) Run() { f() }

// TestWriteFails: a write that fails ends the exchange and the connection. As long as
// the write with the end of the content has not been done, the provider has nothing.
func TestWriteFails(t *testing.T) {
	for _, o := range offers {
		for _, lines := range []int{1, 3 * TurnSize / len(line)} {
			for _, several := range []bool{false, true} {
				_, writes := wholeFailing(t, o.ext, lines, -1, several)
				for n := range writes {
					t.Run(fmt.Sprintf("%s/%d lines/several %v/write %d of %d", o.name, lines, several, n, writes), func(t *testing.T) {
						c, done := wholeFailing(t, o.ext, lines, n, several)
						if done != n+1 {
							t.Errorf("%d writes, %d should be the last one", done, n+1)
						}
						want := []string{"ended", "closed"}
						if slices.Contains(c.told, "answered") {
							want = []string{"answered", "ended", "closed"}
						}
						c.expectTold(want...)
						x := &c.Exchange
						if x.Left || !x.Lost || !errors.Is(x.Err, errReset) || !errors.Is(c.err, errReset) || !x.Reply.IsZero() {
							t.Errorf("outcome %s, closed by %v", outcome(x), c.err)
						}
					})
				}
			}
		}
	}
}

// stage is a state that a connection is brought to.
type stage struct {
	name  string
	state state
	ext   codec.Extensions
	reach func(c *client)
	phase string // of a failure there; "": no exchange is under way
	left  bool
	time  time.Duration // what the provider may take there; 0: any
}

// stages are all states but closed.
var stages = []stage{
	{"idle", idle, 0, func(*client) {}, "", false, 0},
	{"MAIL", envelope, 0, func(c *client) { c.begin("hi\r\n", a) }, "MAIL", false, testTimeouts.Command},
	{"RCPT", envelope, 0, func(c *client) { c.begin("hi\r\n", a); c.say(ok) }, "RCPT", false, testTimeouts.Command},
	{"the second RCPT", envelope, codec.ExtPIPELINING, func(c *client) { c.begin("", a, b); c.say(ok + ok) }, "RCPT", false, testTimeouts.Command},
	{"DATA", envelope, 0, func(c *client) { c.begin("hi\r\n", a); c.say(ok); c.say(ok) }, "DATA", false, testTimeouts.Data},
	{"pipelined DATA", envelope, codec.ExtPIPELINING, func(c *client) { c.begin("hi\r\n", a); c.say(ok + ok) }, "DATA", false, testTimeouts.Command},
	{"open", open, codec.ExtCHUNKING, func(c *client) { c.begin("", a); c.say(ok); c.say(ok) }, "", false, testTimeouts.Hold},
	{"content", content, codec.ExtCHUNKING, func(c *client) { c.begin(big(3*TurnSize/len(line)), a); c.say(ok); c.sock.Room = 10; c.say(ok) },
		"content", false, testTimeouts.Content},
	{"content by DATA", content, 0, func(c *client) {
		c.begin(big(3*TurnSize/len(line)), a)
		c.say(ok)
		c.say(ok)
		c.sock.Room = 10
		c.say(go354)
	}, "content", false, testTimeouts.Content},
	{"final", final, 0, func(c *client) { c.begin("hi\r\n", a); c.say(ok); c.say(ok); c.say(go354) }, "final reply", true, testTimeouts.Final},
	{"one flight", final, codec.ExtPIPELINING | codec.ExtCHUNKING, func(c *client) { c.begin("hi\r\n", a) }, "MAIL", true, testTimeouts.Final},
	{"the end is kept", final, codec.ExtCHUNKING, func(c *client) { c.begin("hi\r\n", a); c.say(ok); c.sock.Room = 3; c.say(ok) },
		"final reply", true, testTimeouts.Content},
	{"aborting", aborting, codec.ExtPIPELINING, func(c *client) { c.begin("hi\r\n", a); c.say(ok + "550 5.1.1 no\r\n" + go354) },
		"", false, testTimeouts.Data},
	{"clearing", clearing, 0, func(c *client) {
		c.begin("", a)
		c.sock.SetUnread(loop.InputUnread)
		c.on["ended"] = func() { c.Clear(true) }
		c.say("550 5.7.1 no\r\n")
	}, "", false, 0},
	{"resetting", resetting, 0, func(c *client) {
		c.begin("", a)
		c.on["ended"] = func() { c.Clear(true) }
		c.say("550 5.7.1 no\r\n")
	}, "", false, testTimeouts.Command},
	{"quitting", quitting, 0, func(c *client) { c.loop.Do(func() { c.Quit() }) }, "", false, testTimeouts.Quit},
	{"leaving", leaving, 0, func(c *client) { c.loop.Do(func() { c.Clear(false) }) }, "", false, testTimeouts.Quit},
}

// forStages runs a test in each state.
func forStages(t *testing.T, run func(c *client, s *stage)) {
	for i := range stages {
		s := &stages[i]
		t.Run(s.name, func(t *testing.T) {
			c := newClient(t, newLoop(t), s.ext)
			s.reach(c)
			c.expectState(s.state)
			c.told, c.groups = nil, nil
			run(c, s)
		})
	}
}

// expectFailure checks that the exchange under way, if there is one, has failed.
func (c *client) expectFailure(s *stage, err error) {
	c.t.Helper()
	switch x := &c.Exchange; {
	case s.state == aborting: // its answer is known
		c.expectOutcome("RCPT 550 5.1.1 no lost reset")
	case s.phase == "":
		if n := c.count("ended"); n != 0 {
			c.t.Errorf("%d exchanges have ended", n)
		}
	default:
		left := ""
		if s.left {
			left = " left"
		}
		c.expectOutcome(fmt.Sprintf("%s error: %v lost%s", s.phase, err, left))
		if !errors.Is(x.Err, err) {
			c.t.Errorf("error %v", x.Err)
		}
	}
	if s.phase != "" && c.count("ended") != 1 {
		c.t.Errorf("the owner was told %v", c.told)
	}
}

// TestReset: the connection breaks in each state.
func TestReset(t *testing.T) {
	forStages(t, func(c *client, s *stage) {
		c.sock.Break(errReset)
		c.expectState(closed)
		c.expectFailure(s, errReset)
		if !errors.Is(c.err, errReset) {
			t.Errorf("closed by %v", c.err)
		}
		c.loop.RunPosted()
		c.expect()
		c.loop.Do(func() {
			if c.Clear(true) || c.Quit() {
				t.Error("Clear or Quit of a closed connection promise another call")
			}
		})
	})
}

// TestEndOfInput: the provider ends what it says, in each state.
func TestEndOfInput(t *testing.T) {
	forStages(t, func(c *client, s *stage) {
		c.sock.SetUnread(loop.Ended)
		c.sock.EndInput()
		c.expectFailure(s, io.EOF)
		if c.Usable() {
			t.Error("the connection is usable")
		}
		switch s.state {
		case idle:
			c.expectTold("broken")
		case quitting, leaving, resetting:
			c.expectState(closed)
		}
		c.loop.RunPosted()
		if s.state == clearing {
			c.expectState(closed)
		}
		c.expect()
		c.sock.Take(0)
		c.expect()
	})
}

// TestTimeouts: each state ends in its time, and not before.
func TestTimeouts(t *testing.T) {
	forStages(t, func(c *client, s *stage) {
		if s.time == 0 {
			if c.loop.Advance(time.Hour); c.state != s.state || len(c.told) > 0 {
				t.Errorf("%v, the owner was told %v", c.state, c.told)
			}
			return
		}
		c.loop.Advance(s.time - loop.Tick)
		c.expectState(s.state)
		c.expectTold()
		c.loop.Advance(3 * loop.Tick)
		c.expectFailure(s, os.ErrDeadlineExceeded)
		switch s.state {
		case open:
			c.expectTold("hold expired")
		case resetting:
			c.expectState(leaving)
		case quitting, leaving:
			c.expectState(closed)
		}
		c.expect()
	})
}

// TestFail: the owner ends what is under way.
func TestFail(t *testing.T) {
	forStages(t, func(c *client, s *stage) {
		why := errors.New("no patience")
		c.loop.Do(func() { c.Conn.Fail(why) })
		c.expectFailure(s, why)
		switch s.state {
		case open, resetting, quitting, leaving:
			c.expectState(closed)
		case idle:
			c.expectTold("broken")
		}
		if c.Usable() {
			t.Error("the connection is usable")
		}
		c.loop.RunPosted()
		if s.state == clearing {
			c.expectState(leaving)
		}
		c.expect()
	})
}

// TestLeftWithTheLastWrite: Left is not set by any write but that of the end.
func TestLeftWithTheLastWrite(t *testing.T) {
	for _, o := range offers {
		t.Run(o.name, func(t *testing.T) {
			c, p := newClient(t, newLoop(t), o.ext), &provider{}
			end := "the end\r\n"
			c.write = func(n int) error {
				if c.Exchange.Left {
					t.Errorf("Left is set before %s", short(c.groups[n:]))
				}
				return nil
			}
			c.begin(big(3*TurnSize/len(line))+end, a)
			groups := c.serve(p)
			c.expectOutcome("final reply 250 2.0.0 OK left")
			if last := groups[len(groups)-1]; !strings.Contains(last, end) {
				t.Errorf("the last write is %s", short([]string{last}))
			}
		})
	}
}
