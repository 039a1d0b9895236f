package server

import (
	"fmt"
	"strings"
	"testing"

	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestRefusalsAreLogged: what the proxy itself refuses leaves one line with the client's
// address, the user and the reason.
func TestRefusalsAreLogged(t *testing.T) {
	const long = "0123456789abcdef"
	tests := []struct {
		name   string
		policy password.Policy
		change func(*Config)
		play   func(c *client)
		line   string
		fields string // "user", "account" or ""
		reason string
	}{
		{"wrong password", password.PolicyAccount, nil, func(c *client) { c.Cmd("AUTH PLAIN "+testkit.Plain("anna", "x"), "535") },
			"login refused: wrong password", "user:anna", "Authentication credentials invalid"},
		{"wrong password by LOGIN", password.PolicyAccount, nil, func(c *client) { c.exchange("LOGIN", true, "bert", "x") },
			"login refused: wrong password", "user:bert", "Authentication credentials invalid"},
		{"malformed response", "", nil, func(c *client) { c.Cmd("AUTH PLAIN !", "501 5.5.2") },
			"login refused: malformed", "", "Malformed authentication response"},
		{"malformed AUTH", "", nil, func(c *client) { c.Cmd("AUTH PLAIN a b", "501 5.5.4") },
			"login refused: malformed", "", "Syntax error"},
		{"malformed password", "", nil, func(c *client) { c.Cmd("AUTH LOGIN YW5uYQ==", "334"); c.Cmd("!", "501 5.5.2") },
			"login refused: malformed", "user:anna", "Malformed authentication response"},
		{"CRAM-MD5 with an initial response", "", nil, func(c *client) { c.Cmd("AUTH CRAM-MD5 YW5uYQ==", "501 5.5.4") },
			"login refused: malformed", "", "Syntax error"},
		{"unknown mechanism", "", nil, func(c *client) { c.Cmd("AUTH GSSAPI", "504") },
			"client refused with 504", "", "Unrecognized authentication mechanism"},
		{"no login", "", nil, func(c *client) { c.Cmd("MAIL FROM:<a@example.com>", "530") },
			"client refused with 530", "", "Authentication required"},
		{"no login, a chunk", "", nil, func(c *client) { c.Send("BDAT 4 LAST\r\ntext"); c.Expect("530") },
			"client refused with 530", "", "Authentication required"},
		{"bare LF in content", "", nil, func(c *client) {
			c.Login(gmailUser, "any")
			c.Mail("a@example.com", "b@example.com")
			c.Data("a\nb\r\n", "554")
		}, "client refused with 554", "account:gmail", "Bare LF"},
		{"bare LF in a chunk", "", nil, func(c *client) {
			c.Login(gmailUser, "any")
			c.Mail("a@example.com", "b@example.com")
			c.Send("BDAT 4 LAST\r\na\nb\n")
			c.Expect("554")
		}, "client refused with 554", "account:gmail", "Bare LF"},
		{"size declared too big", "", nil, func(c *client) { c.Login(gmailUser, "any"); c.Cmd("MAIL FROM:<a@example.com> SIZE=99999999", "552") },
			"client refused with 552", "account:gmail", "Message size exceeds"},
		{"content too big", "", func(cfg *Config) { cfg.MaxMessageSize = 10 }, func(c *client) {
			c.Login(gmailUser, "any")
			c.Mail("a@example.com", "b@example.com")
			c.Data(long+"\r\n", "552")
		}, "client refused with 552", "account:gmail", "Message size exceeds"},
		{"chunk too big", "", func(cfg *Config) { cfg.MaxMessageSize = 10 }, func(c *client) {
			c.Login(gmailUser, "any")
			c.Mail("a@example.com", "b@example.com")
			c.Send("BDAT 16 LAST\r\n" + long)
			c.Expect("552")
		}, "client refused with 552", "account:gmail", "Message size exceeds"},
		{"no memory", "", func(cfg *Config) { cfg.ContentBudget = 1000 }, func(c *client) {
			c.Login(gmailUser, "any")
			c.Cmd("MAIL FROM:<a@example.com>", "452")
		}, "client refused with 452", "account:gmail", "Insufficient system storage"},
		{"too many errors", "", func(cfg *Config) { cfg.MaxErrors = 1 }, func(c *client) { c.Cmd("BOGUS", "500"); c.Expect("421") },
			"client refused with 421", "", "Too many errors"},
		{"HTTP", "", nil, func(c *client) { c.Cmd("GET / HTTP/1.1", "421") },
			"HTTP request in place of SMTP", "", "This is SMTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newStack(t, config(func(cfg *Config) {
				cfg.Listeners[0].Passwords = tt.policy
				if tt.change != nil {
					tt.change(cfg)
				}
			}))
			c := k.greeted(t)
			tt.play(c)
			k.oneLine(t, tt.line, "remote:"+c.TCP.LocalAddr().String(), tt.fields, "reason:"+tt.reason)
		})
	}
	t.Run("over the cap", func(t *testing.T) {
		k := newStack(t, config(func(cfg *Config) { cfg.MaxConnections = 1 }))
		k.greeted(t)
		c := k.dial(t)
		c.Expect("421")
		k.oneLine(t, "client refused with 421", "remote:"+c.TCP.LocalAddr().String(), "reason:Too many connections")
	})
	t.Run("over the cap of a source, before TLS", func(t *testing.T) {
		k := newStack(t, withTLS(TLSImplicit), config(func(cfg *Config) {
			cfg.Listeners[0].ProxyFrom, cfg.Listeners[0].MaxPerSource = loopback, 1
		}))
		for range 2 {
			k.dial(t).Send("PROXY TCP4 192.0.2.1 198.51.100.1 4021 25\r\n")
		}
		k.oneLine(t, "client refused with 421", "remote:192.0.2.1:4021", "reason:Too many connections")
	})
	t.Run("failed handshake", func(t *testing.T) {
		k := newStack(t, withTLS(TLSImplicit))
		c := k.dial(t)
		c.Send("\x16\x03\x01\x00\x05hello")
		k.oneLine(t, "TLS handshake failed", "remote:"+c.TCP.LocalAddr().String(), "reason:")
	})
}

