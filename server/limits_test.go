package server

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream"
)

// config makes an option of a change to the server's configuration.
func config(change func(*Config)) stackOption {
	return func(cfg *Config, _ *upstream.Config, _ *sandbox.Config) { change(cfg) }
}

// onLoops runs f on each loop, and waits.
func (k *stack) onLoops(t testing.TB, f func(*eventLoop)) {
	t.Helper()
	for _, l := range k.loops {
		done := make(chan struct{})
		if !l.Post(loopFunc(func() {
			defer close(done)
			f(l)
		})) {
			t.Fatal("the loop has ended")
		}
		<-done
	}
}

// loopFunc is something to do on a loop.
type loopFunc func()

func (f loopFunc) Run() { f() }

// inspect runs look for each session, on its loop.
func (k *stack) inspect(t testing.TB, look func(*session)) {
	t.Helper()
	k.onLoops(t, func(l *eventLoop) {
		for s := range l.sessions {
			look(s)
		}
	})
}

// unread is the most input that any session holds unread.
func (k *stack) unread(t testing.TB) (n int) {
	t.Helper()
	k.inspect(t, func(s *session) {
		if s.in != nil {
			n = max(n, len(s.in.B))
		}
	})
	return n
}

// flood sends n octets of NOOP lines without reading, in the background.
func (c *client) flood(n int) (done chan error) {
	done = make(chan error, 1)
	go func() {
		_, err := io.WriteString(c.TCP, strings.Repeat("NOOP\r\n", n/6))
		done <- err
	}()
	return done
}

// maxRead is what a loop reads at a time, maxUnread what a session may hold at a
// cap of 20,000: a read or two may come before the pause is in force.
const (
	maxRead   = 64 << 10
	maxUnread = 20_000 + 4*maxRead
)

// TestPipelinedInputOverCap floods a session that waits for the provider. What
// is held of it stays bounded; it is answered in order once the answer is there.
func TestPipelinedInputOverCap(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.MaxPipelined = 20_000 }))
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
		For: sandbox.Duration(500 * time.Millisecond)})
	c := k.login(t, gmailUser)
	c.Mail("a@example.com", "b@example.com")
	c.Cmd("DATA", "354")
	c.Send("text\r\n.\r\n")
	provider.Fired(t, k.sandbox, "think", 1)
	const octets = 300_000
	flooded := c.flood(octets)
	testkit.Eventually(t, "the input is over the cap", func() bool { return k.unread(t) > 20_000 })
	for k.sandbox.Stats().Messages == 0 { // until the provider has answered
		if n := k.unread(t); n > maxUnread {
			t.Fatalf("%d octets are held unread", n)
		}
	}
	c.Expect("250 2.0.0 OK  ") // the provider's
	for range octets / 6 {
		c.Expect("250 2.0.0 OK")
	}
	if err := <-flooded; err != nil {
		t.Error(err)
	}
	c.Cmd("QUIT", "221")
	provider.Messages(t, k.sandbox, 1)
}

// TestPipelinedInputUnderCap has what is below the cap wait, and answers all.
func TestPipelinedInputUnderCap(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.MaxPipelined = 20_000 }))
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
		For: sandbox.Duration(100 * time.Millisecond)})
	c := k.login(t, gmailUser)
	c.Mail("a@example.com", "b@example.com")
	c.Cmd("DATA", "354")
	c.Send("text\r\n.\r\n")
	provider.Fired(t, k.sandbox, "think", 1)
	c.Send(strings.Repeat("NOOP\r\n", 3_000))
	c.Expect("250 2.0.0 OK  ") // the provider's
	for range 3_000 {
		c.Expect("250 2.0.0 OK")
	}
	c.Cmd("QUIT", "221")
	c.ExpectEnd()
}

// TestClientThatNeverReads is closed once its unread replies pass a cap, and
// others are served meanwhile.
func TestClientThatNeverReads(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	c := k.dial(t)
	if err := c.TCP.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	group := strings.Repeat("EHLO client.example.com\r\n", 1000)
	var err error
	for err == nil {
		_, err = io.WriteString(c.TCP, group)
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("the connection was not closed: %v", err)
	}
	if n := k.back.Metric(t, "smtp_unread_replies_closed_total"); n != 1 {
		t.Errorf("the counter says %v", n)
	}
	other := k.login(t, gmailUser)
	other.Cmd("QUIT", "221")
}

