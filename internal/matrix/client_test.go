package matrix

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// client is an SMTP client of the proxy.
type client struct{ *testkit.Client }

var clients atomic.Uint32

// login connects and logs user in. The error is the connection's, or the reply by which
// the login was refused.
func (k *stack) login(user string) (*client, error) {
	n := clients.Add(1) // an address of its own: the server counts failed logins by address
	from := net.TCPAddr{IP: net.IPv4(127, byte(n>>16), byte(n>>8), byte(n))}
	d := net.Dialer{Timeout: patience, LocalAddr: &from}
	conn, err := d.Dial("tcp", k.server.Addrs()[0].String())
	if err != nil {
		return nil, err
	}
	c := &client{testkit.NewClient(nil, conn)}
	_, err = c.reply() // the greeting
	for _, line := range []string{"EHLO client.matrix.test", "AUTH PLAIN " + testkit.Plain(user, "any")} {
		if err == nil {
			var r string
			if r, err = c.ask(line + "\r\n"); err == nil && r[0] != '2' {
				err = refusal(r)
			}
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// refusal is a reply that refuses a login.
type refusal string

func (r refusal) Error() string { return string(r) }

func (c *client) close() { _ = c.Close() }

// reply reads one reply: its code, a space, and its lines without their codes,
// parted by "\n".
func (c *client) reply() (string, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	r, err := c.Reply()
	if err != nil {
		return "", err
	}
	lines := strings.Split(r, "\n")
	for i := range lines {
		lines[i] = lines[i][4:]
	}
	return r[:3] + " " + strings.Join(lines, "\n"), nil
}

// ask sends octets in one write and reads one reply.
func (c *client) ask(octets string) (string, error) {
	if _, err := io.WriteString(c, octets); err != nil {
		return "", err
	}
	return c.reply()
}

// style is how a client sends a transaction.
type style struct {
	pipelined bool // the envelope in one write
	bdat      bool // the content by BDAT, else by DATA
}

// letter is one message. Its reverse-path names it: no two have the same.
type letter struct {
	user    string
	from    string
	to      []string
	content string
}

var letters atomic.Int64

// newLetter makes a letter of user to n recipients, with lines that begin with
// a dot, about so many octets long.
func newLetter(user string, n, size int) letter {
	l := letter{user: user, from: fmt.Sprintf("l%d@sender.test", letters.Add(1))}
	for i := range n {
		l.to = append(l.to, fmt.Sprintf("r%d@recipient.test", i))
	}
	line := "..a line of " + l.from + " \x80\xff\r\n.\x20\r\n"
	l.content = "From: <" + l.from + ">\r\nSubject: matrix\r\n\r\n" + strings.Repeat(line, size/len(line)+1)
	return l
}

// outcome is what the client was told of a letter.
type outcome struct {
	mail  string
	rcpts []string
	final string // to DATA, if that was refused, or to the end of the content
	err   error  // of the connection
}

// told is what the client was told of recipient i, in the end.
func (o outcome) told(i int) string {
	if !strings.HasPrefix(o.mail, "2") {
		return o.mail
	}
	if i < len(o.rcpts) && o.rcpts[i][0] != '2' {
		return o.rcpts[i]
	}
	return o.final
}

// accepted lists the recipients that the client was told 250 for.
func (o outcome) accepted(l letter) (list []string) {
	for i, rcpt := range l.to {
		if strings.HasPrefix(o.told(i), "2") {
			list = append(list, rcpt)
		}
	}
	return list
}

// closing reports whether a reply of 421 ended the session.
func (o outcome) closing() bool {
	for _, r := range append([]string{o.mail, o.final}, o.rcpts...) {
		if strings.HasPrefix(r, "421") {
			return true
		}
	}
	return o.err != nil
}

// send hands over a letter.
func (c *client) send(l letter, how style) (o outcome) {
	read := func(into *string) bool {
		if o.err == nil {
			*into, o.err = c.reply()
		}
		return o.err == nil && !strings.HasPrefix(*into, "421")
	}
	commands := []string{"MAIL FROM:<" + l.from + "> BODY=8BITMIME\r\n"}
	for _, to := range l.to {
		commands = append(commands, "RCPT TO:<"+to+">\r\n")
	}
	if how.pipelined {
		commands = []string{strings.Join(commands, "")}
	}
	for i, command := range commands {
		if _, o.err = io.WriteString(c, command); o.err != nil {
			return o
		}
		if i == 0 && !read(&o.mail) {
			return o
		}
		n := i
		if how.pipelined {
			n = len(l.to)
		}
		for len(o.rcpts) < n {
			var r string
			if !read(&r) {
				if r != "" {
					o.rcpts = append(o.rcpts, r)
				}
				return o
			}
			o.rcpts = append(o.rcpts, r)
		}
	}
	c.content(l, how, &o)
	return o
}

// content sends the content after the envelope.
func (c *client) content(l letter, how style, o *outcome) {
	if how.bdat {
		o.final, o.err = c.ask("BDAT " + strconv.Itoa(len(l.content)) + " LAST\r\n" + l.content)
		return
	}
	if o.final, o.err = c.ask("DATA\r\n"); o.err == nil && strings.HasPrefix(o.final, "354") {
		o.final, o.err = c.ask(strings.ReplaceAll("\n"+l.content, "\n.", "\n..")[1:] + ".\r\n")
	}
}

// arrived returns what the provider has of a letter.
func (k *stack) arrived(l letter) (list []*sandbox.Message) {
	for _, m := range k.sandbox.Messages() {
		if m.ReversePath == l.from {
			list = append(list, m)
		}
	}
	return list
}

// checkCopy compares a message at the provider with its letter, sent to those
// recipients.
func checkCopy(t testing.TB, m *sandbox.Message, l letter, to []string) {
	t.Helper()
	if paths := provider.Paths(m); !slices.Equal(paths, to) {
		t.Errorf("letter %s went to %v, the client knows of %v", l.from, paths, to)
	}
	if string(m.Body) != l.content {
		t.Errorf("letter %s arrived with another content: %d octets, want %d", l.from, len(m.Body), len(l.content))
	}
	if m.Account != l.user {
		t.Errorf("letter %s of %s arrived under %s", l.from, l.user, m.Account)
	}
}
