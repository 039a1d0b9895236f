//go:build e2e

package e2e

import (
	"bufio"
	"encoding/base64"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// console is openssl s_client, whose lines are typed one by one. At the start of
// a line "R" renegotiates, "K" updates keys, and "Q" quits, so that commands are
// written in lower case.
type console struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string
	exited chan struct{}
}

// consoleTimeout is for one answer.
const consoleTimeout = 30 * time.Second

// opensslClient connects with s_client.
func opensslClient(t *testing.T, args ...string) *console {
	t.Helper()
	c := &console{t: t, lines: make(chan string, 1000), exited: make(chan struct{})}
	c.cmd = exec.Command(program(t, "openssl"), append([]string{"s_client", "-crlf", "-verify_return_error"}, args...)...)
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = c.cmd.Stdout // it tells there what it does at our command
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.exited)
		for r := bufio.NewReader(stdout); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				c.lines <- strings.TrimRight(line, "\r\n")
			}
			if err != nil {
				break
			}
		}
		_ = c.cmd.Wait() // it may have been killed
	}()
	t.Cleanup(func() {
		c.stdin.Close()
		_ = c.cmd.Process.Kill()
		<-c.exited
	})
	return c
}

// line types a line, and waits for one that begins with want.
func (c *console) line(text, want string) {
	c.t.Helper()
	if _, err := io.WriteString(c.stdin, text+"\n"); err != nil {
		c.t.Fatalf("%s: %v", text, err)
	}
	if want == "" {
		return
	}
	timeout := time.After(consoleTimeout)
	for {
		select {
		case line := <-c.lines:
			if strings.HasPrefix(line, want) {
				return
			}
			if len(line) > 3 && (line[0] == '4' || line[0] == '5') && line[3] == ' ' {
				c.t.Fatalf("%s: the proxy says %q, want %q", text, line, want)
			}
		case <-c.exited:
			c.t.Fatalf("%s: openssl has ended, want %q", text, want)
		case <-timeout:
			c.t.Fatalf("%s: no %q", text, want)
		}
	}
}

// TestOpenSSL sends mail with openssl s_client, as one does by hand: by STARTTLS
// and implicit TLS, in both versions, with keys updated within the session.
func TestOpenSSL(t *testing.T) {
	s := newSecured(t)
	for name, args := range map[string][]string{
		"starttls 1.2": {"-starttls", "smtp", "-tls1_2", "-connect", "localhost:" + s.port()},
		"starttls 1.3": {"-starttls", "smtp", "-tls1_3", "-connect", "localhost:" + s.port()},
		"implicit 1.2": {"-tls1_2", "-connect", "localhost:" + s.implicitPort},
		"implicit 1.3": {"-tls1_3", "-connect", "localhost:" + s.implicitPort},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.provider.ClearMessages(); err != nil {
				t.Fatal(err)
			}
			c := opensslClient(t, append(args, "-CAfile", s.ca)...)
			update := func() {
				if strings.HasSuffix(name, "1.3") {
					c.line("K", "KEYUPDATE") // our keys, and the proxy's are asked for
				}
				c.line("noop", "250 2.0.0")
			}
			// What s_client says of the reply before TLS is its last line.
			c.line("ehlo client.example.com", "250-AUTH")
			update()
			c.line("auth plain "+base64.StdEncoding.EncodeToString([]byte("\x00"+gmailUser+"\x00"+clientPassword)), "235 ")
			update()
			c.line("mail from:<a@example.com>", "250 2.1.0")
			c.line("rcpt to:<b@example.com>", "250 2.1.5")
			c.line("data", "354 ")
			c.line("by hand\n.", "250 2.0.0")
			update()
			c.line("quit", "221 ")
			<-c.exited
			s.arrived(t, mail{login: gmailUser, from: "a@example.com", to: []string{"b@example.com"}, content: []byte("by hand\r\n")})
		})
	}
}

// TestOpenSSLRenegotiation is refused: the session ends, and others go on.
func TestOpenSSLRenegotiation(t *testing.T) {
	s := newSecured(t)
	args := []string{"-tls1_2", "-connect", "localhost:" + s.implicitPort, "-CAfile", s.ca}
	other := opensslClient(t, args...)
	other.line("ehlo client.example.com", "250-AUTH")
	c := opensslClient(t, args...)
	c.line("ehlo client.example.com", "250-AUTH")
	c.line("R", "")
	select {
	case <-c.exited:
	case <-time.After(consoleTimeout):
		t.Error("the session goes on")
	}
	other.line("noop", "250 2.0.0")
	other.line("quit", "221 ")
}
