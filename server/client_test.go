package server

import (
	"net"
	"testing"

	"xoauth2-proxy/internal/testkit"
)

// client is the SMTP client of the tests.
type client struct{ *testkit.Client }

// newClient is a client on a connection, which it owns.
func newClient(t testing.TB, conn net.Conn) *client {
	t.Helper()
	return &client{testkit.NewClient(t, conn)}
}

// dial connects without reading the greeting.
func (k *stack) dial(t testing.TB) *client { t.Helper(); return k.dialAt(t, 0) }

func dialTo(t testing.TB, addr string) *client {
	t.Helper()
	return &client{testkit.Dial(t, addr)}
}

// dialFrom connects from an address of the loopback.
func dialFrom(t testing.TB, source, addr string) *client {
	t.Helper()
	d := net.Dialer{Timeout: testkit.Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

// greeted connects and says EHLO.
func (k *stack) greeted(t testing.TB) *client {
	t.Helper()
	c := k.dial(t)
	c.Hello()
	return c
}

// login connects and logs a user in.
func (k *stack) login(t testing.TB, user string) *client {
	t.Helper()
	c := k.greeted(t)
	c.Login(user, "any")
	return c
}

// close closes the connection below TLS.
func (c *client) close() {
	c.T.Helper()
	if err := c.TCP.Close(); err != nil {
		c.T.Fatal(err)
	}
}
