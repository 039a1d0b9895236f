package server

import (
	"context"
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestHandshakeGarbage sends what is no handshake, or stops being one: the
// session ends, without a word of SMTP in clear.
func TestHandshakeGarbage(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit))
	hello := string(clientHello(t))
	damaged := []byte(hello)
	damaged[len(damaged)/2] ^= 0xff
	tests := map[string]string{
		"SMTP":                   "EHLO client.example.com\r\n",
		"HTTP":                   "GET / HTTP/1.1\r\nHost: mx.example.com\r\n\r\n",
		"zeros":                  strings.Repeat("\x00", 2000),
		"a record too long":      "\x16\x03\x01\xff\xff" + strings.Repeat("x", 2000),
		"an empty record":        "\x16\x03\x01\x00\x00",
		"another handshake type": "\x16\x03\x01\x00\x04\x02\x00\x00\x00",
		"application data":       "\x17\x03\x03\x00\x05hello",
		"hello and garbage":      hello + "EHLO client.example.com\r\n",
		"a handshake too long":   "\x16\x03\x01\x40\x00\x01\xff\xff\xff" + strings.Repeat("x", 70_000),
		"SSLv2":                  "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
	}
	for name, octets := range tests {
		c := k.dial(t)
		_, _ = io.WriteString(c.TCP, octets) // may fail when the session has ended before
		got, err := io.ReadAll(c.TCP)
		if err != nil && err == errTimeout(err) {
			t.Errorf("%s: the session goes on", name)
		}
		if strings.Contains(string(got), "220") || strings.Contains(string(got), "500") {
			t.Errorf("%s: answered in clear: %q", name, got)
		}
	}
	testkit.Eventually(t, "all sessions have ended", func() bool { return k.Active() == 0 && k.engine.Handshakes() == 0 })
}

// TestHandshakeTimeout leaves handshakes at every stage, and PROXY headers.
func TestHandshakeTimeout(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit, TLSOffered), config(func(cfg *Config) {
		cfg.HandshakeTimeout = time.Second
		cfg.Listeners = append(cfg.Listeners, Listener{Address: "127.0.0.1:0", ProxyFrom: loopback})
	}))
	hello := string(clientHello(t))
	var clients []*client
	stop := func(listener int, octets string) {
		c := k.dialAt(t, listener)
		if listener == 1 {
			c.Expect("220")
			c.Cmd("EHLO client.example.com", "250")
			c.Cmd("STARTTLS", "220")
		}
		c.Send(octets)
		clients = append(clients, c)
	}
	for listener := range 2 {
		for _, octets := range []string{"", hello[:1], hello[:len(hello)/2], hello} {
			stop(listener, octets)
		}
	}
	for _, octets := range []string{"", "PROXY ", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2"} {
		stop(2, octets)
	}
	for i, c := range clients {
		got, err := io.ReadAll(c.TCP)
		if err != nil || strings.Contains(string(got), "421") {
			t.Errorf("client %d: %q, %v", i, got, err)
		}
	}
	testkit.Eventually(t, "all sessions have ended", func() bool { return k.Active() == 0 && k.engine.Handshakes() == 0 })
	if n := k.back.Metric(t, "smtp_timeouts_total"); n != float64(len(clients)) {
		t.Errorf("the counter of timeouts says %v, want %d", n, len(clients))
	}
}

// TestHandshakesGiveWay fills all places with handshakes that no client continues.
// They do not keep others out.
func TestHandshakesGiveWay(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit), config(func(cfg *Config) { cfg.HandshakeTimeout = time.Hour }))
	k.engine.LimitHandshakes(4)
	hello := string(clientHello(t))
	for range 20 {
		k.dial(t).Send(hello)
	}
	testkit.Eventually(t, "only so many are left", func() bool {
		return k.engine.Handshakes() == 4 && k.back.Metric(t, `smtp_tls_handshakes_total{result="gave_way"}`) == 16
	})
	for range 5 {
		c := k.dial(t)
		c.secure(clientConfig(tls.VersionTLS13), nil)
		c.Expect("220")
		c.Cmd("QUIT", "221")
	}
	// A client that has sent no whole record takes no place.
	before := k.engine.Handshakes()
	for range 20 {
		k.dial(t).Send(hello[:100])
	}
	if n := k.engine.Handshakes(); n > before {
		t.Errorf("%d handshakes are under way, before it were %d", n, before)
	}
}

