package smtpd

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
	"xoauth2-proxy/internal/testkit"
)

func TestKeywords(t *testing.T) {
	s := newServer(t, setup{})
	tests := []struct{ endpoint, clear, secure string }{
		{mailbox.Gmail, "SIZE 35882577,8BITMIME,STARTTLS,ENHANCEDSTATUSCODES,PIPELINING,CHUNKING,SMTPUTF8",
			"SIZE 35882577,8BITMIME,AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH,ENHANCEDSTATUSCODES,PIPELINING,CHUNKING,SMTPUTF8"},
		{mailbox.Outlook, "SIZE 157286400,PIPELINING,DSN,ENHANCEDSTATUSCODES,STARTTLS,8BITMIME,BINARYMIME,CHUNKING,SMTPUTF8",
			"SIZE 157286400,PIPELINING,DSN,ENHANCEDSTATUSCODES,AUTH LOGIN XOAUTH2,8BITMIME,BINARYMIME,CHUNKING,SMTPUTF8"},
	}
	for _, tt := range tests {
		t.Run(tt.endpoint, func(t *testing.T) {
			c := dial(t, s, s.Addr(tt.endpoint))
			c.Expect("220 ")
			checkKeywords(t, c.Cmd("EHLO x", "250-"), tt.clear)
			c.Cmd("STARTTLS", "220 ")
			if err := c.handshake(testkit.Trusting(c.srv.CAPEM(), "localhost")); err != nil {
				t.Fatal(err)
			}
			checkKeywords(t, c.Cmd("EHLO x", "250-"), tt.secure)
			c.Cmd("QUIT", "221 ")

			implicit := dial(t, s, s.TLSAddr(tt.endpoint))
			if err := implicit.handshake(testkit.Trusting(c.srv.CAPEM(), "localhost")); err != nil {
				t.Fatal(err)
			}
			implicit.Expect("220 ")
			checkKeywords(t, implicit.Cmd("EHLO x", "250-"), tt.secure)
		})
	}
}

func checkKeywords(t *testing.T, reply, want string) {
	t.Helper()
	lines := strings.Split(reply, "\n")[1:]
	for i := range lines {
		lines[i] = lines[i][4:]
	}
	if got := strings.Join(lines, ","); got != want {
		t.Errorf("keywords\n got %s\nwant %s", got, want)
	}
}

