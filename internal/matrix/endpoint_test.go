package matrix

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream"
)

// TestEndpointFaults gives the account an endpoint that cannot be reached. Its neighbour's
// can.
func TestEndpointFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*account.Account)
		want   string
	}{
		{"no such host", func(a *account.Account) { a.SMTP.Host = "does-not-exist.invalid" }, unnamed},
		{"name server fails", func(a *account.Account) { a.SMTP.Host = "server-failure.invalid" }, unnamed},
		{"no listener", func(a *account.Account) { a.SMTP.Port = 1 }, connect},
		{"not the source address of this machine", func(a *account.Account) { a.SourceIP = netip.MustParseAddr("192.0.2.1") }, connect},
	} {
		for _, rcpts := range []int{1, 3} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				s := defaults(sandbox.PresetGmail)
				s.account = func(a *account.Account) {
					if a.ID == victim {
						tt.change(a)
					}
				}
				k := newStack(t, s)
				l := newLetter(victim, rcpts, contentSize)
				var c *client
				o, err := k.try(&c, l, style{})
				if err != nil {
					t.Fatal(err)
				}
				checkTold(t, k, l, o.told(0), tt.want)
				k.deliver(t, nil, neighbour, rcpts, style{}, false)
				k.account = nil // the operator puts it right
				k.reload(t, k.users)
				k.deliver(t, c, victim, rcpts, style{}, true)
				k.Settled(t)
				k.Stop()
			})
		}
	}
}

// TestEndpointDown stops the provider for all accounts, and starts it again.
func TestEndpointDown(t *testing.T) {
	t.Parallel()
	k := newStack(t, defaults(sandbox.PresetGmail))
	if err := k.sandbox.SetListening("mail", false); err != nil {
		t.Fatal(err)
	}
	var c *client
	for range 3 {
		l := newLetter(victim, 1, contentSize)
		o, err := k.try(&c, l, style{})
		if err != nil {
			t.Fatal(err)
		}
		checkTold(t, k, l, o.told(0), connect)
	}
	if err := k.sandbox.SetListening("mail", true); err != nil {
		t.Fatal(err)
	}
	k.deliver(t, c, victim, 1, style{}, true)
	k.deliver(t, nil, neighbour, 1, style{}, true)
	k.Settled(t)
}

// TestLargeContentCut resets the connection in content that is too large for
// the buffers on the way: its end has not left, so it may be sent again.
func TestLargeContentCut(t *testing.T) {
	const size = 12 << 20
	for _, times := range []int64{0, 1} {
		for _, rcpts := range []int{1, 3} {
			t.Run("", func(t *testing.T) { // one at a time: they take much memory
				k := newStack(t, defaults(sandbox.PresetGmail))
				provider.Faults(t, k.sandbox, sandbox.Rule{Name: "fault", Phase: sandbox.PhaseMidContent, Action: sandbox.ActionReset,
					After: 64 << 10, Times: times})
				l := newLetter(victim, rcpts, size)
				var c *client
				o, err := k.try(&c, l, style{bdat: true})
				if err != nil {
					t.Fatal(err)
				}
				want := lost
				if times == 1 {
					want = delivered
				}
				checkTold(t, k, l, o.told(0), want)
				k.sandbox.ClearFaults()
				k.deliver(t, c, victim, rcpts, style{}, false)
				k.Settled(t)
				k.Stop()
			})
		}
	}
}

// serveNames answers DNS queries on loopback: that there is no such name, or
// that the server failed. No query of the tests leaves the machine.
func serveNames() (*net.Resolver, func(), error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			const response, noSuchName, serverFailure = 0x80, 3, 2
			query[2] |= response
			if query[3] = noSuchName; bytes.Contains(query[:n], []byte("server-failure")) {
				query[3] = serverFailure
			}
			_, _ = conn.WriteTo(query[:n], from) // the client asks again
		}
	}()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	return resolver, func() { conn.Close(); <-ended }, nil
}

// TestDeadAccounts has more accounts than a circuit breaker forgives be refused
// at login, for good and in passing: the others of their endpoint go on.
func TestDeadAccounts(t *testing.T) {
	for _, reply := range []string{"535 5.7.8 bad token", "454 4.7.0 not now", "421 4.7.0 too many logins"} {
		t.Run(reply[:3], func(t *testing.T) {
			t.Parallel()
			s := defaults(sandbox.PresetGmail)
			s.upstream.Breaker, s.upstream.ThrottleRecovery = upstream.DefaultConfig().Breaker, time.Minute
			var rules []sandbox.Rule
			for i := range 2 * s.upstream.Breaker.Failures {
				dead := fmt.Sprintf("dead%d@matrix.test", i)
				s.users = append(s.users, dead)
				rules = append(rules, sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: reply, Account: dead})
			}
			k := newStack(t, s)
			provider.Faults(t, k.sandbox, rules...)
			for range 2 {
				for _, dead := range s.users[2:] {
					l := newLetter(dead, 1, contentSize)
					var c *client
					o, err := k.try(&c, l, style{})
					if err == nil && o.told(0)[0] != '4' {
						t.Fatalf("%s was told %q", dead, o.told(0))
					}
					if c != nil {
						c.close()
					}
					if n := len(k.arrived(l)); n != 0 {
						t.Errorf("%s was refused, the provider has %d copies", dead, n)
					}
				}
				k.deliver(t, nil, neighbour, 1, style{}, false)
			}
			k.Settled(t)
			k.Stop()
		})
	}
}

// TestRefusedAndTaken has a provider refuse the envelope and take the content
// all the same, as it looks when its replies are out of step: the client must
// not be told that the message was not taken.
func TestRefusedAndTaken(t *testing.T) {
	for _, phase := range []sandbox.Phase{sandbox.PhaseMail, sandbox.PhaseRcpt} {
		for _, reply := range []string{"452 4.2.2 not now", "550 5.1.1 never"} {
			t.Run(string(phase)+" "+reply[:3], func(t *testing.T) {
				t.Parallel()
				k := newStack(t, defaults(sandbox.PresetGmail))
				provider.Faults(t, k.sandbox, sandbox.Rule{Phase: phase, Action: sandbox.ActionReply, Reply: reply, Accept: true})
				l := newLetter(victim, 1, contentSize)
				var c *client
				o, err := k.try(&c, l, style{})
				if err != nil {
					t.Fatal(err)
				}
				if got := o.told(0); !matches(got, protocol, "") || len(k.arrived(l)) != 1 {
					t.Errorf("the client was told %q, want %q; the provider has %d copies", got, protocol, len(k.arrived(l)))
				}
				k.sandbox.ClearFaults()
				k.deliver(t, c, victim, 1, style{}, false)
				k.Settled(t)
				k.Stop()
			})
		}
	}
}
