package lab

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"xoauth2-proxy/codec"
)

// Patience is how long a client waits for any reply: longer than the proxy may take
// for a message.
const Patience = 30 * time.Second

// Dial connects to the proxy from an address of loopback, as the proxy counts some
// things by address; nil for the usual one.
func Dial(addr string, from net.IP) (net.Conn, error) {
	d := net.Dialer{Timeout: Patience}
	if from != nil {
		d.LocalAddr = &net.TCPAddr{IP: from}
	}
	return d.Dial("tcp", addr)
}

// A Client is an SMTP client that sends a command at a time.
type Client struct {
	net.Conn
	r *bufio.Reader
}

// Open reads the greeting and logs in, if login is not empty. It takes the
// connection, and closes it if it fails.
func Open(conn net.Conn, login string) (*Client, error) {
	c := &Client{conn, bufio.NewReaderSize(conn, 512)}
	commands := []string{""}
	if login != "" {
		response := codec.AppendBase64(nil, []byte("\x00"+login+"\x00any"))
		commands = append(commands, "EHLO bench.test", "AUTH PLAIN "+string(response))
	}
	for _, command := range commands {
		if err := c.Ask(command, '2'); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return c, nil
}

// A Refusal is a reply of another class than was wanted.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// Closing reports whether the server closes the connection after the reply.
func (r Refusal) Closing() bool { return strings.HasPrefix(string(r), "421") }

// Ask sends a command, unless it is empty, and reads its reply, which should be of
// the class: a Refusal if it is not.
func (c *Client) Ask(command string, class byte) error {
	if err := c.SetDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	if command != "" {
		if _, err := io.WriteString(c.Conn, command+"\r\n"); err != nil {
			return err
		}
	}
	for {
		line, err := c.r.ReadString('\n')
		switch {
		case err != nil:
			return err
		case len(line) < 4:
			return fmt.Errorf("%q is no line of a reply", line)
		case line[3] == '-':
			continue
		case line[0] != class:
			return Refusal(strings.TrimSpace(line))
		}
		return nil
	}
}

// Envelope opens a transaction with so many recipients.
func (c *Client) Envelope(recipients int) error {
	err := c.Ask("MAIL FROM:<from@bench.test>", '2')
	for i := 0; i < recipients && err == nil; i++ {
		err = c.Ask(fmt.Sprintf("RCPT TO:<r%d@bench.test>", i), '2')
	}
	return err
}

// Data sends the content of a transaction, whose lines end with CRLF, by DATA. Ended
// is false if the server did not want it.
func (c *Client) Data(content string) (ended bool, err error) {
	if err := c.Ask("DATA", '3'); err != nil {
		return false, err
	}
	return true, c.Ask(strings.ReplaceAll(content, "\n.", "\n..")+".", '2')
}
