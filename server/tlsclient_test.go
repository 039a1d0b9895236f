package server

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"sync"
	"testing"

	"xoauth2-proxy/internal/testkit"
)

// selfSigned makes a certificate for mx.example.com, and the pool that trusts
// it.
var selfSigned = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	cert := testkit.Certificate("mx.example.com")
	return cert, testkit.Roots(cert)
})

// withTLS has a listener for each of the modes.
func withTLS(modes ...TLSMode) stackOption {
	return config(func(cfg *Config) {
		cert, _ := selfSigned()
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
		cfg.Listeners = nil
		for _, m := range modes {
			cfg.Listeners = append(cfg.Listeners, Listener{Address: "127.0.0.1:0", TLS: m})
		}
	})
}

// clientConfig allows a client one version of TLS only.
func clientConfig(version uint16) *tls.Config {
	_, pool := selfSigned()
	return &tls.Config{ServerName: "mx.example.com", RootCAs: pool, MinVersion: version, MaxVersion: version}
}

// dialAt connects to the listener of that index.
func (k *stack) dialAt(t testing.TB, listener int) *client {
	t.Helper()
	return dialTo(t, k.Addrs()[listener].String())
}

// secure runs the handshake, and has all that follows go through TLS. below, if
// not nil, is what the handshake goes through instead of the connection.
func (c *client) secure(cfg *tls.Config, below net.Conn) *tls.Conn {
	c.T.Helper()
	conn, err := c.Handshake(cfg, below)
	if err != nil {
		c.T.Fatalf("the handshake: %v", err)
	}
	return conn
}

// starttls says EHLO, STARTTLS, and EHLO again.
func (c *client) starttls(cfg *tls.Config, below net.Conn) *tls.Conn {
	c.T.Helper()
	return c.StartTLS(cfg, below)
}

// octetwise writes each octet by itself.
type octetwise struct{ net.Conn }

func (o octetwise) Write(b []byte) (int, error) {
	for i := range b {
		if n, err := o.Conn.Write(b[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(b), nil
}

// captured keeps what is written instead of sending it.
type captured struct {
	net.Conn
	sent []byte
}

func (c *captured) Write(b []byte) (int, error) {
	c.sent = append(c.sent, b...)
	return len(b), nil
}

// Read tells the handshake that nothing comes.
func (c *captured) Read([]byte) (int, error) { return 0, io.EOF }

// clientHello is the first flight of a client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	c := &captured{}
	if err := tls.Client(c, clientConfig(tls.VersionTLS13)).Handshake(); err == nil {
		t.Fatal("the handshake succeeded without a server")
	}
	return c.sent
}