func TestStandardClient(t *testing.T) {
	s := newServer(t, setup{})
	content := "Subject: dots\r\n\r\n.\r\n..two\r\nplain\r\n.end\r\n"
	for _, user := range []string{gmailUser, outlookUser} {
		c, err := smtp.Dial(s.Addr(s.Mailbox(user).Endpoint))
		if err != nil {
			t.Fatal(err)
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		cfg := testkit.Trusting(s.CAPEM(), "localhost")
		cfg.ServerName = "smtp.sandbox.test"
		must(c.StartTLS(cfg))
		must(c.Auth(testkit.XOAuth2Auth(user, s.token(user))))
		must(testkit.Submit(c, "from@a.test", []string{"one@b.test", "two@b.test"}, []byte(content)))
		must(c.Quit())
	}
	msgs, err := s.WaitFor(testkit.Context(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range msgs {
		if string(m.Body) != content || m.ReversePath != "from@a.test" || len(m.Recipients) != 2 || m.Verb != "DATA" {
			t.Errorf("message %d: %+v, body %q", i, m, m.Body)
		}
	}
	if msgs[0].Account != gmailUser || msgs[1].Account != outlookUser {
		t.Errorf("accounts %s, %s", msgs[0].Account, msgs[1].Account)
	}
	if v := s.violations(); len(v) > 0 {
		t.Errorf("violations %v", v)
	}
}

func TestAuth(t *testing.T) {
	s := newServer(t, setup{})
	good := s.token(gmailUser)
	outlook := s.token(outlookUser)
	bearer := func(user, token string) string {
		return base64.StdEncoding.EncodeToString([]byte("n,a=" + user + ",\x01host=localhost\x01port=587\x01auth=Bearer " + token + "\x01\x01"))
	}
	tests := []struct{ name, endpoint, dialog string }{
		{"initial response", "gmail", "AUTH XOAUTH2 " + testkit.XOAuth2(gmailUser, good) + ">235 2.7.0"},
		{"user in other case", "gmail", "AUTH XOAUTH2 " + testkit.XOAuth2("User@Gmail.com", good) + ">235 2.7.0"},
		{"challenge", "gmail", "AUTH XOAUTH2>334 |" + testkit.XOAuth2(gmailUser, good) + ">235 "},
		{"bearer", "gmail", "AUTH OAUTHBEARER " + bearer(gmailUser, good) + ">235 "},
		{"bad token", "gmail", "AUTH XOAUTH2 " + testkit.XOAuth2(gmailUser, "x") + ">334 eyJzdGF0dXMiOiI0MDAi|>535-5.7.8"},
		{"bad bearer", "gmail", "AUTH OAUTHBEARER " + bearer(gmailUser, "x") + ">334 eyJ|AQ==>535-5.7.8"},
		{"token of another", "gmail", "AUTH XOAUTH2 " + testkit.XOAuth2("other@gmail.com", good) + ">334 |>535-5.7.8"},
		{"token of another provider", "gmail", "AUTH XOAUTH2>334 |" + testkit.XOAuth2(outlookUser, outlook) + ">334 |>535-5.7.8"},
		{"outlook", "outlook", "AUTH XOAUTH2 " + testkit.XOAuth2(outlookUser, outlook) + ">235 "},
		{"outlook bad token", "outlook", "AUTH XOAUTH2 " + testkit.XOAuth2(outlookUser, "x") + ">535 5.7.3"},
		{"outlook bearer not offered", "outlook", "AUTH OAUTHBEARER " + bearer(outlookUser, outlook) + ">504 5.7.4"},
		{"basic", "outlook", "AUTH LOGIN>535 5.7.139"},
		{"basic gmail", "gmail", "AUTH PLAIN AGEAYg==>534 5.7.9"},
		{"cancel", "gmail", "AUTH XOAUTH2>334 |*>501 5.0.0"},
		{"not base64", "gmail", "AUTH XOAUTH2 !!!>501 5.5.2"},
		{"not xoauth2", "gmail", "AUTH XOAUTH2 aGVsbG8=>501 5.5.2"},
		{"twice", "gmail", "AUTH XOAUTH2 " + testkit.XOAuth2(gmailUser, good) + ">235 |AUTH XOAUTH2 " + testkit.XOAuth2(gmailUser, good) + ">503 "},
		{"mail before auth", "gmail", "MAIL FROM:<a@b.test>>530 5.7.0"},
		{"outlook mail before auth", "outlook", "MAIL FROM:<a@b.test>>530 5.7.57"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, s, s.Addr(tt.endpoint)).secure()
			dialog(c, tt.dialog)
		})
	}
	t.Run("in clear", func(t *testing.T) {
		c := dial(t, s, s.Addr("gmail"))
		c.Expect("220 ")
		c.Cmd("EHLO x", "250-")
		c.Cmd("AUTH XOAUTH2 "+testkit.XOAuth2(gmailUser, good), "530 5.7.0")
		c.Cmd("MAIL FROM:<a@b.test>", "530 5.7.0")
	})
	t.Run("expired", func(t *testing.T) {
		s.tokens.Clear()
		dialog(dial(t, s, s.Addr("gmail")).secure(), "AUTH XOAUTH2 "+testkit.XOAuth2(gmailUser, good)+">334 |>535-5.7.8")
	})
	v := s.violations()
	if v[ViolationAuthInClear] != 1 || v[ViolationMailBeforeAuth] != 3 {
		t.Errorf("violations %v", v)
	}
}

// TestInClear has an endpoint in clear: it takes passwords of its own mailboxes
// without TLS, and is like other endpoints in all else.
func TestInClear(t *testing.T) {
	s := newServer(t, setup{Endpoints: []Endpoint{{Preset: mailbox.Gmail, InClear: true}, {Preset: mailbox.Outlook}}})
	plain := func(user, password string) string {
		return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	}
	for name, steps := range map[string]string{
		"initial response":        "AUTH PLAIN " + plain(gmailUser, "x") + ">235 2.7.0",
		"challenge":               "AUTH PLAIN>334 |" + plain(gmailUser, "x") + ">235 2.7.0",
		"mailbox of another":      "AUTH PLAIN " + plain(outlookUser, "x") + ">535-5.7.8",
		"unknown mailbox":         "AUTH PLAIN " + plain("other@gmail.com", "x") + ">535-5.7.8",
		"no password":             "AUTH PLAIN " + plain(gmailUser, "") + ">501 5.5.2",
		"tokens are not offered":  "AUTH XOAUTH2 " + testkit.XOAuth2(gmailUser, s.token(gmailUser)) + ">504 5.7.4",
		"neither is TLS":          "STARTTLS>503 5.5.1",
		"mail before log in":      "MAIL FROM:<a@b.test>>530 5.7.0",
		"a message, and breaches": "AUTH PLAIN " + plain(gmailUser, "x") + ">235 |RCPT TO:<a@b.test>>503 |MAIL FROM:<a@b.test>>250 |MAIL FROM:<a@b.test>>503 |RCPT TO:<a@b.test>>250 |DATA>354 |x\\n.>250 2.0.0",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s, s.Addr(mailbox.Gmail))
			c.Expect("220 ")
			checkKeywords(t, c.Cmd("EHLO x", "250-"), "SIZE 35882577,8BITMIME,AUTH PLAIN,ENHANCEDSTATUSCODES,PIPELINING,CHUNKING,SMTPUTF8")
			dialog(c, steps)
		})
	}
	if m := s.Messages(); len(m) != 1 || m[0].Account != gmailUser {
		t.Errorf("messages %+v", m)
	}
	t.Run("the others", func(t *testing.T) {
		c := dial(t, s, s.Addr(mailbox.Outlook))
		c.Expect("220 ")
		c.Cmd("EHLO x", "250-")
		c.Cmd("AUTH PLAIN "+plain(outlookUser, "x"), "530 5.7.57")
		dialog(dial(t, s, s.Addr(mailbox.Outlook)).secure(), "AUTH LOGIN>535 5.7.139")
	})
}

