package server

import (
	"net"
	"testing"

	"xoauth2-proxy/internal/testkit"
)

// client is the SMTP client of the tests.
type client struct {
	*testkit.Client
	conn *net.TCPConn // below TLS; nil for a unix socket
}

// newClient is a client on a connection, which it owns.
func newClient(t testing.TB, conn net.Conn) *client {
	t.Helper()
	c := testkit.NewClient(t, conn)
	return &client{c, c.TCP}
}

// dial connects without reading the greeting.
func (k *stack) dial(t testing.TB) *client { t.Helper(); return k.dialAt(t, 0) }

func dialTo(t testing.TB, addr string) *client {
	t.Helper()
	c := testkit.Dial(t, addr)
	return &client{c, c.TCP}
}

// dialFrom connects from an address of the loopback.
func dialFrom(t testing.TB, source, addr string) *client {
	t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
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
	c.authenticate(user)
	return c
}

// The methods of testkit.Client by the names that the tests of this package use.

func (c *client) send(octets string)             { c.T.Helper(); c.Send(octets) }
func (c *client) reply() (string, error)         { return c.Reply() }
func (c *client) expect(want string) string      { c.T.Helper(); return c.Expect(want) }
func (c *client) cmd(line, want string) string   { c.T.Helper(); return c.Cmd(line, want) }
func (c *client) expectEnd()                     { c.T.Helper(); _ = c.ExpectEnd() }
func (c *client) codes() string                  { c.T.Helper(); return c.Codes() }
func (c *client) authenticate(user string)       { c.T.Helper(); c.Login(user, "any") }
func (c *client) mail(from string, to ...string) { c.T.Helper(); c.Mail(from, to...) }
func (c *client) message(body, want string) string {
	c.T.Helper()
	return c.Data(body, want)
}
func (c *client) fin()    { c.T.Helper(); c.CloseWrite() }
func (c *client) notify() { c.T.Helper(); c.CloseNotify() }
func (c *client) reset()  { c.T.Helper(); c.Reset() }
func (c *client) close() {
	c.T.Helper()
	if err := c.conn.Close(); err != nil {
		c.T.Fatal(err)
	}
}
