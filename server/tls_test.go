package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// TestTLSDelivers sends mail over every mode and both versions of TLS, with each
// octet of the client in its own write and as crypto/tls writes it.
func TestTLSDelivers(t *testing.T) {
	modes := []TLSMode{TLSOffered, TLSRequired, TLSImplicit, TLSDetect}
	k := newStack(t, withTLS(modes...))
	for i, mode := range modes {
		for name, version := range tlsVersions {
			for _, octets := range []bool{false, true} {
				t.Run(fmt.Sprintf("mode=%s/version=%s/octets=%v", mode, name, octets), func(t *testing.T) {
					if err := k.sandbox.ClearMessages(); err != nil {
						t.Fatal(err)
					}
					c := k.dialAt(t, i)
					var below net.Conn
					if octets {
						below = octetwise{c.TCP}
					}
					if mode == TLSImplicit || mode == TLSDetect {
						c.secure(clientConfig(version), below)
						c.Expect("220 mx.example.com")
						c.Cmd("EHLO client.example.com", "250")
					} else {
						c.starttls(clientConfig(version), below)
					}
					c.Login(gmailUser, "any")
					c.Mail("a@example.com", "b@example.com")
					c.Data("over TLS\r\n", "250 2.0.0")
					c.Cmd("QUIT", "221 2.0.0")
					c.ExpectEnd() // with close_notify, or this were an unexpected EOF
					checkMessage(t, provider.Messages(t, k.sandbox, 1)[0], "a@example.com", []string{"b@example.com"}, "over TLS\r\n")
				})
			}
		}
	}
	if n := k.engine.Handshakes(); n != 0 {
		t.Errorf("%d handshakes are left", n)
	}
	if n := k.back.Metric(t, `smtp_tls_handshakes_total{result="success"}`); n != 16 {
		t.Errorf("the counter of handshakes says %v", n)
	}
}

// TestTLSHasNoGoroutines looks for goroutines of sessions whose handshake is done,
// and of clients that have not begun theirs.
func TestTLSHasNoGoroutines(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit, TLSOffered), config(func(cfg *Config) { cfg.HandshakeTimeout = testkit.Patience }))
	for range 10 {
		k.dial(t) // silent; accepted before the next client of the same listener
		c := k.dial(t)
		c.secure(clientConfig(tls.VersionTLS13), nil)
		c.Expect("220")
		k.dialAt(t, 1).starttls(clientConfig(tls.VersionTLS12), nil)
	}
	stacks := make([]byte, 1<<20)
	testkit.Eventually(t, "no goroutine is in a handshake or belongs to a session", func() bool {
		all := string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(all, "loop.(*handshakes)") && !strings.Contains(all, "server.(*session)")
	})
	if n := k.Active(); n != 30 {
		t.Errorf("%d sessions", n)
	}
}

// TestTLSLargeContent sends a megabyte in one write, and then more than the
// records of one read.
func TestTLSLargeContent(t *testing.T) {
	k := newStack(t, withTLS(TLSOffered))
	body := strings.Repeat(strings.Repeat("0123456789abcdef", 4)+"\r\n", 1<<20/66+1)
	for name, version := range tlsVersions {
		t.Run(name, func(t *testing.T) {
			if err := k.sandbox.ClearMessages(); err != nil {
				t.Fatal(err)
			}
			c := k.dial(t)
			c.starttls(clientConfig(version), nil)
			c.Login(outlookUser, "any")
			for range 2 {
				c.Mail("a@example.com", "b@example.com")
				c.Data(body, "250 2.0.0")
			}
			c.Cmd("QUIT", "221")
			for _, m := range provider.Messages(t, k.sandbox, 2) {
				checkMessage(t, m, "a@example.com", []string{"b@example.com"}, body)
			}
		})
	}
}

// TestTLSPipelining sends a whole session in one record, and in one write with
// many records.
func TestTLSPipelining(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit))
	const message = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 6 LAST\r\ntext\r\n"
	for _, n := range []int{3, 400} {
		if err := k.sandbox.ClearMessages(); err != nil {
			t.Fatal(err)
		}
		c := k.dial(t)
		c.secure(clientConfig(tls.VersionTLS13), nil)
		c.Expect("220")
		c.Send("EHLO x\r\nAUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n" + message + strings.Repeat("NOOP\r\n", n) + message + "QUIT\r\n")
		for _, want := range []string{"250", "235", "250 2.1.0", "250 2.1.5", "250 2.0.0"} {
			c.Expect(want)
		}
		for range n {
			c.Expect("250 2.0.0 OK")
		}
		for _, want := range []string{"250 2.1.0", "250 2.1.5", "250 2.0.0", "221"} {
			c.Expect(want)
		}
		c.ExpectEnd()
		provider.Messages(t, k.sandbox, 2)
	}
}

