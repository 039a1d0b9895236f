package server

import (
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// place is a point of a dialog at which the client's input ends.
type place struct {
	name  string
	steps []exchange // from the greeting on
	state state      // where the session stands then
	fin   string     // the codes that the client reads when it ends its input
	quit  string     // the same with QUIT before the end
	idles string     // the same when the client is silent for too long instead; empty: it may be
	sent  int        // messages that arrive at the provider
}

// exchange is what a client sends, and the beginning of the reply, if it awaits one.
type exchange struct{ send, want string }

// places are all at which input can end, but for those before TLS.
func places(from string) []place {
	login := []exchange{{"EHLO client.example.com\r\n", "250"}, {"AUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n", "235"}}
	with := func(more ...exchange) []exchange { return append(login[:len(login):len(login)], more...) }
	mail, first := exchange{"MAIL FROM:<" + from + ">\r\n", "250"}, exchange{"RCPT TO:<b@example.com>\r\n", "250"}
	second, data := exchange{"RCPT TO:<c@example.com>\r\n", "250"}, exchange{"DATA\r\n", "354"}
	return []place{
		{"greeting", nil, stateHello, "", "221", "421", 0},
		{"EHLO", login[:1], stateUnauth, "", "221", "421", 0},
		{"AUTH without response", []exchange{login[0], {"AUTH PLAIN\r\n", "334"}}, stateAuthPlain, "", "501", "421", 0},
		{"AUTH LOGIN without password", []exchange{login[0], {"AUTH LOGIN YQ==\r\n", "334"}}, stateAuthLoginPass, "", "535", "421", 0},
		{"ready", login, stateReady, "", "221", "421", 0},
		{"half a command", with(exchange{"MAIL FROM:<a@exam", ""}), stateReady, "", "501", "421", 0},
		{"MAIL", with(mail), stateMail, "", "221", "421", 0},
		{"one recipient", with(mail, first), stateRcpt, "", "221", "421", 0},
		{"two recipients", with(mail, first, second), stateRcpt, "", "221", "421", 0},
		{"DATA", with(mail, first, data), stateData, "", "", "421", 0},
		{"within DATA", with(mail, first, data, exchange{"text\r\n.\r", ""}), stateData, "", "", "421", 0},
		{"within DATA to two", with(mail, first, second, data, exchange{"text\r\n", ""}), stateData, "", "", "421", 0},
		{"within BDAT", with(mail, first, exchange{"BDAT 100 LAST\r\n01234", ""}), stateBdat, "", "", "421", 0},
		{"between chunks", with(mail, first, exchange{"BDAT 4\r\n0123", "250"}), stateBdatNext, "", "221", "421", 0},
		{"within a refused chunk", with(exchange{"BDAT 100 LAST\r\n01234", ""}), stateBdatSkip, "", "", "421", 0},
		{"verdict", with(mail, first, data, exchange{"text\r\n.\r\n", ""}), stateAwaitUpstream, "250", "250 221", "", 1},
		{"verdict for two", with(mail, first, second, data, exchange{"text\r\n.\r\n", ""}), stateAwaitUpstream, "250", "250 221", "", 1},
		{"verdict after BDAT", with(mail, first, exchange{"BDAT 6 LAST\r\ntext\r\n", ""}), stateAwaitUpstream, "250", "250 221", "", 1},
	}
}

// way is how a client ends its input.
type way struct {
	name    string
	version uint16 // of TLS; 0: in clear
	end     func(*client)
}

var (
	clearFIN = way{"FIN", 0, (*client).CloseWrite}
	ways     = []way{
		clearFIN,
		{"FIN under TLS 1.2", tls.VersionTLS12, (*client).CloseWrite},
		{"FIN under TLS 1.3", tls.VersionTLS13, (*client).CloseWrite},
		{"close_notify and FIN of TLS 1.2", tls.VersionTLS12, func(c *client) { c.CloseNotify(); c.CloseWrite() }},
		{"close_notify and FIN of TLS 1.3", tls.VersionTLS13, func(c *client) { c.CloseNotify(); c.CloseWrite() }},
		{"close_notify of TLS 1.2", tls.VersionTLS12, (*client).CloseNotify},
		{"close_notify of TLS 1.3", tls.VersionTLS13, (*client).CloseNotify},
	}
)

// dialVersion connects and reads the greeting, in clear if version is 0.
func (k *stack) dialVersion(t testing.TB, version uint16) *client {
	t.Helper()
	listener := 0
	if version != 0 {
		listener = 1
	}
	c := k.dialAt(t, listener)
	if version != 0 {
		c.secure(clientConfig(version), nil)
	}
	c.Expect("220")
	return c
}

// reach takes a client to p, and waits until the session is there.
func (k *stack) reach(t testing.TB, c *client, p place) {
	t.Helper()
	for _, s := range p.steps {
		c.Send(s.send)
		if s.want != "" {
			c.Expect(s.want)
		}
	}
	k.awaitState(t, p.state)
}

// awaitState waits until the only session is in that state.
func (k *stack) awaitState(t testing.TB, want state) {
	t.Helper()
	testkit.Eventually(t, "the session is in state "+want.String(), func() (there bool) {
		k.inspect(t, func(s *session) { there = s.state == want })
		return there
	})
}

// count is how many messages of a sender the provider has.
func (k *stack) count(from string) (n int) {
	for _, m := range k.sandbox.Messages() {
		if m.ReversePath == from {
			n++
		}
	}
	return n
}

// ended waits until nothing of the only session is left.
func (k *stack) ended(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, "the session has ended", func() bool { return k.Active() == 0 && k.budget.Used() == 0 })
}