// TestDrainTLS shuts down while handshakes are under way, sessions are idle
// within TLS and one has a message with the provider. Each is ended as it should
// be: without a word, with 421 and close_notify, with the provider's reply.
func TestDrainTLS(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit, TLSOffered))
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
		For: sandbox.Duration(500 * time.Millisecond)})
	half, silent := k.dial(t), k.dial(t)
	half.Send(string(clientHello(t)))
	upgrading := k.dialAt(t, 1)
	upgrading.Expect("220")
	upgrading.Cmd("EHLO client.example.com", "250")
	upgrading.Cmd("STARTTLS", "220")
	idle := k.dial(t)
	idle.secure(clientConfig(tls.VersionTLS13), nil)
	idle.Expect("220")
	running := k.dialAt(t, 1)
	running.starttls(clientConfig(tls.VersionTLS12), nil)
	running.Login(gmailUser, "any")
	running.Mail("a@example.com", "b@example.com")
	running.Cmd("DATA", "354")
	running.Send("text\r\n.\r\n")
	provider.Fired(t, k.sandbox, "think", 1)

	done := make(chan int64)
	go func() { done <- k.Shutdown(testkit.Context(t)) }()
	for _, c := range []*client{half, silent, upgrading} {
		got, err := io.ReadAll(c.TCP)
		if err != nil && err == errTimeout(err) || strings.Contains(string(got), "421") {
			t.Errorf("in a handshake: %q, %v", got, err)
		}
	}
	idle.Expect("421 4.3.2")
	idle.ExpectEnd()
	idle.close()
	running.Expect("250 2.0.0")
	running.Expect("421 4.3.2")
	running.ExpectEnd()
	running.close()
	if cut := <-done; cut != 0 {
		t.Errorf("%d sessions were cut off", cut)
	}
	provider.Messages(t, k.sandbox, 1)
	k.checkNothingLeft(t)
}

// TestShutdownWithinHandshakes ends the server at once while many handshakes are
// under way. That no goroutine is left, TestMain sees.
func TestShutdownWithinHandshakes(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit))
	hello := string(clientHello(t))
	var clients []*client
	for i := range 40 {
		c := k.dial(t)
		c.Send(hello[:len(hello)*(i%5)/4])
		clients = append(clients, c)
	}
	testkit.Eventually(t, "they are under way", func() bool { return k.engine.Handshakes() >= 8 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	k.Shutdown(ctx)
	for _, c := range clients {
		if got, _ := io.ReadAll(c.TCP); strings.Contains(string(got), "421") {
			t.Errorf("in a handshake: %q", got)
		}
	}
	k.checkNothingLeft(t)
}

// TestTLSClientGone drops connections at every stage of TLS.
func TestTLSClientGone(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit))
	hello := string(clientHello(t))
	for cut := 0; cut <= len(hello); cut += 37 {
		c := k.dial(t)
		c.Send(hello[:cut])
		if cut%2 == 0 {
			c.Reset()
		} else {
			c.close()
		}
	}
	for range 10 {
		c := k.dial(t)
		c.secure(clientConfig(tls.VersionTLS13), nil)
		c.Expect("220")
		c.Send("EHLO client.example.com\r\nNOOP")
		c.Reset()
	}
	testkit.Eventually(t, "all sessions have ended", func() bool { return k.Active() == 0 && k.engine.Handshakes() == 0 })
}