// TestTLSPolicy checks what EHLO offers and what AUTH and STARTTLS are answered,
// in each mode, before and after TLS (RFC 3207 sections 4 and 4.2, RFC 4954
// section 4).
func TestTLSPolicy(t *testing.T) {
	k := newStack(t, withTLS(TLSNone, TLSOffered, TLSRequired, TLSDetect, TLSImplicit))
	login := "AUTH PLAIN " + testkit.Plain(gmailUser, "any")
	tests := []struct {
		listener       int
		offers, noAUTH bool // in clear
		auth           string
	}{
		{listener: 0, auth: "235"},
		{listener: 1, offers: true, auth: "235"},
		{listener: 2, offers: true, noAUTH: true, auth: "530 5.7.0 Must issue a STARTTLS"},
		{listener: 3, offers: true, auth: "235"},
	}
	for _, tt := range tests {
		c := k.dialAt(t, tt.listener)
		c.Expect("220")
		reply := c.Cmd("EHLO client.example.com", "250")
		if strings.Contains(reply, "STARTTLS") != tt.offers || strings.Contains(reply, "AUTH") == tt.noAUTH {
			t.Errorf("listener %d offers %q", tt.listener, reply)
		}
		if tt.offers {
			c.Cmd("STARTTLS now", "501 5.5.4")
		} else {
			c.Cmd("STARTTLS", "502 5.5.1")
		}
		for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
			if tt.noAUTH {
				c.Cmd("AUTH "+mechanism, "530 5.7.0 Must issue a STARTTLS")
			}
		}
		c.Cmd(login, tt.auth)
		if !tt.noAUTH {
			c.Cmd("STARTTLS", map[bool]string{false: "502", true: "503 5.5.1"}[tt.offers]) // logged in: too late
		}
		if !tt.offers {
			continue
		}
		c = k.dialAt(t, tt.listener)
		c.Expect("220")
		c.Cmd("STARTTLS", "503 5.5.1") // EHLO comes first
		c.Cmd("EHLO client.example.com", "250")
		c.Cmd("STARTTLS", "220 2.0.0")
		c.secure(clientConfig(tls.VersionTLS13), nil)
		c.Cmd("MAIL FROM:<a@example.com>", "503 5.5.1 Send EHLO") // what was said in clear is forgotten
		c.Cmd(login, "503 5.5.1")
		reply = c.Cmd("EHLO client.example.com", "250")
		if strings.Contains(reply, "STARTTLS") || !strings.Contains(reply, "AUTH") {
			t.Errorf("listener %d offers %q over TLS", tt.listener, reply)
		}
		c.Cmd("STARTTLS", "503 5.5.1")
		c.Cmd(login, "235")
	}
	c := k.dialAt(t, 4)
	c.secure(clientConfig(tls.VersionTLS12), nil)
	c.Expect("220")
	if reply := c.Cmd("EHLO client.example.com", "250"); strings.Contains(reply, "STARTTLS") || !strings.Contains(reply, "AUTH") {
		t.Errorf("implicit TLS offers %q", reply)
	}
	c.Cmd("STARTTLS", "503 5.5.1")
}

// TestSTARTTLSInjection has a man in the middle put something after STARTTLS
// in clear (CVE-2011-0411 and its kin): nothing of it may ever be read as a
// command of the session inside.
func TestSTARTTLSInjection(t *testing.T) {
	const evil = "MAIL FROM:<evil@example.com>\r\n"
	login := "EHLO evil.example.com\r\nAUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n" + evil
	tests := []struct{ name, after string }{
		{"a command", "RSET\r\n"},
		{"a login and a command", login},
		{"half a command", "MAI"},
		{"one octet", "\x16"},
		{"CRLF", "\r\n"},
		{"a ClientHello", string(clientHello(t))},
		{"a command and a ClientHello", evil + string(clientHello(t))},
		{"a ClientHello and a command", string(clientHello(t)) + evil},
		{"STARTTLS again", "STARTTLS\r\n"},
	}
	k := newStack(t, withTLS(TLSOffered, TLSDetect))
	t.Run("octets after STARTTLS", func(t *testing.T) { // ends when all of them have
		for _, tt := range tests {
			for listener := range 2 {
				t.Run(fmt.Sprintf("%s/listener=%d", tt.name, listener), func(t *testing.T) {
					t.Parallel()
					c := k.dialAt(t, listener)
					c.Expect("220")
					c.Cmd("EHLO client.example.com", "250")
					c.Send("STARTTLS\r\n" + tt.after)
					c.Expect("554 5.5.1")
					c.ExpectEnd()
				})
			}
		}
	})
	if n := k.back.Metric(t, `smtp_commands_total{command="MAIL"}`); n != 0 {
		t.Errorf("%v MAIL commands were run", n)
	}
	if n := k.back.Metric(t, `smtp_tls_handshakes_total{result="success"}`); n != 0 {
		t.Errorf("%v handshakes succeeded", n)
	}
}

