package testkit

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Client is an SMTP client that sends what a test says, and nothing else.
type Client struct {
	net.Conn               // what octets go through: TCP, or TLS over it
	TCP      *net.TCPConn  // the connection below TLS; nil for a unix socket
	R        *bufio.Reader // what comes
	// LineLimit is the most that a line of a reply may have, in octets with CRLF.
	// NewClient sets what RFC 5321 section 4.5.3.1.5 allows.
	LineLimit int
	T         testing.TB
}

// Dial connects, without reading the greeting.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(t, conn)
}

// NewClient is a client on a connection, which it owns. All that it does must be done
// within Patience. The connection ends with the test at the latest; t may be nil for a
// client of which only methods that return errors are used.
func NewClient(t testing.TB, conn net.Conn) *Client {
	c := &Client{Conn: conn, R: bufio.NewReader(conn), LineLimit: 512, T: t}
	c.TCP, _ = conn.(*net.TCPConn)
	if t != nil {
		t.Helper()
		t.Cleanup(func() { _ = conn.Close() })
	}
	_ = conn.SetDeadline(time.Now().Add(Patience)) // fails on a closed connection, which a test sees soon
	return c
}

// Send writes octets as they are, in one write.
func (c *Client) Send(octets string) {
	c.T.Helper()
	if _, err := io.WriteString(c.Conn, octets); err != nil {
		c.T.Fatalf("sending %s: %v", Brief(octets), err)
	}
}

// Reply reads one reply, its lines joined by "\n" without CR. With an error it returns
// what came before that.
func (c *Client) Reply() (string, error) {
	var lines []string
	for {
		line, err := c.R.ReadString('\n')
		if err != nil {
			return strings.Join(append(lines, line), "\n"), err
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok || len(text) < 4 || text[3] != ' ' && text[3] != '-' {
			return "", fmt.Errorf("%q is no line of a reply", line)
		}
		if len(line) > c.LineLimit {
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

// Expect reads one reply, which must begin with want.
func (c *Client) Expect(want string) string {
	c.T.Helper()
	got, err := c.Reply()
	if err != nil {
		c.T.Fatalf("waiting for %q: %v (got %q)", want, err, got)
	}
	if !strings.HasPrefix(got, want) {
		c.T.Fatalf("the reply is %q, want %q...", got, want)
	}
	return got
}

// Cmd sends a command line and expects its reply.
func (c *Client) Cmd(line, want string) string {
	c.T.Helper()
	c.Send(line + "\r\n")
	return c.Expect(want)
}

// ExpectEnd expects that the server closes and says nothing more. It returns nil, or the
// error of a connection that was reset.
func (c *Client) ExpectEnd() error {
	c.T.Helper()
	rest, err := io.ReadAll(c.R)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.T.Fatalf("waiting for the close: %v", err)
	}
	if len(rest) > 0 {
		c.T.Fatalf("before the close came %s", Brief(string(rest)))
	}
	return err
}

// Codes reads up to the end and gives the code of each reply.
func (c *Client) Codes() string {
	c.T.Helper()
	text, err := io.ReadAll(c.R)
	if err != nil {
		c.T.Fatalf("reading up to the end: %v", err)
	}
	var codes []string
	for line := range strings.Lines(string(text)) {
		if line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	return strings.Join(codes, " ")
}

// Hello reads the greeting and says EHLO.
func (c *Client) Hello() {
	c.T.Helper()
	c.Expect("220 ")
	c.Cmd("EHLO client.example.com", "250")
}

// Login says AUTH PLAIN.
func (c *Client) Login(user, password string) {
	c.T.Helper()
	c.Cmd("AUTH PLAIN "+Plain(user, password), "235 2.7.0")
}

// Mail begins a transaction for the recipients, which must all be accepted.
func (c *Client) Mail(from string, to ...string) {
	c.T.Helper()
	c.Cmd("MAIL FROM:<"+from+">", "250 2.1.0")
	for _, rcpt := range to {
		c.Cmd("RCPT TO:<"+rcpt+">", "250 2.1.")
	}
}

// Data sends content by DATA and expects the final reply. The content is in wire form
// without the end-of-data line.
func (c *Client) Data(content, want string) string {
	c.T.Helper()
	c.Cmd("DATA", "354")
	c.Send(content + ".\r\n")
	return c.Expect(want)
}

// Handshake has all that follows go through TLS. It runs over below, or over the TCP
// connection if that is nil.
func (c *Client) Handshake(cfg *tls.Config, below net.Conn) (*tls.Conn, error) {
	if below == nil {
		below = c.TCP
	}
	conn := tls.Client(below, cfg)
	err := conn.Handshake()
	c.Conn, c.R = conn, bufio.NewReader(conn)
	return conn, err
}

// StartTLS is Hello, STARTTLS, a handshake that must succeed, and EHLO again.
func (c *Client) StartTLS(cfg *tls.Config, below net.Conn) *tls.Conn {
	c.T.Helper()
	c.Hello()
	c.Cmd("STARTTLS", "220 2.0.0")
	conn, err := c.Handshake(cfg, below)
	if err != nil {
		c.T.Fatalf("the handshake: %v", err)
	}
	c.Cmd("EHLO client.example.com", "250")
	return conn
}

// CloseWrite closes the sending side of TCP. The server may have closed the connection,
// if it has seen an end before.
func (c *Client) CloseWrite() {
	c.T.Helper()
	if err := c.TCP.CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		c.T.Fatal(err)
	}
}

// CloseNotify closes the sending side of TLS.
func (c *Client) CloseNotify() {
	c.T.Helper()
	if err := c.Conn.(*tls.Conn).CloseWrite(); err != nil {
		c.T.Fatal(err)
	}
}

// Reset closes the connection with RST.
func (c *Client) Reset() {
	c.T.Helper()
	if err := c.TCP.SetLinger(0); err != nil {
		c.T.Fatal(err)
	}
	if err := c.TCP.Close(); err != nil {
		c.T.Fatal(err)
	}
}

// Plain is the initial response of AUTH PLAIN (RFC 4616) in base64.
func Plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// XOAuth2 is the initial response of AUTH XOAUTH2 in base64.
func XOAuth2(user, token string) string {
	return base64.StdEncoding.EncodeToString(xoauth2Response(user, token))
}

// XOAuth2Auth is AUTH XOAUTH2 for the client of the standard library.
func XOAuth2Auth(user, token string) smtp.Auth { return xoauth2{user, token} }

type xoauth2 struct{ user, token string }

// Start implements smtp.Auth.
func (a xoauth2) Start(*smtp.ServerInfo) (string, []byte, error) {
	return "XOAUTH2", xoauth2Response(a.user, a.token), nil
}

// Next implements smtp.Auth. It cancels the exchange with an empty response.
func (xoauth2) Next([]byte, bool) ([]byte, error) { return nil, nil }

func xoauth2Response(user, token string) []byte {
	return []byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01")
}

// LogIn connects with the client of the standard library and says AUTH PLAIN.
func LogIn(addr, user, password string) (*smtp.Client, error) {
	c, err := smtp.Dial(addr)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err == nil {
		err = c.Auth(smtp.PlainAuth("", user, password, host))
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Submit runs one transaction by the client of the standard library. A nil error is a
// positive reply to the end of the content, which may have any lines.
func Submit(c *smtp.Client, from string, to []string, content []byte) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, rcpt := range to {
		if err := c.Rcpt(rcpt); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	return w.Close()
}
