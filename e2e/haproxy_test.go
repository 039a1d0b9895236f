//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// crowd is clients that send through HAProxy until they are told to stop.
type crowd struct {
	b      *balanced
	logins []string
	stop   context.Context
	killed atomic.Bool // a proxy was killed: a connection may be lost at any moment
	acked  ledger
	mu     sync.Mutex
	unsure map[string]bool // recipients of messages whose end was sent on a connection that was lost
	failed []string        // connections that were not served
}

// source is the address of a client, which no other program here has.
func source(client int) net.IP { return net.IPv4(127, 1, 0, byte(client+1)) }

// client sends one message after another, and each again until it is accepted, on as many
// connections as that takes.
func (c *crowd) client(t *testing.T, number int) {
	login := c.logins[number%len(c.logins)]
	var conn *smtp.Client
	for n := 0; c.stop.Err() == nil; {
		if conn == nil {
			var err error
			if conn, err = c.connect(login, source(number)); err != nil {
				if !c.killed.Load() {
					c.fail(fmt.Sprintf("client %d was not served: %v", number, err))
				}
				continue
			}
		}
		m := numbered(login, number, n)
		err := submit(conn, m)
		if err == nil {
			c.acked.acknowledge(m)
			n++
			continue
		}
		conn.Close()
		conn = nil
		reply, refused := errors.AsType[*textproto.Error](err)
		switch {
		case errors.Is(err, errUnsure) && c.killed.Load():
			c.mu.Lock()
			c.unsure[m.to[0]] = true
			c.mu.Unlock()
		case refused && reply.Code == 421, !refused && c.killed.Load():
		default:
			c.fail(fmt.Sprintf("client %d: %v", number, err))
		}
	}
	if conn != nil {
		conn.Close()
	}
}

func (c *crowd) fail(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = append(c.failed, what)
}

// connect logs in from an address.
func (c *crowd) connect(login string, from net.IP) (*smtp.Client, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: testkit.Patience}
	conn, err := d.Dial("tcp", c.b.addr)
	if err != nil {
		return nil, err
	}
	client, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		conn.Close()
		return nil, err
	}
	if err := client.Auth(smtp.PlainAuth("", login, clientPassword, "localhost")); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// errUnsure: the connection was lost after the end of the content was sent.
var errUnsure = errors.New("the fate is unknown")

// submit is send, with errUnsure.
func submit(c *smtp.Client, m mail) error {
	if err := c.Mail(m.from); err != nil {
		return err
	}
	if err := c.Rcpt(m.to[0]); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err = w.Write(m.content); err != nil {
		return err
	}
	if err = w.Close(); err == nil {
		return nil
	}
	if _, refused := errors.AsType[*textproto.Error](err); refused {
		return err
	}
	return fmt.Errorf("%w: %w", errUnsure, err)
}

// check compares what clients know with what the provider has.
func (c *crowd) check(t *testing.T) {
	t.Helper()
	for _, what := range c.failed {
		t.Error(what)
	}
	times := map[string]int{}
	for _, got := range c.b.provider.Messages() {
		to := provider.Paths(got)[0]
		times[to]++
		if want, ok := c.acked.acked[to]; ok && (got.Account != want.login || got.SHA256 != digest(want.content)) {
			t.Errorf("the message to %s came under the login %s, or is not what was sent", to, got.Account)
		}
		if _, ok := c.acked.acked[to]; !ok && !c.unsure[to] {
			t.Errorf("the message to %s is at the provider, and its client was told that it is not", to)
		}
	}
	doubled := 0
	for to := range c.acked.acked {
		switch n := times[to]; {
		case n == 0:
			t.Errorf("the message to %s was acknowledged and is not at the provider", to)
		case n == 1:
		case n == 2 && c.unsure[to]:
			doubled++
		default:
			t.Errorf("the message to %s is at the provider %d times; its client had no reply to it: %v", to, n, c.unsure[to])
		}
	}
	t.Logf("%d messages, %d of them sent again after their fate was unknown, %d of these twice at the provider",
		c.acked.len(), len(c.unsure), doubled)
}

