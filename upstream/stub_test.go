package upstream

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
)

// stub is an upstream that allocates nothing while messages come in, and that
// says whatever a test wants. It speaks implicit TLS with the certificate of
// another server.
type stub struct {
	t    testing.TB
	addr string
	open sync.WaitGroup // connections that are being served
}

// wait waits until no connection is served any more.
func (s *stub) wait() { s.open.Wait() }

// stubCertificate is for 127.0.0.1; fixtures trust it.
var stubCertificate = sync.OnceValue(func() tls.Certificate { return testkit.Certificate("127.0.0.1") })

// newStub serves each connection by serve, from behind the TLS handshake.
func newStub(t testing.TB, serve func(c *tls.Conn)) *stub {
	t.Helper()
	s := &stub{t: t}
	cfg := &tls.Config{Certificates: []tls.Certificate{stubCertificate()}}
	s.addr = testkit.Serve(t, func(_ int, c net.Conn) {
		s.open.Add(1)
		defer s.open.Done()
		tc := tls.Server(c, cfg)
		_ = tc.SetDeadline(time.Now().Add(time.Minute))
		if tc.Handshake() == nil {
			serve(tc)
		}
	})
	return s
}

// account returns a copy of a that is submitted for at the stub.
func (s *stub) account(a *account.Account) *account.Account {
	host, n := testkit.HostPort(s.t, s.addr)
	stubbed := *a
	stubbed.SMTP = account.Endpoint{Host: host, Port: n, TLS: account.TLSImplicit}
	return &stubbed
}

// logIn plays the provider up to the answer to AUTH.
func logIn(c *tls.Conn, keywords []string) bool {
	var buf [16 << 10]byte
	for _, reply := range []string{
		"220 stub\r\n",
		"250-stub\r\n250-" + strings.Join(keywords, "\r\n250-") + "\r\n250 HELP\r\n",
		"235 2.7.0 ok\r\n",
	} {
		if _, err := io.WriteString(c, reply); err != nil {
			return false
		}
		if !strings.HasPrefix(reply, "235") {
			if _, err := c.Read(buf[:]); err != nil {
				return false
			}
		}
	}
	return true
}
