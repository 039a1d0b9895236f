package smtpclient

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// client is a connection on a fake loop. The test is its owner, its socket and the
// provider.
type client struct {
	t testing.TB
	Conn
	loop   loop.Fake
	sock   *loop.FakeSocket
	groups []string // what was written, one string a write
	told   []string // the owner
	ends   []Exchange
	err    error // that Closed was told

	write func(n int) error // what write n, from 0, comes to; nil: it is taken
	on    map[string]func() // what the owner does when it is told, once
}

// testTimeouts tells the timeouts apart.
var testTimeouts = Config{Command: 10 * time.Second, Data: 20 * time.Second, Content: 30 * time.Second, Final: 40 * time.Second,
	Hold: 50 * time.Second, Quit: 5 * time.Second}

// newLoop makes a fake loop that fails the test on a panic that comes to it.
func newLoop(t testing.TB) loop.Fake {
	return loop.NewFake(loop.Config{Log: zap.NewNop(), Panicked: func(_ loop.Place, p any, stack []byte) {
		t.Errorf("panic on the loop: %v\n%s", p, stack)
	}})
}

// newClient opens a connection to a provider that offers ext.
func newClient(t testing.TB, on loop.Fake, ext codec.Extensions) *client {
	c := &client{t: t, loop: on, on: make(map[string]func())}
	c.Offer.Extensions, c.cfg, c.owner, c.Conn.loop = ext, &testTimeouts, c, on.Loop
	c.sock = on.Connect(&c.Conn, func(b []byte) error {
		n := len(c.groups)
		c.groups = append(c.groups, string(b))
		if c.write != nil {
			if err := c.write(n); err != nil {
				c.groups = c.groups[:n]
				return err
			}
		}
		return nil
	})
	t.Cleanup(func() {
		c.Close()
		last := slices.DeleteFunc(slices.Clone(c.told), func(s string) bool { return s == "panicked" })
		if n := c.count("closed"); n != 1 || last[len(last)-1] != "closed" || c.timer.Pending() || c.in != nil {
			t.Errorf("in the end: the owner was told %v, timer %v, input %v", c.told, c.timer.Pending(), c.in)
		}
	})
	c.expectTold("opened")
	return c
}

func (c *client) tell(what string) {
	c.told = append(c.told, what)
	if f := c.on[what]; f != nil {
		delete(c.on, what)
		f()
	}
}

func (c *client) Opened()      { c.tell("opened") }
func (c *client) Answered()    { c.tell("answered") }
func (c *client) HoldExpired() { c.tell("hold expired") }
func (c *client) Ended()       { c.ends = append(c.ends, c.Exchange); c.tell("ended") }
func (c *client) Cleared()     { c.tell("cleared") }
func (c *client) Broken()      { c.tell("broken") }

func (c *client) Closed(err error) { c.err = err; c.tell("closed") }

func (c *client) Panicked(p any) error {
	c.tell("panicked")
	return fmt.Errorf("internal error: %v", p)
}

// count is how often the owner was told.
func (c *client) count(what string) (n int) {
	for _, s := range c.told {
		if s == what {
			n++
		}
	}
	return n
}

// expectTold takes what the owner was told.
func (c *client) expectTold(want ...string) {
	c.t.Helper()
	if !slices.Equal(c.told, want) {
		c.t.Fatalf("the owner was told %q, want %q", c.told, want)
	}
	if !slices.Contains(want, "closed") { // that is checked in the end
		c.told = nil
	}
}

// expect takes what was written, one string a write.
func (c *client) expect(want ...string) {
	c.t.Helper()
	if !slices.Equal(c.groups, want) {
		c.t.Fatalf("written: %s\nwant:    %s", short(c.groups), short(want))
	}
	c.groups = nil
}

// short is what was written, big content cut.
func short(groups []string) string {
	var b strings.Builder
	for _, g := range groups {
		if len(g) > 300 {
			g = g[:100] + fmt.Sprintf("...%d octets...", len(g)-200) + g[len(g)-100:]
		}
		fmt.Fprintf(&b, "%q ", g)
	}
	return b.String()
}

// say has the provider say something, at once.
func (c *client) say(s string) { c.sock.Receive([]byte(s)) }

// begin begins an exchange of the content for the recipients; content "": none yet.
func (c *client) begin(content string, rcpts ...string) {
	c.Exchange = Exchange{Mail: &codec.MailArgs{Path: []byte("from@example.com"), Size: -1}, Keep: true, Until: time.Now().Add(time.Hour)}
	c.add(content, rcpts...)
	c.loop.Do(c.Begin)
}

