package server

import (
	"crypto/tls"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/testkit/provider"
)

// panicky is a relay with a fault of its own: it panics on the loop.
type panicky struct{ Relay }

// Stuck implements Relay.
func (panicky) Stuck() bool { return false }

func (panicky) Expect(*account.Account, *loop.Loop) {}

// TestPanicClosesOneSession has a session panic. It is closed, and counted; the
// others on its loop go on.
func TestPanicClosesOneSession(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	other := k.login(t, outlookUser)
	other.Mail("a@example.com", "b@example.com")
	c := k.login(t, gmailUser)
	c.Mail("a@example.com", "b@example.com")
	k.onLoops(t, func(*eventLoop) { k.Server.relay = panicky{} }) // every call of it dereferences nil
	c.Cmd("DATA", "354")
	c.Send("text\r\n.\r\n")
	c.ExpectEnd()
	k.onLoops(t, func(*eventLoop) { k.Server.relay = k.relay })
	other.Data("text\r\n", "250 2.0.0")
	other.Cmd("QUIT", "221")
	if n := k.back.Metric(t, "smtp_session_panics_total"); n != 1 {
		t.Errorf("the counter says %v", n)
	}
	provider.Messages(t, k.sandbox, 1)
	k.metrics.Panics.Dec() // was expected
}

// TestPanicInHandshake has a handshake panic: its session ends, and the others go
// on.
func TestPanicInHandshake(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit), config(func(cfg *Config) {
		certificate := cfg.TLS.Certificates[0]
		cfg.TLS.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if hello.ServerName == "panic.example.com" {
				panic("a fault of its own")
			}
			return &certificate, nil
		}
		cfg.TLS.Certificates = nil
	}))
	other := k.dial(t)
	other.secure(clientConfig(tls.VersionTLS13), nil)
	other.Expect("220")
	for name, version := range tlsVersions {
		c := k.dial(t)
		cfg := clientConfig(version)
		cfg.ServerName = "panic.example.com"
		if err := tls.Client(c.TCP, cfg).Handshake(); err == nil {
			t.Errorf("version %s: the handshake succeeded", name)
		}
		c.ExpectEnd()
	}
	other.Cmd("QUIT", "221")
	if n := k.back.Metric(t, "smtp_session_panics_total"); n != 2 {
		t.Errorf("the counter says %v", n)
	}
	k.metrics.Panics.Add(-2) // were expected
}