// newSlowStack has a provider that takes its time before each final reply, and
// listeners in clear and with TLS.
func newSlowStack(t testing.TB) *stack {
	t.Helper()
	k := newStack(t, withTLS("", TLSImplicit))
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
		For: sandbox.Duration(100 * time.Millisecond)})
	return k
}

// TestEndOfInput ends the client's input at every point of a dialog: all that was
// asked for before is carried out and answered, and nothing else.
func TestEndOfInput(t *testing.T) {
	for _, w := range ways {
		for _, quit := range []bool{false, true} {
			name := w.name
			if quit {
				name = "QUIT, " + name
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				k := newSlowStack(t)
				for i, p := range places("") {
					from := string(rune('a'+i)) + "@example.com"
					p = places(from)[i]
					t.Run(p.name, func(t *testing.T) {
						c := k.dialVersion(t, w.version)
						k.reach(t, c, p)
						want := p.fin
						if quit {
							c.Send("QUIT\r\n")
							want = p.quit
						}
						w.end(c)
						if got := c.Codes(); got != want {
							t.Errorf("the client read %q, want %q", got, want)
						}
						k.ended(t)
						if n := k.count(from); n != p.sent {
							t.Errorf("the provider has %d messages, want %d", n, p.sent)
						}
					})
				}
			})
		}
	}
}

// TestLostClient has the connection reset at every point of a dialog: what the
// provider is working on is finished, and everything else dropped.
func TestLostClient(t *testing.T) {
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(versionName(version), func(t *testing.T) {
			t.Parallel()
			k := newSlowStack(t)
			for i, p := range places("") {
				from := string(rune('a'+i)) + "@example.com"
				p = places(from)[i]
				t.Run(p.name, func(t *testing.T) {
					c := k.dialVersion(t, version)
					k.reach(t, c, p)
					c.Reset()
					testkit.Eventually(t, "the message has arrived", func() bool { return k.count(from) == p.sent })
					k.ended(t)
				})
			}
			for i, p := range places("") { // none came later
				if n := k.count(string(rune('a'+i)) + "@example.com"); n != p.sent {
					t.Errorf("%s: the provider has %d messages, want %d", p.name, n, p.sent)
				}
			}
		})
	}
}

func versionName(version uint16) string {
	if version == 0 {
		return "in clear"
	}
	return tls.VersionName(version)
}

// TestSilentClient lets the client's time run out at every point of a dialog at
// which it is the client's turn.
func TestSilentClient(t *testing.T) {
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(versionName(version), func(t *testing.T) {
			t.Parallel()
			k := newSlowStack(t)
			for _, p := range places("a@example.com") {
				if p.idles == "" {
					continue
				}
				t.Run(p.name, func(t *testing.T) {
					c := k.dialVersion(t, version)
					k.reach(t, c, p)
					k.inspect(t, (*session).Expired)
					if got := c.Codes(); got != p.idles {
						t.Errorf("the client read %q, want %q", got, p.idles)
					}
					c.close()
					k.ended(t)
				})
			}
			provider.Messages(t, k.sandbox, 0)
		})
	}
}

// TestEndOfInputBeforeGreeting ends the input before there is a dialog.
func TestEndOfInputBeforeGreeting(t *testing.T) {
	hello := string(clientHello(t))
	for _, tt := range []struct {
		name  string
		mode  TLSMode
		input string
	}{
		{"implicit TLS, nothing", TLSImplicit, ""},
		{"implicit TLS, half a ClientHello", TLSImplicit, hello[:len(hello)/2]},
		{"implicit TLS, a ClientHello", TLSImplicit, hello},
		{"STARTTLS, nothing", TLSOffered, ""},
		{"STARTTLS, half a ClientHello", TLSOffered, hello[:len(hello)/2]},
		{"STARTTLS, a ClientHello", TLSOffered, hello},
		{"detection, nothing", TLSDetect, ""},
		{"detection, half a ClientHello", TLSDetect, hello[:len(hello)/2]},
		{"PROXY header, nothing", "proxy", ""},
		{"PROXY header, half of it", "proxy", "PROXY TCP4 192.0.2.1"},
	} {
		for _, e := range []struct {
			name string
			end  func(*client)
		}{{"FIN", (*client).CloseWrite}, {"reset", (*client).Reset}} {
			t.Run(tt.name+"/"+e.name, func(t *testing.T) {
				options := []stackOption{withTLS(tt.mode)}
				if tt.mode == "proxy" {
					options = []stackOption{config(func(cfg *Config) {
						cfg.Listeners[0].ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
					})}
				}
				k := newStack(t, options...)
				c := k.dial(t)
				if tt.mode == TLSOffered {
					c.Expect("220")
					c.Cmd("EHLO client.example.com", "250")
					c.Cmd("STARTTLS", "220")
				}
				c.Send(tt.input)
				testkit.Eventually(t, "the session is there", func() bool { return k.Active() == 1 })
				e.end(c)
				k.ended(t)
			})
		}
	}
}