// TestHAProxy has clients send through configs/haproxy.cfg to three proxies that share
// nothing: each may have a third of a mailbox's connections. One is stopped in order, another
// one is killed. No client is refused, nothing is lost, and only what was on its way in the
// killed one may come twice.
func TestHAProxy(t *testing.T) {
	const clients, mailboxes, each = 30, 10, 5
	var logins []string
	for i := range mailboxes {
		logins = append(logins, fmt.Sprintf("account%d@gmail.com", i))
	}
	b := newBalanced(t, sandbox.Config{Accounts: accounts(logins...), Endpoints: []sandbox.Endpoint{{Preset: sandbox.PresetGmail}},
		Latency: sandbox.Latency{Final: sandbox.Duration(20 * time.Millisecond)}}, each)
	stop, cancel := context.WithCancel(t.Context())
	c := &crowd{b: b, logins: logins, stop: stop, unsure: map[string]bool{}}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for i := range clients {
		running.Go(func() { c.client(t, i) })
	}
	more := func(n int) {
		t.Helper()
		ctx, done := context.WithTimeout(t.Context(), clientTimeout)
		defer done()
		if _, err := b.provider.WaitFor(ctx, len(b.provider.Messages())+n); err != nil {
			t.Fatal(err)
		}
	}
	more(300)
	drained, killed := b.proxies[0], b.proxies[1]
	drained.terminate(t)
	testkit.Eventually(t, "HAProxy takes the proxy out", func() bool { return !b.isUp(t, 0) })
	if !drained.Running() || strings.Contains(drained.Log(), `"draining: no new connections`) {
		t.Error("the proxy took no more connections before HAProxy had it out")
	}
	if code, err := drained.wait(); err != nil || code != 0 {
		t.Errorf("the drained proxy ended with %d, %v\n%s", code, err, tail(drained.Log(), 4<<10))
	}
	more(200)
	c.killed.Store(true)
	if err := killed.Cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-killed.Exited
	testkit.Eventually(t, "HAProxy takes the killed proxy out", func() bool { return !b.isUp(t, 1) })
	more(300)
	cancel()
	running.Wait()
	b.proxies[2].finish(t)
	c.check(t)
	for _, login := range logins {
		if st := b.provider.AccountStats(login); st.MaxOpen > balancedProxies*each || st.LimitRefusals > 0 {
			t.Errorf("%s: %d connections at a time, %d refusals for a limit", login, st.MaxOpen, st.LimitRefusals)
		}
	}
	for i, p := range b.proxies {
		checkSources(t, fmt.Sprint("mx", i+1), p.Log())
	}
}

// TestHAProxyHome: the mail of an account goes to its home proxy, and to the next one while
// the home is gone.
func TestHAProxyHome(t *testing.T) {
	b := newBalanced(t, sandbox.Config{Accounts: accounts(gmailUser)}, 3)
	took := func(proxy int) int { return strings.Count(b.proxies[proxy].Log(), `"message accepted"`) }
	sent := 0
	deliver := func(n int) {
		t.Helper()
		for range n {
			c, err := dial(b.home, gmailUser)
			if err != nil {
				t.Fatal(err)
			}
			if err := send(c, numbered(gmailUser, 0, sent)); err != nil {
				t.Fatal(err)
			}
			sent++
			if err := c.Quit(); err != nil {
				t.Error(err)
			}
		}
	}
	deliver(20)
	testkit.Eventually(t, "the home has logged all", func() bool { return took(0) == 20 })
	if err := b.proxies[0].Cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-b.proxies[0].Exited
	testkit.Eventually(t, "HAProxy takes the home out", func() bool { return !b.isUp(t, 0) })
	deliver(20)
	testkit.Eventually(t, "the next one has logged all", func() bool { return took(1) == 20 })
	if n := took(2); n > 0 {
		t.Errorf("the third proxy took %d messages", n)
	}
	if n := len(b.provider.Messages()); n != sent {
		t.Errorf("%d messages are at the provider, want %d", n, sent)
	}
	b.proxies[1].finish(t)
	b.proxies[2].finish(t)
}

// checkSources looks for the addresses in the log's lines about messages: they are those of
// clients, and not HAProxy's.
func checkSources(t *testing.T, name, log string) {
	t.Helper()
	lines := 0
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"message accepted"`) {
			continue
		}
		lines++
		if !strings.Contains(line, `"remote":"127.1.0.`) {
			t.Errorf("%s: the line has not the client's address: %s", name, line)
			return
		}
	}
	if lines == 0 {
		t.Errorf("%s took no message", name)
	}
}
