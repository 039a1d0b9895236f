package smtpclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
)

// loginPeer is a provider on the loopback that answers each line with the next of its
// replies, and keeps what it was told.
type loginPeer struct {
	replies []string // the first one is the greeting; "TLS": a handshake after it
	lines   chan string
}

// serve talks with one client until that ends, and closes lines then.
func (p *loginPeer) serve(c net.Conn, cfg *tls.Config) {
	defer close(p.lines)
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for i, reply := range p.replies {
		if i > 0 && reply != "TLS" && p.replies[i-1] != "TLS" {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			p.lines <- strings.TrimSpace(line)
		}
		if reply == "TLS" {
			tc := tls.Server(c, cfg)
			if tc.Handshake() != nil {
				return
			}
			c, in = tc, bufio.NewReader(tc)
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			p.lines <- strings.TrimSpace(line)
			continue
		}
		if _, err := c.Write([]byte(reply)); err != nil {
			return
		}
	}
	for { // what is said after the last reply
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		p.lines <- strings.TrimSpace(line)
		if strings.TrimSpace(line) == "QUIT" {
			_, _ = c.Write([]byte("221 2.0.0 bye\r\n"))
		}
	}
}

// TestLeave: a login that fails ends with QUIT (RFC 5321 section 4.1.1.10), but not
// where the provider listens no more.
func TestLeave(t *testing.T) {
	const greeting, plain, start = "220 hi\r\n", "250-host\r\n250 STARTTLS\r\n", "220 2.0.0 go\r\n"
	const offer = "250-host\r\n250 AUTH XOAUTH2\r\n"
	for _, tt := range []struct {
		name    string
		replies []string
		said    string
		phase   string
	}{
		{"greeting refused", []string{"554 5.3.2 no\r\n"}, "QUIT", "greeting"},
		{"greeting of another code", []string{"250 hi\r\n"}, "QUIT", "greeting"},
		{"greeting 421", []string{"421 4.3.2 bye\r\n"}, "", "greeting"},
		{"greeting garbage", []string{"hello\r\n"}, "", "greeting"},
		{"EHLO refused", []string{greeting, "502 5.5.1 what\r\n"}, "EHLO me,QUIT", "EHLO"},
		{"EHLO 421", []string{greeting, "421 4.3.2 bye\r\n"}, "EHLO me", "EHLO"},
		{"STARTTLS not offered", []string{greeting, "250 host\r\n"}, "EHLO me,QUIT", "TLS"},
		{"STARTTLS refused", []string{greeting, plain, "454 4.7.0 not now\r\n"}, "EHLO me,STARTTLS,QUIT", "TLS"},
		{"STARTTLS 421", []string{greeting, plain, "421 4.7.0 bye\r\n"}, "EHLO me,STARTTLS", "TLS"},
		{"more after STARTTLS", []string{greeting, plain, start + "250 evil\r\n"}, "EHLO me,STARTTLS", "TLS"},
		{"certificate not trusted", []string{greeting, plain, start, "TLS"}, "EHLO me,STARTTLS", "TLS"},
		{"EHLO under TLS refused", []string{greeting, plain, start, "TLS", "502 5.5.1 what\r\n"}, "EHLO me,STARTTLS,EHLO me,QUIT", "EHLO"},
		{"AUTH refused", []string{greeting, plain, start, "TLS", offer, "535 5.7.8 no\r\n"},
			"EHLO me,STARTTLS,EHLO me,AUTH XOAUTH2 c2VjcmV0,QUIT", "AUTH"},
		{"AUTH refused after a challenge", []string{greeting, plain, start, "TLS", offer, "334 eyJ9\r\n", "535 5.7.8 no\r\n"},
			"EHLO me,STARTTLS,EHLO me,AUTH XOAUTH2 c2VjcmV0,,QUIT", "AUTH"},
		{"AUTH 421", []string{greeting, plain, start, "TLS", offer, "421 4.7.0 bye\r\n"},
			"EHLO me,STARTTLS,EHLO me,AUTH XOAUTH2 c2VjcmV0", "AUTH"},
		{"AUTH not offered", []string{greeting, plain, start, "TLS", "250 host\r\n"}, "EHLO me,STARTTLS,EHLO me,QUIT", "AUTH"},
		{"all is well", []string{greeting, plain, start, "TLS", offer, "235 2.7.0 yes\r\n"},
			"EHLO me,STARTTLS,EHLO me,AUTH XOAUTH2 c2VjcmV0,QUIT", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, err := logIn(t, tt.replies, tt.name != "certificate not trusted")
			if strings.Join(said, ",") != tt.said {
				t.Errorf("the provider was told %q, want %q", said, tt.said)
			}
			switch {
			case (err == nil) != (tt.phase == ""):
				t.Errorf("the login ended with %v", err)
			case err != nil && err.Phase.String() != tt.phase:
				t.Errorf("the login ended with %v, want one at %s", err, tt.phase)
			}
		})
	}
}

// logIn logs in to such a provider, and leaves; it returns what the provider was told.
func logIn(t *testing.T, replies []string, trusted bool) (said []string, err *Error) {
	cert := testkit.Certificate("127.0.0.1")
	ln := testkit.Listen(t)
	p := &loginPeer{replies: replies, lines: make(chan string, 100)}
	go func() {
		c, err := ln.Accept()
		if err != nil {
			close(p.lines)
			return
		}
		p.serve(c, &tls.Config{Certificates: []tls.Certificate{cert}})
	}()
	tcp, derr := net.Dial("tcp", ln.Addr().String())
	if derr != nil {
		t.Fatal(derr)
	}
	const long = time.Minute
	cfg := &Config{EhloName: "me", Greeting: long, TLS: long, Login: long, Quit: long}
	secure := &tls.Config{RootCAs: testkit.Roots(cert), ServerName: "127.0.0.1"}
	if !trusted {
		secure.ServerName = "another.example.com"
	}
	l, err := cfg.Open(context.Background(), tcp.(*net.TCPConn), &account.Account{}, secure)
	if err == nil {
		var answer AuthAnswer
		if answer, err = l.Auth("XOAUTH2", []byte("c2VjcmV0"), FormInitial); err == nil {
			err = answer.Err()
		}
		if err == nil {
			l.Quit()
		} else {
			l.Leave(err)
		}
	}
	for line := range p.lines {
		said = append(said, line)
	}
	return said, err
}