// add adds recipients and content.
func (c *client) add(content string, rcpts ...string) {
	x := &c.Exchange
	for _, r := range rcpts {
		x.Rcpts = append(x.Rcpts, Recipient{Args: codec.RcptArgs{Path: []byte(r)}})
	}
	x.To = len(x.Rcpts)
	if content != "" {
		x.Content = newContent(c.t, content)
	}
}

// proceed goes on with an open exchange.
func (c *client) proceed(content string, rcpts ...string) {
	c.add(content, rcpts...)
	c.loop.Do(c.Continue)
}

// newContent makes content that the test gives back.
func newContent(t testing.TB, s string) *codec.Content {
	x := codec.NewContent(nil)
	if err := x.Append([]byte(s)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Release)
	return x
}

// outcome is what came of an exchange, in short.
func outcome(x *Exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v", x.Phase)
	if !x.Reply.IsZero() {
		fmt.Fprintf(&b, " %v", x.Reply)
	}
	switch {
	case errors.Is(x.Err, ErrProtocol):
		b.WriteString(" protocol error")
	case x.Err != nil:
		fmt.Fprintf(&b, " error: %v", x.Err)
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"own", x.Own}, {"lost", x.Lost}, {"reset", x.Reset}, {"left", x.Left}} {
		if f.set {
			b.WriteString(" " + f.name)
		}
	}
	return b.String()
}

// expectOutcome checks what came of the exchange that has ended last.
func (c *client) expectOutcome(want string) {
	c.t.Helper()
	if len(c.ends) == 0 {
		c.t.Fatalf("the exchange has not ended: %v, %s", c.state, outcome(&c.Exchange))
	}
	if got := outcome(&c.ends[len(c.ends)-1]); got != want {
		c.t.Fatalf("outcome %q, want %q", got, want)
	}
}

// expectState checks the state.
func (c *client) expectState(want state) {
	c.t.Helper()
	if c.state != want {
		c.t.Fatalf("the state is %v, want %v", c.state, want)
	}
}

// offers are the four that decide what goes in one write.
var offers = []struct {
	name string
	ext  codec.Extensions
}{
	{"none", 0}, {"PIPELINING", codec.ExtPIPELINING}, {"CHUNKING", codec.ExtCHUNKING},
	{"both", codec.ExtPIPELINING | codec.ExtCHUNKING},
}

// step is a group of commands and the provider's replies to it.
type step struct{ group, replies string }

const (
	mail  = "MAIL FROM:<from@example.com>\r\n"
	rcptA = "RCPT TO:<a@example.com>\r\n"
	rcptB = "RCPT TO:<b@example.com>\r\n"
	rcptC = "RCPT TO:<c@example.com>\r\n"
	ok    = "250 2.0.0 OK\r\n"
	go354 = "354 go\r\n"
)

const a, b, cc = "a@example.com", "b@example.com", "c@example.com"

// play has the provider answer step by step. Each reply comes in two parts, cut there;
// negative: octet by octet.
func (c *client) play(steps []step, cut int) {
	c.t.Helper()
	for _, s := range steps {
		c.expect(s.group)
		switch {
		case cut < 0:
			for i := range len(s.replies) {
				c.say(s.replies[i : i+1])
			}
		default:
			n := min(cut, len(s.replies))
			c.say(s.replies[:n])
			c.say(s.replies[n:])
		}
	}
	c.expect()
}

// finish has the provider take small content, which is sent without the envelope.
func (c *client) finish(text string) {
	c.t.Helper()
	if c.Offer.Has(codec.ExtCHUNKING) {
		c.play([]step{{fmt.Sprintf("BDAT %d LAST\r\n%s", len(text), text), ok}}, 0)
	} else {
		c.play([]step{{"DATA\r\n", go354}, {text + ".\r\n", ok}}, 0)
	}
}

// longest is the length of the longest replies of the steps, in octets.
func longest(steps []step) (n int) {
	for _, s := range steps {
		n = max(n, len(s.replies))
	}
	return n
}

// serve has the provider answer what has been written so far, and gives back what that
// was, until there is nothing to answer any more.
func (c *client) serve(p *provider) (groups []string) {
	for {
		c.loop.RunPosted()
		replies := p.read(strings.Join(c.groups, ""))
		groups = append(groups, c.groups...)
		if c.groups = nil; replies == "" {
			return groups
		}
		c.say(replies)
	}
}