// dialog plays "send>reply|send>reply".
func dialog(c *client, steps string) {
	c.T.Helper()
	for _, step := range strings.Split(steps, "|") {
		i := strings.LastIndex(step, ">")
		c.Cmd(strings.ReplaceAll(step[:i], `\n`, "\r\n"), step[i+1:])
	}
}

func TestCommands(t *testing.T) {
	s := newServer(t, setup{})
	tests := []struct{ name, user, dialog string }{
		{"RSET", gmailUser, "MAIL FROM:<a@b.test>>250|RSET>250|MAIL FROM:<>>250|RCPT TO:<c@d.test>>250"},
		{"nested MAIL", gmailUser, "MAIL FROM:<a@b.test>>250|MAIL FROM:<a@b.test>>503"},
		{"DATA without recipient", gmailUser, "MAIL FROM:<a@b.test>>250|RCPT TO:<bad>>553|DATA>503 5.5.1"},
		{"BDAT without recipient", gmailUser, `MAIL FROM:<a@b.test>>250|BDAT 2 LAST\n>503 5.5.1|RSET>250`},
		{"outlook BDAT without recipient", outlookUser, `MAIL FROM:<a@b.test>>250|BDAT 2 LAST\n>503 5.5.2|RSET>250`},
		{"MAIL after a failed BDAT", gmailUser, `MAIL FROM:<a@b.test>>250|BDAT 2 LAST\n>503 |MAIL FROM:<a@b.test>>503`},
		{"RCPT first", gmailUser, "RCPT TO:<a@b.test>>503"},
		{"SIZE", gmailUser, "MAIL FROM:<a@b.test> SIZE=35882577>250|RSET>250|MAIL FROM:<a@b.test> SIZE=35882578>552 5.3.4"},
		{"SIZE malformed", gmailUser, "MAIL FROM:<a@b.test> SIZE=x>501"},
		{"DSN not offered", gmailUser, "MAIL FROM:<a@b.test> RET=HDRS>555|MAIL FROM:<a@b.test>>250|RCPT TO:<a@b.test> NOTIFY=NEVER>555"},
		{"DSN", outlookUser, "MAIL FROM:<a@b.test> RET=HDRS ENVID=x>250|RCPT TO:<a@b.test> NOTIFY=NEVER ORCPT=rfc822;x>250"},
		{"unknown parameter", outlookUser, "MAIL FROM:<a@b.test> X=y>555 5.5.4"},
		{"SMTPUTF8", gmailUser, "MAIL FROM:<ä@b.test>>553 5.6.7|MAIL FROM:<ä@b.test> SMTPUTF8>250|RCPT TO:<ö@b.test>>250"},
		{"BODY", gmailUser, "MAIL FROM:<a@b.test> BODY=8BITMIME>250|RSET>250|MAIL FROM:<a@b.test> BODY=BINARYMIME>555"},
		{"BINARYMIME needs BDAT", outlookUser, "MAIL FROM:<a@b.test> BODY=BINARYMIME>250|RCPT TO:<a@b.test>>250|DATA>503"},
		{"quoted local part", gmailUser, `MAIL FROM:<"a>b"@b.test> SIZE=1>250`},
		{"path syntax", gmailUser, "MAIL FROM: <a@b.test>>555|MAIL FROM:a@b.test>555|MAIL FROM:<a@b.test>SIZE=1>555"},
		{"unknown", gmailUser, "XYZZY>502|NOOP>250|VRFY x>252|HELP>214|QUIT>221"},
		{"mixed case", gmailUser, "mail from:<a@b.test>>250|Rcpt To:<a@b.test>>250|rset>250"},
		{"STARTTLS twice", gmailUser, "STARTTLS>503"},
		{"line too long", gmailUser, "NOOP " + strings.Repeat("x", 9000) + ">555 5.5.2|NOOP>250"},
		{"line too long outlook", outlookUser, "NOOP " + strings.Repeat("x", 9000) + ">500 5.5.6|NOOP>250"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { dialog(login(t, s, tt.user), tt.dialog) })
	}
	t.Run("bare LF", func(t *testing.T) {
		c := login(t, s, gmailUser)
		c.Send("NOOP\n")
		c.Expect("500 5.5.2")
	})
	t.Run("too many errors", func(t *testing.T) {
		c := login(t, s, gmailUser)
		c.Send(strings.Repeat("X\r\n", maxErrors+1))
		for range maxErrors + 1 {
			c.Expect("502 ")
		}
		c.Expect("421 ")
		c.ExpectEnd()
	})
}

