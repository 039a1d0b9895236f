package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// client is an SMTP client that sends what a test says, nothing else.
type client struct {
	t    testing.TB
	conn *net.TCPConn
	w    io.Writer // conn, or TLS on it
	r    *bufio.Reader
}

// maxReplyLine is what RFC 5321 section 4.5.3.1.5 allows, CRLF included.
const maxReplyLine = 512

// dial connects without reading the greeting.
func (k *stack) dial(t testing.TB) *client {
	t.Helper()
	return dialTo(t, k.Addrs()[0].String())
}

func dialTo(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

// newClient is a client on a connection, which it owns.
func newClient(t testing.TB, c net.Conn) *client {
	t.Helper()
	cl := &client{t: t, w: c, r: bufio.NewReader(c)}
	cl.conn, _ = c.(*net.TCPConn) // nil for a unix socket
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return cl
}

// greeted connects and says EHLO.
func (k *stack) greeted(t testing.TB) *client {
	t.Helper()
	c := k.dial(t)
	c.expect("220")
	c.cmd("EHLO client.example.com", "250")
	return c
}

// login connects and logs a user in.
func (k *stack) login(t testing.TB, user string) *client {
	t.Helper()
	c := k.greeted(t)
	c.cmd("AUTH PLAIN "+plainResponse(user, "any"), "235")
	return c
}

// send writes octets as they are, in one write.
func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.w, s); err != nil {
		c.t.Fatalf("sending %s: %v", brief(s), err)
	}
}

// reply reads one reply, its lines joined by "\n" without CR.
func (c *client) reply() (string, error) {
	var lines []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return strings.Join(append(lines, line), "\n"), err
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok || len(text) < 4 || text[3] != ' ' && text[3] != '-' {
			return "", fmt.Errorf("%q is no line of a reply", line)
		}
		if len(line) > maxReplyLine {
			return "", fmt.Errorf("a line of a reply has %d octets", len(line))
		}
		if len(lines) > 0 && text[:3] != lines[0][:3] {
			return "", fmt.Errorf("line %q in a reply of code %s", line, lines[0][:3])
		}
		lines = append(lines, text)
		if text[3] == ' ' {
			return strings.Join(lines, "\n"), nil
		}
	}
}

// expect reads one reply, which must begin with want.
func (c *client) expect(want string) string {
	c.t.Helper()
	got, err := c.reply()
	if err != nil {
		c.t.Fatalf("waiting for %q: %v (got %q)", want, err, got)
	}
	if !strings.HasPrefix(got, want) {
		c.t.Fatalf("the reply is %q, want %q...", got, want)
	}
	return got
}

// cmd sends a command line and expects its reply.
func (c *client) cmd(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(want)
}

// expectEnd expects that the server closes and says nothing more.
func (c *client) expectEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("waiting for the close: %v", err)
	}
	if len(rest) > 0 {
		c.t.Fatalf("before the close came %s", brief(string(rest)))
	}
}

// mail begins a transaction for the recipients, which must all be accepted.
func (c *client) mail(from string, to ...string) {
	c.t.Helper()
	c.cmd("MAIL FROM:<"+from+">", "250 2.1.0")
	for _, rcpt := range to {
		c.cmd("RCPT TO:<"+rcpt+">", "250 2.1.")
	}
}

// message sends a whole message by DATA; body is in wire form without the
// end-of-data line.
func (c *client) message(body, want string) string {
	c.t.Helper()
	c.cmd("DATA", "354")
	c.send(body + ".\r\n")
	return c.expect(want)
}

// reset closes the connection with RST.
func (c *client) reset() {
	c.t.Helper()
	if err := c.conn.SetLinger(0); err != nil {
		c.t.Fatal(err)
	}
	c.close()
}

func (c *client) close() {
	c.t.Helper()
	if err := c.conn.Close(); err != nil {
		c.t.Fatal(err)
	}
}
