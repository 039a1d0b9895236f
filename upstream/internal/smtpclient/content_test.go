package smtpclient

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// line is 64 octets of content. Each begins with a dot.
const line = ".123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"

// big is content of n lines.
func big(n int) string { return strings.Repeat(line, n) }

// neighbour is another connection's turn on the loop.
type neighbour struct{ turns *[]string }

func (n neighbour) Run() { *n.turns = append(*n.turns, "neighbour") }

// TestTurns: big content leaves in a turn of TurnSize and then in long ones, as they leave
// at once, and what else the loop has to do comes between them.
func TestTurns(t *testing.T) {
	const lines = (TurnSize+2*longTurn)/len(line) + 100
	for _, o := range offers {
		t.Run(o.name, func(t *testing.T) {
			l := newLoop(t)
			c, p := newClient(t, l, o.ext), &provider{}
			var turns []string
			c.write = func(n int) error {
				if len(c.groups[n]) > recordSize {
					turns = append(turns, "turn")
					l.Post(neighbour{&turns})
				}
				return nil
			}
			c.begin(big(lines), a)
			var sent []string
			for range 100 {
				replies := p.read(strings.Join(c.groups, ""))
				sent = append(sent, c.groups...)
				if c.groups = nil; replies != "" {
					c.say(replies)
				}
				l.RunOnce()
			}
			c.expectTold("ended")
			c.expectOutcome("final reply 250 2.0.0 OK left")
			if len(p.taken) != 1 || p.taken[0] != big(lines) {
				t.Fatalf("the provider has %s", short(p.taken))
			}
			if got, want := strings.Join(turns, " "), strings.Repeat(" turn neighbour", 4)[1:]; got != want {
				t.Errorf("the loop did %s, want %s", got, want)
			}
			most := TurnSize
			for i, group := range sent {
				n := strings.Count(group, line) * len(line) // the last one may be in the next write
				if n > most {
					t.Errorf("write %d has %d octets of content", i, n)
				}
				if n > 0 {
					most = longTurn
				}
			}
		})
	}
}

// TestSmallIsOneFlight: content up to TurnSize goes with the envelope, and one octet
// more does not.
func TestSmallIsOneFlight(t *testing.T) {
	for _, n := range []int{1, recordSize, TurnSize, TurnSize + 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c, p := newClient(t, newLoop(t), codec.ExtPIPELINING|codec.ExtCHUNKING), &provider{}
			text := big(n/len(line) + 1)[:n]
			c.begin(text, a)
			if n <= TurnSize {
				c.expectState(final)
				if len(c.groups) != 1 || !c.Exchange.Left {
					t.Errorf("written %s, left %v", short(c.groups), c.Exchange.Left)
				}
			} else {
				c.expectState(envelope)
				if c.Exchange.Left {
					t.Error("Left before the content")
				}
			}
			c.serve(p)
			c.expectOutcome("final reply 250 2.0.0 OK left")
			if len(p.taken) != 1 || p.taken[0] != text {
				t.Errorf("the provider has %s", short(p.taken))
			}
		})
	}
}

// TestFullSocket: a socket that takes only a part. The content goes on when what was
// kept has left, Left comes with the write that has the end, and the provider reads.
func TestFullSocket(t *testing.T) {
	const lines = 2*TurnSize/len(line) + 100
	for _, o := range offers {
		for _, room := range []int{0, 1, 1000, 100_000} {
			t.Run(fmt.Sprint(o.name, "/", room), func(t *testing.T) {
				c, p := newClient(t, newLoop(t), o.ext), &provider{}
				c.sock.Room = room
				c.begin(big(lines), a)
				for range 100 {
					left := c.Exchange.Left
					c.serve(p)
					if c.state == idle {
						break
					}
					if c.Exchange.Left && !left && c.state != final {
						t.Fatalf("Left in %v", c.state)
					}
					c.loop.Advance(testTimeouts.Command / 2) // less than each timeout
					c.sock.Take(max(room, 20_000))
				}
				c.expectTold("ended")
				c.expectOutcome("final reply 250 2.0.0 OK left")
				if len(p.taken) != 1 || p.taken[0] != big(lines) {
					t.Fatalf("the provider has %s", short(p.taken))
				}
			})
		}
	}
}

// TestSlowConnectionHasShortTurns: what a socket does not take at once is kept, so that a
// long turn is followed by short ones.
func TestSlowConnectionHasShortTurns(t *testing.T) {
	c, p := newClient(t, newLoop(t), codec.ExtCHUNKING), &provider{}
	c.begin(big(2*TurnSize/len(line)), a)
	for c.state != idle {
		c.serve(p)
	}
	c.sock.Room = 1000
	c.begin(big((longTurn+3*TurnSize)/len(line)), a)
	var turns []int // what the socket had not taken of each
	kept := 0
	grown := func(by int) {
		if now := c.conn.Buffered(); now > max(0, kept-by) {
			turns = append(turns, now)
		}
		kept = c.conn.Buffered()
	}
	for c.state != idle {
		c.serve(p)
		grown(0)
		c.sock.Take(100_000)
		grown(100_000)
	}
	if len(turns) < 3 || turns[0] <= TurnSize || slices.Max(turns[1:]) > TurnSize+1000 || len(p.taken) != 2 {
		t.Errorf("turns of %d octets, %d messages", turns, len(p.taken))
	}
}

