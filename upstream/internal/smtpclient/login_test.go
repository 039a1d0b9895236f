package smtpclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"slices"
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
			said, err := logIn(t, tt.replies, loginWay{form: FormInitial, untrusted: tt.name == "certificate not trusted"})
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

// TestLoginForms: the response of AUTH goes in the form that is asked for, over TLS from
// the beginning or after STARTTLS.
func TestLoginForms(t *testing.T) {
	const greeting, yes, bearer = "220 hi\r\n", "235 2.7.0 yes\r\n", "250-host\r\n250 AUTH XOAUTH2 OAUTHBEARER\r\n"
	for _, tt := range []struct {
		name    string
		form    AuthForm
		replies []string
		said    string
	}{
		{"initial", FormInitial, []string{yes}, "AUTH XOAUTH2 c2VjcmV0,QUIT"},
		{"alone", FormAlone, []string{"334 \r\n", yes}, "AUTH XOAUTH2,c2VjcmV0,QUIT"},
		{"alone, 334 with text", FormAlone, []string{"334 VXNlcm5hbWU6\r\n", yes}, "AUTH XOAUTH2,c2VjcmV0,QUIT"},
		{"alone, then a challenge", FormAlone, []string{"334 \r\n", "334 eyJ9\r\n", "535 5.7.8 no\r\n"}, "AUTH XOAUTH2,c2VjcmV0,,QUIT"},
		{"alone, refused at once", FormAlone, []string{"504 5.5.4 no\r\n"}, "AUTH XOAUTH2,QUIT"},
		{"initial, passed over", FormInitial, []string{"334 \r\n", yes}, "AUTH XOAUTH2 c2VjcmV0,c2VjcmV0,QUIT"},
		{"initial, passed over, then a challenge", FormInitial, []string{"334\r\n", "334 eyJ9\r\n", "535 5.7.8 no\r\n"}, "AUTH XOAUTH2 c2VjcmV0,c2VjcmV0,,QUIT"},
	} {
		for _, implicit := range []bool{false, true} {
			replies, before := []string{greeting, "250-host\r\n250 STARTTLS\r\n", "220 2.0.0 go\r\n", "TLS", bearer}, "EHLO me,STARTTLS,EHLO me,"
			if implicit {
				replies, before = []string{greeting, bearer}, "EHLO me,"
			}
			said, err := logIn(t, append(replies, tt.replies...), loginWay{form: tt.form, implicit: implicit})
			if got := strings.Join(said, ","); got != before+tt.said {
				t.Errorf("%s, implicit %t: the provider was told %q, want %q", tt.name, implicit, got, before+tt.said)
			}
			if (err == nil) != strings.Contains(strings.Join(tt.replies, ""), yes) {
				t.Errorf("%s, implicit %t: the login ended with %v", tt.name, implicit, err)
			}
		}
	}
}

// TestImplicitTLSNotSpoken: a provider that speaks first in clear is not secure, and gets no
// QUIT.
func TestImplicitTLSNotSpoken(t *testing.T) {
	said, err := logIn(t, []string{"220 hi\r\n"}, loginWay{implicit: true, clear: true})
	if err == nil || err.Phase.String() != "TLS" || slices.Contains(said, "QUIT") { // the other lines are of the handshake
		t.Errorf("told %q, the login ended with %v", said, err)
	}
}

// TestUnaskedAfterLogin: what the provider says after its 235 is why the connection is of
// no use, and nothing more is said to it.
func TestUnaskedAfterLogin(t *testing.T) {
	for _, tt := range []struct{ more, want string }{
		{"", ""}, {"421 4.7.0 bye\r\n", `AUTH: refused: "421 4.7.0 bye"`}, {"250 2.0.0 more\r\n", `AUTH: protocol error: "250 2.0.0 more"`},
		{"what\r\n", "AUTH: protocol error"},
	} {
		replies := []string{"220 hi\r\n", "250-host\r\n250 AUTH XOAUTH2\r\n", "235 2.7.0 yes\r\n" + tt.more}
		said, err := logIn(t, replies, loginWay{form: FormInitial, implicit: true})
		text, end := "", "QUIT"
		if err != nil {
			text, end = err.Error(), ""
		}
		if !strings.HasPrefix(text, tt.want) || (text == "") != (tt.want == "") {
			t.Errorf("after %q the login ended with %q, want %q", tt.more, text, tt.want)
		}
		if got := strings.TrimPrefix(strings.Join(said, ","), "EHLO me,AUTH XOAUTH2 c2VjcmV0"); strings.TrimPrefix(got, ",") != end {
			t.Errorf("after %q the provider was told %q", tt.more, said)
		}
	}
}

// loginWay is how a login goes.
type loginWay struct {
	form      AuthForm
	untrusted bool // the certificate is another host's
	implicit  bool // TLS from the beginning
	clear     bool // but not by the provider
}

// logIn logs in to such a provider, and leaves; it returns what the provider was told.
func logIn(t *testing.T, replies []string, way loginWay) (said []string, err *Error) {
	cert := testkit.Certificate("127.0.0.1")
	ln := testkit.Listen(t)
	p := &loginPeer{replies: replies, lines: make(chan string, 100)}
	go func() {
		c, err := ln.Accept()
		if err != nil {
			close(p.lines)
			return
		}
		secure := &tls.Config{Certificates: []tls.Certificate{cert}}
		if way.implicit && !way.clear {
			c = tls.Server(c, secure)
		}
		p.serve(c, secure)
	}()
	tcp, derr := net.Dial("tcp", ln.Addr().String())
	if derr != nil {
		t.Fatal(derr)
	}
	const long = time.Minute
	cfg := &Config{EhloName: "me", Greeting: long, TLS: long, Login: long, Quit: long}
	secure := &tls.Config{RootCAs: testkit.Roots(cert), ServerName: "127.0.0.1"}
	if way.untrusted {
		secure.ServerName = "another.example.com"
	}
	a := new(account.Account)
	if way.implicit {
		a.SMTP.TLS = account.TLSImplicit
	}
	l, err := cfg.Open(context.Background(), tcp.(*net.TCPConn), a, secure)
	if err == nil {
		var answer AuthAnswer
		if answer, err = l.Auth("XOAUTH2", []byte("c2VjcmV0"), way.form); err == nil {
			err = answer.Err()
		}
		if err == nil {
			err = l.Unasked()
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