// TestTimeouts waits for every timeout of a session.
func TestTimeouts(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) {
		cfg.GreetingTimeout, cfg.CommandTimeout, cfg.ContentTimeout, cfg.IdleTimeout = time.Second, time.Second, time.Second, time.Second
	}))
	tests := []struct {
		name string
		play func(*client)
	}{
		{"silent after the greeting", func(c *client) { c.Expect("220") }},
		{"half a command", func(c *client) { c.Expect("220"); c.Send("EHL") }},
		{"silent after EHLO", func(c *client) { c.Expect("220"); c.Cmd("EHLO x", "250") }},
		{"silent in AUTH", func(c *client) { c.Expect("220"); c.Cmd("EHLO x", "250"); c.Cmd("AUTH PLAIN", "334") }},
		{"over-long line", func(c *client) {
			c.Expect("220")
			c.Send(strings.Repeat("x", 3000))
			c.Expect("500")
		}},
		{"idle after login", func(c *client) { loginOn(c) }},
		{"idle in a transaction", func(c *client) { loginOn(c); c.Mail("a@example.com", "b@example.com", "c@example.com") }},
		{"silent in DATA", func(c *client) {
			loginOn(c)
			c.Mail("a@example.com", "b@example.com")
			c.Cmd("DATA", "354")
			c.Send("half")
		}},
		{"silent in refused DATA", func(c *client) {
			loginOn(c)
			c.Mail("a@example.com", "b@example.com")
			c.Cmd("DATA", "354")
			c.Send("bare\nLF\r\n")
		}},
		{"silent in BDAT", func(c *client) {
			loginOn(c)
			c.Mail("a@example.com", "b@example.com")
			c.Send("BDAT 10 LAST\r\nhalf")
		}},
		{"silent in refused BDAT", func(c *client) { loginOn(c); c.Send("BDAT 10 LAST\r\nhalf") }},
		{"between chunks", func(c *client) {
			loginOn(c)
			c.Mail("a@example.com", "b@example.com")
			c.Send("BDAT 4\r\nhalf")
			c.Expect("250")
		}},
	}
	slow := k.dial(t) // one octet of a command does not prolong its time (slowloris)
	slow.Expect("220")
	clients := make([]*client, len(tests))
	for i, tt := range tests {
		clients[i] = k.dial(t)
		tt.play(clients[i])
	}
	start := time.Now()
	for range 1000 {
		if _, err := slow.TCP.Write([]byte("x")); err != nil || k.Active() < int64(len(tests)+1) {
			break
		}
		if time.Since(start) > testkit.Patience {
			t.Fatal("a command may take for ever")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for i, c := range append(clients, slow) {
		got, err := c.Reply()
		if err != nil || !strings.HasPrefix(got, "421 4.4.2") {
			t.Errorf("session %d: %q, %v, want 421 4.4.2", i, got, err)
			continue
		}
		c.ExpectEnd()
		c.close()
	}
	testkit.Eventually(t, "all sessions have ended", func() bool { return k.Active() == 0 })
	if n := k.back.Metric(t, "smtp_timeouts_total"); n != float64(len(tests)+1) {
		t.Errorf("the counter of timeouts says %v, want %d", n, len(tests)+1)
	}
	if got := k.sandbox.Messages(); len(got) > 0 {
		t.Errorf("the provider has %d messages", len(got))
	}
}

func loginOn(c *client) {
	c.Expect("220")
	c.Cmd("EHLO client.example.com", "250")
	c.Cmd("AUTH PLAIN "+testkit.Plain(gmailUser, "any"), "235")
}

// TestAwaitingUpstreamHasNoTimeout has the provider take longer than any
// timeout of the session: the client gets the provider's answer.
func TestAwaitingUpstreamHasNoTimeout(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) {
		cfg.GreetingTimeout, cfg.CommandTimeout, cfg.ContentTimeout, cfg.IdleTimeout = time.Second, time.Second, time.Second, time.Second
	}))
	provider.Faults(t, k.sandbox, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(3100 * time.Millisecond)})
	c := k.login(t, gmailUser)
	c.Mail("a@example.com", "b@example.com")
	c.Data("text\r\n", "250 2.0.0")
	c.Cmd("QUIT", "221")
}

