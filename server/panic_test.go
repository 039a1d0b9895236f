package server

import (
	"crypto/tls"
	"testing"
)

// panicky is a relay with a fault of its own: it panics on the loop.
type panicky struct{ Relay }

// Stuck implements Relay.
func (panicky) Stuck() bool { return false }

// TestPanicClosesOneSession has a session panic. It is closed, and counted; the
// others on its loop go on.
func TestPanicClosesOneSession(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	other := k.login(t, outlookUser)
	other.mail("a@example.com", "b@example.com")
	c := k.login(t, gmailUser)
	c.mail("a@example.com", "b@example.com")
	k.onLoops(t, func(*eventLoop) { k.Server.relay = panicky{} }) // every call of it dereferences nil
	c.cmd("DATA", "354")
	c.send("text\r\n.\r\n")
	c.expectEnd()
	k.onLoops(t, func(*eventLoop) { k.Server.relay = k.relay })
	other.message("text\r\n", "250 2.0.0")
	other.cmd("QUIT", "221")
	if n := k.counter(t, "smtp_session_panics_total"); n != 1 {
		t.Errorf("the counter says %v", n)
	}
	k.messages(t, 1)
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
	other.expect("220")
	for name, version := range tlsVersions {
		c := k.dial(t)
		cfg := clientConfig(version)
		cfg.ServerName = "panic.example.com"
		if err := tls.Client(c.conn, cfg).Handshake(); err == nil {
			t.Errorf("version %s: the handshake succeeded", name)
		}
		c.expectEnd()
	}
	other.cmd("QUIT", "221")
	if n := k.counter(t, "smtp_session_panics_total"); n != 2 {
		t.Errorf("the counter says %v", n)
	}
	k.metrics.Panics.Add(-2) // were expected
}