// TestTimeoutOfFullSocket: what is kept must go on leaving within Config.Content.
func TestTimeoutOfFullSocket(t *testing.T) {
	for _, lines := range []int{1, 2 * TurnSize / len(line)} {
		t.Run(fmt.Sprint(lines), func(t *testing.T) {
			c := newClient(t, newLoop(t), codec.ExtCHUNKING)
			c.begin(big(lines), a)
			c.say(ok)
			c.sock.Room = 10
			c.say(ok)
			for range 3 {
				c.loop.Advance(testTimeouts.Content - loop.Tick)
				c.sock.Take(1)
				c.expectTold()
			}
			c.loop.Advance(testTimeouts.Content + 2*loop.Tick)
			c.expectTold("ended")
			if lines == 1 {
				c.expectOutcome("final reply error: i/o timeout lost left")
			} else {
				c.expectOutcome("content error: i/o timeout lost")
			}
		})
	}
}

// TestEarlyReply: a reply to content that has not all left. A refusal is the answer, an
// acceptance cannot be one; either way the connection cannot go on.
func TestEarlyReply(t *testing.T) {
	const no = "552 5.3.4 too big\r\n"
	for _, o := range offers {
		for _, tt := range []struct {
			name  string
			lines int
			kept  bool // by the socket, else the next turn is to come
		}{
			{"between turns", 2 * TurnSize / len(line), false},
			{"a turn is kept", 2 * TurnSize / len(line), true},
			{"the end is kept", 1, true},
		} {
			for _, reply := range []string{no, ok, go354, "421 4.7.0 bye\r\n"} {
				t.Run(o.name+"/"+tt.name+"/"+reply[:3], func(t *testing.T) {
					c, p := newClient(t, newLoop(t), o.ext), &provider{}
					c.write = func(n int) error {
						if s := c.groups[n]; tt.kept && (strings.Contains(s, "DATA") || strings.Contains(s, "RCPT")) {
							c.sock.Room = 10 // for what is next
						}
						return nil
					}
					whole := tt.lines == 1 && o.ext == codec.ExtPIPELINING|codec.ExtCHUNKING
					if whole {
						c.sock.Room = 100
					}
					c.begin(big(tt.lines), a)
					if whole {
						c.say(ok + ok)
					}
					for c.state == envelope {
						replies := p.read(strings.Join(c.groups, ""))
						c.groups = nil
						c.say(replies)
					}
					if want := tt.lines == 1; c.Exchange.Left != want {
						t.Fatalf("Left is %v in %v", c.Exchange.Left, c.state)
					}
					left := ""
					if c.Exchange.Left {
						left = " left"
					}
					written := len(c.groups)
					c.say(reply)
					c.expectTold("ended")
					switch reply {
					case ok, go354:
						c.expectOutcome("final reply protocol error lost left")
					default:
						c.expectOutcome("final reply " + strings.TrimSpace(reply) + " lost reset" + left)
					}
					c.loop.RunPosted()
					c.sock.Take(0)
					if len(c.groups) > written {
						t.Errorf("sent on: %s", short(c.groups[written:]))
					}
				})
			}
		}
	}
}

// TestRefusalComesBeforeTheNextTurn: what has come in is read before more is sent.
func TestRefusalComesBeforeTheNextTurn(t *testing.T) {
	c := newClient(t, newLoop(t), codec.ExtCHUNKING)
	c.begin(big(3*TurnSize/len(line)), a)
	c.say(ok)
	c.say(ok)
	c.expectState(content)
	c.groups = nil
	c.sock.SetUnread(loop.InputUnread)
	for range 5 {
		c.loop.RunOnce()
		c.expect()
	}
	c.sock.SetUnread(loop.NothingUnread)
	c.say("552 5.3.4 too big\r\n")
	c.expectOutcome("final reply 552 5.3.4 too big lost reset")
	c.loop.RunPosted()
	c.expect()
	c.expectTold("ended")
}

// TestUntil: the answer to the content must come within Exchange.Until, whatever the
// timeouts are.
func TestUntil(t *testing.T) {
	for _, kept := range []bool{false, true} {
		c := newClient(t, newLoop(t), codec.ExtCHUNKING)
		c.begin("hi\r\n", a)
		c.Exchange.Until = c.Since()
		c.say(ok)
		if kept {
			c.sock.Room = 1
		}
		c.say(ok)
		c.expectTold()
		c.loop.Advance(2 * loop.Tick)
		c.expectTold("ended")
		c.expectOutcome("final reply error: i/o timeout lost left")
	}
}