// TestSTARTTLSInjectionLater sends the octets once the server has said 220, in
// clear: they belong to the handshake, which fails.
func TestSTARTTLSInjectionLater(t *testing.T) {
	k := newStack(t, withTLS(TLSOffered))
	for _, after := range []string{"NOOP\r\n", "MAIL FROM:<evil@example.com>\r\n", "NOOP\r\n" + string(clientHello(t)), string(clientHello(t)) + "NOOP\r\n"} {
		c := k.dial(t)
		c.Expect("220")
		c.Cmd("EHLO client.example.com", "250")
		c.Cmd("STARTTLS", "220")
		c.Send(after)
		got, err := io.ReadAll(c.TCP) // alerts, which are no lines of SMTP
		if strings.Contains(string(got), "250") || errors.Is(err, errTimeout(err)) {
			t.Errorf("%s: the answer is %q, %v", testkit.Brief(after), got, err)
		}
	}
	if n := k.back.Metric(t, `smtp_commands_total{command="NOOP"}`) + k.back.Metric(t, `smtp_commands_total{command="MAIL"}`); n != 0 {
		t.Errorf("%v commands were run", n)
	}
	testkit.Eventually(t, "all sessions have ended", func() bool { return k.Active() == 0 })
}

// errTimeout is err if it is a timeout, else one that nothing is.
func errTimeout(err error) error {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return err
	}
	return errors.New("no timeout")
}

// TestTLSDetect has clients of both kinds at one listener, each octet apart.
func TestTLSDetect(t *testing.T) {
	k := newStack(t, withTLS(TLSDetect))
	patient := k.dial(t)
	patient.Expect("220")
	patient.Cmd("EHLO client.example.com", "250")
	patient.Login(gmailUser, "any")
	early := k.dial(t) // talks before it is greeted
	early.Send("EHLO client.example.com\r\n")
	early.Expect("220")
	early.Expect("250")
	half := k.dial(t)
	half.Send("\x16")
	secure := k.dial(t)
	secure.secure(clientConfig(tls.VersionTLS13), octetwise{secure.TCP})
	secure.Expect("220")
	half.close()
	testkit.Eventually(t, "it has gone", func() bool { return k.Active() == 3 })
}

// TestTLSClose checks that the side that ends a session says so within TLS: close_notify
// (RFC 8446 section 6.1) after 221 and 421, and in answer to the client's.
func TestTLSClose(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit), config(func(cfg *Config) { cfg.MaxErrors = 1 }))
	for name, version := range tlsVersions {
		c := k.dial(t)
		c.secure(clientConfig(version), nil)
		c.Expect("220")
		c.Cmd("BOGUS", "500")
		c.Expect("421 4.7.0")
		c.ExpectEnd()
		c.close()

		c = k.dial(t)
		conn := c.secure(clientConfig(version), nil)
		c.Expect("220")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.ExpectEnd()

		c = k.dial(t)
		c.secure(clientConfig(version), nil)
		c.Expect("220")
		c.Send("QUIT\r\nNOOP\r\nNOOP\r\n") // the 221 must not be lost in a reset
		c.Expect("221")
		c.ExpectEnd()
		c.close()
		testkit.Eventually(t, name+": all sessions have ended", func() bool { return k.Active() == 0 })
	}
}

// TestTLSResumption resumes sessions in both versions.
func TestTLSResumption(t *testing.T) {
	k := newStack(t, withTLS(TLSOffered))
	for name, version := range tlsVersions {
		cfg := clientConfig(version)
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i := range 2 {
			c := k.dial(t)
			conn := c.starttls(cfg, nil)
			c.Cmd("QUIT", "221")
			c.ExpectEnd()
			if resumed := conn.ConnectionState().DidResume; resumed != (i == 1) {
				t.Errorf("version %s, connection %d: resumed is %v", name, i, resumed)
			}
		}
	}
}