func TestChunks(t *testing.T) {
	s := newServer(t, setup{})
	c := login(t, s, outlookUser)
	c.Send("MAIL FROM:<a@b.test> BODY=BINARYMIME\r\nRCPT TO:<c@d.test>\r\nBDAT 3\r\na\nbBDAT 0\r\nBDAT 4 LAST\r\n\x00\r.\nNOOP\r\n")
	for _, want := range []string{"250 2.1.0", "250 2.1.5", "250 2.0.0 OK 3", "250 2.0.0 OK 0", "250 2.0.0 OK <", "250 2.0.0 OK"} {
		c.Expect(want)
	}
	msgs, err := s.WaitFor(testkit.Context(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	m := msgs[0]
	if string(m.Body) != "a\nb\x00\r.\n" || m.Chunks != 3 || m.Verb != "BDAT" || !slices.Equal(m.Params, []string{"BODY=BINARYMIME"}) {
		t.Errorf("%+v, body %q", m, m.Body)
	}
	c.Cmd("RCPT TO:<c@d.test>", "503 ")
	c.Send("BDAT x\r\n")
	c.Expect("501 ")
	c.ExpectEnd()
}

// TestDataEveryCut sends the same content in two parts, cut everywhere.
func TestDataEveryCut(t *testing.T) {
	s := newServer(t, setup{})
	contents := []string{"", "a\r\n", ".\r\n", "..\r\n.\r\n", "\r\n.\r\n", "x\r\n\r\n..\r\ny\r\n"}
	c := login(t, s, gmailUser)
	n := 0
	for _, content := range contents {
		wire := string(stuffed(content))
		if content == "" {
			wire = ".\r\n"
		}
		for cut := range len(wire) + 1 {
			dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>354")
			c.Send(wire[:cut])
			c.Send(wire[cut:] + "NOOP\r\n")
			c.Expect("250 2.0.0 OK ")
			c.Expect("250 2.0.0 OK")
			n++
			msgs := s.Messages()
			if got := string(msgs[len(msgs)-1].Body); len(msgs) != n || got != content {
				t.Fatalf("cut %d of %q: got %q, %d messages of %d", cut, wire, got, len(msgs), n)
			}
		}
	}
	if v := s.violations(); len(v) > 0 {
		t.Errorf("violations %v", v)
	}
}

func TestDataViolations(t *testing.T) {
	s := newServer(t, setup{})
	c := login(t, s, gmailUser)
	dialog(c, `MAIL FROM:<a@b.test> SIZE=1>250|RCPT TO:<c@d.test>>250|DATA>354`)
	c.Send("a\n.\nb\r\n.c\r\n.\r\n")
	c.Expect("250 ")
	if got := string(s.Messages()[0].Body); got != "a\n.\nb\r\nc\r\n" {
		t.Errorf("content %q", got)
	}
	v := s.violations()
	if v[ViolationContentLineEnd] != 1 || v[ViolationUnstuffedDot] != 1 || v[ViolationSizeParameter] != 1 {
		t.Errorf("violations %v", v)
	}
}

func TestTooBig(t *testing.T) {
	s := newServer(t, plainConfig("SIZE 1000", "CHUNKING", "PIPELINING", "AUTH XOAUTH2"))
	c := login(t, s, plainUser)
	big := strings.Repeat("x", 998) + "\r\n" + strings.Repeat("y", 30_000) + "\r\n"
	dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>354")
	c.Send(big + ".\r\n")
	c.Expect("552 5.3.4")
	c.Send(bdat("a@b.test", "c@d.test", big))
	c.Expect("250 ")
	c.Expect("250 ")
	c.Expect("552 5.3.4")
	c.deliver(big[:1000])
	if n := len(s.Messages()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestPipeliningViolations(t *testing.T) {
	t.Run("STARTTLS", func(t *testing.T) {
		s := newServer(t, setup{})
		c := dial(t, s, s.Addr(mailbox.Gmail))
		c.Expect("220 ")
		c.Cmd("EHLO x", "250-")
		c.Send("STARTTLS\r\nEHLO x\r\n")
		c.Expect("454 4.5.0")
		c.ExpectEnd()
		if v := s.violations(); v[ViolationPipelinedStartTLS] != 1 {
			t.Errorf("violations %v", v)
		}
	})
	t.Run("not offered", func(t *testing.T) {
		s := newServer(t, plainConfig())
		c := login(t, s, plainUser)
		c.Send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n")
		c.Expect("250 ")
		c.Expect("250 ")
		c.Cmd("BDAT 0 LAST", "502 ")
		if v := s.violations(); v[ViolationPipeliningUnoffered] != 1 || v[ViolationUnoffered] != 1 {
			t.Errorf("violations %v", v)
		}
	})
	t.Run("content before 354", func(t *testing.T) {
		s := newServer(t, setup{})
		c := login(t, s, gmailUser)
		c.Send("MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nhello\r\n.\r\n")
		for _, want := range []string{"250 ", "250 ", "354 ", "250 "} {
			c.Expect(want)
		}
		if v := s.violations(); v[ViolationPipelinedGroup] != 1 {
			t.Errorf("violations %v", v)
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	s := newServer(t, setup{Endpoints: []Endpoint{{Preset: mailbox.Gmail, Limits: mailbox.Limits{IdleTimeout: wait.Duration(50 * time.Millisecond)}}},
		Accounts: []mailbox.Account{{Email: gmailUser}}, LimitsOff: true})
	c := dial(t, s, s.Addr(mailbox.Gmail))
	c.Expect("220 ")
	c.Expect("421 4.4.2")
	c.ExpectEnd()
}

func TestResumption(t *testing.T) {
	for _, version := range []string{"1.2", "1.3"} {
		s := newServer(t, setup{Endpoints: []Endpoint{{Preset: mailbox.Gmail, TLSVersion: version}}, Accounts: mailbox.Sample(1)})
		cache := tls.NewLRUClientSessionCache(1)
		for range 2 {
			c := dial(t, s, s.TLSAddr(mailbox.Gmail))
			cfg := testkit.Trusting(c.srv.CAPEM(), "localhost")
			cfg.ClientSessionCache = cache
			if err := c.handshake(cfg); err != nil {
				t.Fatal(err)
			}
			c.Expect("220 ") // with it the ticket of TLS 1.3
			if got := tls.VersionName(c.Conn.(*tls.Conn).ConnectionState().Version); got != "TLS "+version {
				t.Errorf("%s, want %s", got, version)
			}
			c.Cmd("QUIT", "221 ")
		}
		if st := s.stats(); st.TLSResumed != 1 || st.TLSHandshakes != 2 {
			t.Errorf("TLS %s: %d of %d resumed", version, st.TLSResumed, st.TLSHandshakes)
		}
	}
}

func TestListening(t *testing.T) {
	s := newServer(t, setup{})
	if err := s.SetListening(mailbox.Gmail, false); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", s.Addr(mailbox.Gmail)); err == nil {
		conn.Close()
		t.Fatal("connected to a closed port")
	}
	if err := s.SetListening(mailbox.Gmail, true); err != nil {
		t.Fatal(err)
	}
	login(t, s, gmailUser).deliver("back\r\n")
}

func TestLatencyOverlaps(t *testing.T) {
	const rtt, n = 100 * time.Millisecond, 20
	s := newServer(t, setup{LimitsOff: true})
	c := login(t, s, gmailUser)
	s.SetLatency(Latency{RoundTrip: wait.Duration(rtt), Final: wait.Duration(rtt)})
	start := time.Now()
	for i := range n {
		c.Send(bdat("a@b.test", "c@d.test", fmt.Sprint(i)))
	}
	for range n {
		c.Expect("250 2.1.0")
		c.Expect("250 2.1.5")
		c.Expect("250 2.0.0")
	}
	// One after the other they would take n times as long.
	if d := time.Since(start); d < 2*rtt || d > n*rtt {
		t.Errorf("%d pipelined messages took %v", n, d)
	}
	s.SetLatency(Latency{})
	c.Cmd("QUIT", "221 ")
}

func TestRecordHidesSecrets(t *testing.T) {
	s := newServer(t, setup{Record: 100})
	c := login(t, s, gmailUser)
	c.deliver("x\r\n")
	var lines []string
	for _, r := range s.Commands() {
		lines = append(lines, r.Line)
	}
	want := []string{"EHLO client.example.com", "STARTTLS", "EHLO client.example.com", "AUTH XOAUTH2", "MAIL FROM:<from@a.test>", "RCPT TO:<to@b.test>", "BDAT 3 LAST"}
	if !slices.Equal(lines, want) {
		t.Errorf("commands %q", lines)
	}
}