// oneLine waits until the log has a line that begins so, and checks that it is the only one
// and has all of the fields.
func (k *stack) oneLine(t *testing.T, begins string, fields ...string) {
	t.Helper()
	testkit.Eventually(t, "there is a line "+begins, func() bool { return k.logs.FilterMessageSnippet(begins).Len() > 0 })
	lines := k.logs.FilterMessageSnippet(begins).All()
	for _, f := range fields {
		if got := fmt.Sprint(lines[0].ContextMap()); len(lines) != 1 || !strings.Contains(got, f) {
			t.Errorf("%d lines, the first with %s, want %s", len(lines), got, f)
		}
	}
}

// TestMessagesAreLogged by their outcome, as configured.
func TestMessagesAreLogged(t *testing.T) {
	for mode, want := range map[MessageLog][2]int{"all": {1, 3}, "failed": {0, 3}, "none": {0, 0}} {
		k := newStack(t, config(func(cfg *Config) { cfg.LogMessages = mode }))
		c := k.login(t, gmailUser)
		c.Mail("a@example.com", "b@example.com")
		c.Data("text\r\n", "250")
		provider.Faults(t, k.sandbox, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "554 5.7.1 spam"})
		c.Mail("a@example.com", "b@example.com")
		c.Data("text\r\n", "554 5.7.1")
		c.Mail("a@example.com", "b@example.com", "c@example.com")
		c.Data("text\r\n", "554 5.7.1")
		provider.Faults(t, k.sandbox, sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "550 5.1.1 who"})
		c.Send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n")
		for _, code := range []string{"250", "550", "550", "554"} {
			c.Expect(code)
		}
		c.Cmd("QUIT", "221")
		k.back.Stop() // writes what waits
		accepted, failed := k.logs.FilterMessage("message accepted"), k.logs.FilterMessage("message not accepted")
		if got := [2]int{accepted.Len(), failed.Len()}; got != want {
			t.Errorf("%s: lines of accepted and other messages %v, want %v", mode, got, want)
		}
		if want[1] > 0 {
			got := fmt.Sprint(failed.All()[0].ContextMap())
			for _, f := range []string{"account:gmail", "email:" + gmailUser, "code:554", "reply:554 5.7.1 spam", "recipients:1", "octets:6", "remote:127.0.0.1:"} {
				if !strings.Contains(got, f) {
					t.Errorf("the line has %s, want %s", got, f)
				}
			}
		}
	}
}