// TestConnectionCap refuses connections above the cap with 421, and takes new
// ones when old ones have gone.
func TestConnectionCap(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.MaxConnections = 3 }))
	var first [3]*client
	for i := range first {
		first[i] = k.greeted(t)
	}
	for range 5 {
		c := k.dial(t)
		c.Expect("421 4.")
		c.ExpectEnd()
	}
	if n := k.back.Metric(t, `smtp_connections_total{result="over_cap"}`); n != 5 {
		t.Errorf("the counter says %v, want 5", n)
	}
	first[0].Cmd("QUIT", "221")
	first[0].ExpectEnd()
	testkit.Eventually(t, "a session less", func() bool { return k.Active() == 2 })
	k.greeted(t).Cmd("NOOP", "250")
	first[1].Cmd("NOOP", "250")
}

// TestAllowList lets only the listed sources in, for each listener apart.
func TestAllowList(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) {
		cfg.Listeners = []Listener{
			{Address: "127.0.0.1:0", Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}},
			{Address: "127.0.0.1:0", Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}},
			{Address: "127.0.0.1:0"},
			{Address: "0.0.0.0:0", Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		}
	}))
	tests := []struct {
		listener int
		source   string
		want     string
	}{
		{0, "127.0.0.1", "421 4.7.1"},
		{1, "127.0.0.1", "421 4.7.1"},
		{1, "127.0.0.2", "220"},
		{2, "127.0.0.3", "220"},
		{3, "127.0.0.1", "220"},
	}
	for _, tt := range tests {
		_, port := testkit.HostPort(t, k.Addrs()[tt.listener].String())
		c := dialFrom(t, tt.source, fmt.Sprint("127.0.0.1:", port))
		c.Expect(tt.want)
		c.close()
	}
	if n := k.back.Metric(t, `smtp_connections_total{result="not_allowed"}`); n != 2 {
		t.Errorf("the counter says %v, want 2", n)
	}
}

// TestPauseOutlastsDrainedOutput has replies wait for a client that does not
// read, its input paused over the cap, and then the client read: gnet, which
// then has nothing more to write, must not read on for that.
func TestPauseOutlastsDrainedOutput(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.MaxPipelined, cfg.Loops = 20_000, 1 }))
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
		For: sandbox.Duration(2500 * time.Millisecond)})
	c := k.login(t, gmailUser)
	if err := c.TCP.SetReadBuffer(256 << 10); err != nil {
		t.Fatal(err)
	}
	buffered := func() (n int) {
		k.inspect(t, func(s *session) { n = s.conn.Buffered() })
		return n
	}
	sent := 0
	for buffered() == 0 { // until the kernel's buffers are full
		c.Send(strings.Repeat("EHLO client.example.com\r\n", 100))
		sent += 100
		var seen float64
		testkit.Eventually(t, "they are answered", func() bool {
			seen = k.back.Metric(t, `smtp_commands_total{command="EHLO"}`)
			return seen >= float64(sent)
		})
	}
	c.Send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 6 LAST\r\ntext\r\n")
	provider.Fired(t, k.sandbox, "think", 1)
	flooded := c.flood(6 << 20)
	testkit.Eventually(t, "the input is over the cap", func() bool { return k.unread(t) > 20_000 })
	if buffered() == 0 {
		t.Fatal("the replies did not wait: the test shows nothing")
	}
	for range sent + 2 {
		c.Expect("250") // drains what waits
	}
	for k.sandbox.Stats().Messages == 0 {
		if n := k.unread(t); n > maxUnread {
			t.Fatalf("%d octets are held unread", n)
		}
	}
	c.close()
	<-flooded // fails with the connection, if it was not all taken
}

// TestRefusedContentIsReleased has content go on long after its first error: no
// memory is held for what is swallowed.
func TestRefusedContentIsReleased(t *testing.T) {
	k := newStack(t)
	c := k.login(t, gmailUser)
	c.Mail("a@example.com", "b@example.com", "c@example.com")
	c.Cmd("DATA", "354")
	c.Send(strings.Repeat("0123456789abcde\r\n", 10_000))
	testkit.Eventually(t, "it is held", func() bool { return k.budget.Used() > 0 })
	c.Send("bare\nLF\r\n")
	testkit.Eventually(t, "it is released", func() bool { return k.budget.Used() == 0 })
	for range 10 {
		c.Send(strings.Repeat("0123456789abcde\r\n", 10_000))
		if n := k.budget.Used(); n != 0 {
			t.Fatalf("%d octets are held", n)
		}
	}
	c.Send("QUIT\r\n.\r\n")
	c.Expect("554 5.6.0")
	c.Mail("a@example.com", "b@example.com")
	c.Data("text\r\n", "250 2.0.0")
	provider.Messages(t, k.sandbox, 1)
}
