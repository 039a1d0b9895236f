package smtpd

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
	"xoauth2-proxy/internal/testkit"
)

// reach brings a client to the point where the phase's fault strikes, and
// returns it with the bytes that provoke it.
func reach(t *testing.T, s *fixture, ph fault.Phase) (c *client, provoke string) {
	content := strings.Repeat("0123456789", 1000)
	message := bdat("from@a.test", "to@b.test", content)
	switch ph {
	case fault.PhaseConnect, fault.PhaseBanner:
		return dial(t, s, s.Addr(mailbox.Gmail)), ""
	case fault.PhaseTLS, fault.PhaseStartTLS, fault.PhaseEHLO, fault.PhaseCommand:
		c := dial(t, s, s.Addr(mailbox.Gmail))
		c.Expect("220 ")
		if ph == fault.PhaseEHLO || ph == fault.PhaseCommand {
			return c, "EHLO x\r\n"
		}
		c.Cmd("EHLO x", "250-")
		if ph == fault.PhaseStartTLS {
			return c, "STARTTLS\r\n"
		}
		c.Cmd("STARTTLS", "220 ")
		return c, "\x16\x03\x01\x02\x00\x01"
	case fault.PhaseAuth:
		c := dial(t, s, s.Addr(mailbox.Gmail)).secure()
		return c, "AUTH XOAUTH2 " + testkit.XOAuth2(gmailUser, s.token(gmailUser)) + "\r\n"
	case fault.PhaseIdle:
		c := dial(t, s, s.Addr(mailbox.Gmail)).secure()
		c.Send("AUTH XOAUTH2 " + testkit.XOAuth2(gmailUser, s.token(gmailUser)) + "\r\n")
		c.Expect("235 ")
		return c, ""
	}
	c = login(t, s, gmailUser)
	switch ph {
	case fault.PhaseMail:
		return c, "MAIL FROM:<from@a.test>\r\n"
	case fault.PhaseRset, fault.PhaseNoop, fault.PhaseQuit:
		return c, strings.ToUpper(string(ph)) + "\r\n"
	}
	c.Cmd("MAIL FROM:<from@a.test>", "250 ")
	if ph == fault.PhaseRcpt {
		return c, "RCPT TO:<to@b.test>\r\n"
	}
	c.Cmd("RCPT TO:<to@b.test>", "250 ")
	message = message[strings.Index(message, "BDAT"):]
	if ph == fault.PhaseAfterReply {
		c.Send(message)
		c.Expect("250 2.0.0")
		return c, ""
	}
	return c, message
}

// stored returns how many messages are stored after a fault without Accept in the
// phase.
func stored(ph fault.Phase) int {
	if ph == fault.PhaseAfterReply {
		return 1
	}
	return 0
}

// TestFaultMatrix runs each action that breaks a session at every phase.
func TestFaultMatrix(t *testing.T) {
	rules := []fault.Rule{
		{Action: fault.ActionReply, Reply: "450 4.2.1 first\n4.2.1 second"},
		{Action: fault.ActionReply, Reply: "421 4.3.2 go away"},
		{Action: fault.ActionClose}, {Action: fault.ActionCut}, {Action: fault.ActionReset}, {Action: fault.ActionStall},
		{Action: fault.ActionGarbage}, {Action: fault.ActionHuge, Reply: "250 2.0.0 y", Size: 100_000},
	}
	for _, ph := range fault.SMTPPhases {
		for _, r := range rules {
			r.Phase, r.Name = ph, "f"
			t.Run(string(ph)+"/"+string(r.Action)+r.Reply[:min(3, len(r.Reply))], func(t *testing.T) {
				t.Parallel()
				s := newServer(t, setup{Faults: []fault.Rule{r}})
				if r.Action == fault.ActionReset && (ph == fault.PhaseConnect || ph == fault.PhaseBanner) {
					checkEarlyReset(t, s)
				} else {
					c, provoke := reach(t, s, ph)
					// The system tells of a reset once, be it to the write.
					switch _, err := c.Write([]byte(provoke)); {
					case err == nil:
						checkAction(t, c, r)
					case r.Action != fault.ActionReset:
						t.Fatal(err)
					}
				}
				if err := s.WaitFired(testkit.Context(t), "f", 1); err != nil {
					t.Error(err)
				}
				if got := len(s.Messages()); got != stored(ph) {
					t.Errorf("%d messages stored, want %d", got, stored(ph))
				}
				s.ClearFaults()
				s.ClearMessages()
				login(t, s, gmailUser).deliver("the next one goes through\r\n")
				login(t, s, outlookUser).deliver("and the neighbour's\r\n")
			})
		}
	}
}

// checkEarlyReset connects to a server that resets at once: the client may
// see it as early as in connect.
func checkEarlyReset(t *testing.T, s *fixture) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr(mailbox.Gmail))
	if err == nil {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

// checkAction checks what the client sees of a fault.
func checkAction(t *testing.T, c *client, r fault.Rule) {
	t.Helper()
	switch r.Action {
	case fault.ActionReply:
		if !strings.HasPrefix(r.Reply, "421") {
			if got := c.Expect("450-"); got != "450-4.2.1 first\n450 4.2.1 second" {
				t.Errorf("reply %q", got)
			}
			return
		}
		c.Expect("421 4.3.2 go away")
		c.ExpectEnd()
	case fault.ActionClose:
		if err := c.ExpectEnd(); err != nil {
			t.Errorf("ended by %v, want EOF", err)
		}
	case fault.ActionCut: // crypto/tls does not tell the client of the missing close_notify
		if err := c.ExpectEnd(); err != nil {
			t.Errorf("ended by %v, want EOF", err)
		}
	case fault.ActionReset:
		if err := c.ExpectEnd(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("ended by %v, want a reset", err)
		}
	case fault.ActionStall:
		if err := c.srv.WaitFired(testkit.Context(t), "f", 1); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if got, err := c.Reply(); err == nil || got != "" {
			t.Errorf("a stalled session answered %q, %v", got, err)
		}
		c.TCP.Close()
	case fault.ActionGarbage:
		if got, err := c.R.ReadString('\n'); err != nil || !strings.HasPrefix(got, "\x00\xff") {
			t.Errorf("garbage %q, %v", got, err)
		}
	case fault.ActionHuge:
		if got := c.Expect("250-"); len(got) < 90_000 {
			t.Errorf("a huge reply of %d bytes", len(got))
		}
	}
}

func TestFaultAccept(t *testing.T) {
	s := newServer(t, setup{})
	set := func(r fault.Rule) {
		t.Helper()
		r.Phase = fault.PhaseAfterEOD
		s.setFaults(t, r)
	}
	set(fault.Rule{Action: fault.ActionAcceptThenClose})
	c := login(t, s, gmailUser)
	c.Send(bdat("a@b.test", "c@d.test", "one"))
	c.Expect("250 2.1.0")
	c.Expect("250 2.1.5")
	c.ExpectEnd()
	if n := len(s.Messages()); n != 1 {
		t.Fatalf("%d messages, want 1", n)
	}
	set(fault.Rule{Action: fault.ActionReply, Reply: "250 2.0.0 verbatim\nsecond\n", Accept: true})
	c = login(t, s, gmailUser)
	c.Send(bdat("a@b.test", "c@d.test", "two"))
	c.Expect("250 2.1.0")
	c.Expect("250 2.1.5")
	if got := c.Expect("250"); got != "250-2.0.0 verbatim\n250-second\n250 " {
		t.Errorf("reply %q", got)
	}
	if n := len(s.Messages()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func TestFaultStallThenGoOn(t *testing.T) {
	s := newServer(t, setup{})
	c := login(t, s, gmailUser)
	for _, ph := range []fault.Phase{fault.PhaseMail, fault.PhaseRcpt, fault.PhaseData, fault.PhaseMidContent, fault.PhaseAfterEOD, fault.PhaseAfterReply} {
		s.setFaults(t, fault.Rule{Phase: ph, Action: fault.ActionStall, For: wait.Duration(time.Millisecond), Name: "f"})
		c.deliver("late")
		if err := s.WaitFired(testkit.Context(t), "f", 1); err != nil {
			t.Error(err)
		}
		s.ClearFaults()
		dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>354|late\\n.>250")
	}
	if n := len(s.Messages()); n != 12 {
		t.Errorf("%d messages, want 12", n)
	}
}

func TestFaultSlow(t *testing.T) {
	s := newServer(t, setup{})
	c := login(t, s, gmailUser)
	content := strings.Repeat("x", 5*slowPiece)
	for _, ph := range []fault.Phase{fault.PhaseMail, fault.PhaseData, fault.PhaseMidContent, fault.PhaseAfterEOD} {
		s.setFaults(t, fault.Rule{Phase: ph, Action: fault.ActionSlow, Interval: wait.Duration(100 * time.Microsecond), Name: "f"})
		c.deliver(content)
		dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>354|"+content+"\\n.>250")
		if n := s.Fired("f"); n != 2 {
			t.Errorf("%s fired %d times", ph, n)
		}
	}
	for _, m := range s.Messages() {
		if strings.TrimSuffix(string(m.Body), "\r\n") != content {
			t.Errorf("content of %d octets", m.Size)
		}
	}
}

func TestFaultMidContentOfData(t *testing.T) {
	s := newServer(t, setup{Faults: []fault.Rule{{Phase: fault.PhaseMidContent, Action: fault.ActionReply, Reply: "451 4.3.0 enough", After: 20_000}}})
	c := login(t, s, gmailUser)
	dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>354")
	c.Send(strings.Repeat("a\r\n", 10_000) + ".\r\n")
	c.Expect("451 4.3.0")
	c.Cmd("NOOP", "250 ")
	if len(s.Messages()) != 0 {
		t.Error("the message was stored")
	}
}

func TestFaultMatching(t *testing.T) {
	s := newServer(t, setup{})
	s.setFaults(t,
		fault.Rule{Name: "rcpt", Phase: fault.PhaseRcpt, Recipient: "*@BAD.test", Action: fault.ActionReply, Reply: "550 5.1.1 no"},
		fault.Rule{Name: "third", Phase: fault.PhaseRcpt, Nth: 3, Action: fault.ActionReply, Reply: "450 4.2.1 third"},
		fault.Rule{Name: "null", Phase: fault.PhaseMail, MailFrom: "<>", Action: fault.ActionReply, Reply: "550 5.7.1 null"},
		fault.Rule{Name: "account", Phase: fault.PhaseMail, Account: outlookUser, Times: 1, Action: fault.ActionReply, Reply: "451 4.7.0 busy"},
		fault.Rule{Name: "second", Phase: fault.PhaseNoop, Per: "connection", Every: 2, Action: fault.ActionReply, Reply: "450 4.0.0 even"},
		fault.Rule{Name: "endpoint", Phase: fault.PhaseRset, Endpoint: mailbox.Outlook, Action: fault.ActionReply, Reply: "450 4.0.0 outlook"},
		fault.Rule{Name: "conn", Phase: fault.PhaseQuit, Connection: 2, Action: fault.ActionReply, Reply: "450 4.0.0 not yet"},
	)
	g, o := login(t, s, gmailUser), login(t, s, outlookUser)
	dialog(g, "NOOP>250|MAIL FROM:<>>550|MAIL FROM:<a@b.test>>250|RCPT TO:<x@bad.test>>550|RCPT TO:<1@b.test>>250|RCPT TO:<2@b.test>>250|RCPT TO:<3@b.test>>450|RCPT TO:<4@b.test>>250|NOOP>450|NOOP>250|RSET>250")
	dialog(o, "NOOP>250|MAIL FROM:<a@b.test>>451|MAIL FROM:<a@b.test>>250|RSET>450|QUIT>450")
	g.Cmd("QUIT", "221 ")
	want := map[string][2]int64{"rcpt": {1, 1}, "third": {4, 1}, "null": {1, 1}, "account": {2, 1}, "second": {4, 1}, "endpoint": {1, 1}, "conn": {1, 1}}
	for _, f := range s.Faults() {
		if w := want[f.Rule.Name]; f.Seen != w[0] || f.Fired != w[1] {
			t.Errorf("%s: seen %d, fired %d, want %v", f.Rule.Name, f.Seen, f.Fired, w)
		}
	}
}

func TestFaultKeyword(t *testing.T) {
	s := newServer(t, setup{Faults: []fault.Rule{
		{Phase: fault.PhaseEHLO, Secure: "tls", Action: fault.ActionDropKeyword, Keyword: "CHUNKING", Nth: 1},
		{Phase: fault.PhaseEHLO, Secure: "tls", Action: fault.ActionDropKeyword, Keyword: "XOAUTH2"},
	}})
	c := login(t, s, gmailUser)
	dialog(c, `MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|BDAT 2 LAST\n>502|RSET>250`)
	got := c.Cmd("EHLO x", "250-")
	if strings.Contains(got, "XOAUTH2") || !strings.Contains(got, "AUTH LOGIN PLAIN PLAIN-CLIENTTOKEN") || !strings.Contains(got, "CHUNKING") {
		t.Errorf("keywords %q", got)
	}
}

func TestFaultCertificate(t *testing.T) {
	tests := map[string]func(error) bool{
		fault.CertificateOtherName: func(err error) bool { var e x509.HostnameError; return errors.As(err, &e) },
		fault.CertificateOtherCA:   func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) },
		fault.CertificateExpired: func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == x509.Expired
		},
	}
	for kind, is := range tests {
		t.Run(kind, func(t *testing.T) {
			s := newServer(t, setup{Faults: []fault.Rule{{Phase: fault.PhaseTLS, Action: fault.ActionWrongCertificate, Certificate: kind, Times: 1}}})
			c := dial(t, s, s.TLSAddr(mailbox.Gmail))
			if err := c.handshake(testkit.Trusting(c.srv.CAPEM(), "localhost")); !is(err) {
				t.Errorf("handshake: %v", err)
			}
			c = dial(t, s, s.TLSAddr(mailbox.Gmail))
			if err := c.handshake(testkit.Trusting(c.srv.CAPEM(), "localhost")); err != nil {
				t.Errorf("next handshake: %v", err)
			}
		})
	}
}

func TestFaultIdleDelay(t *testing.T) {
	s := newServer(t, setup{Faults: []fault.Rule{{Name: "f", Phase: fault.PhaseIdle, Delay: wait.Duration(300 * time.Millisecond), Action: fault.ActionReply, Reply: "421 4.4.2 idle"}}})
	c := login(t, s, gmailUser)
	c.deliver("in time")
	if n := s.Fired("f"); n > 1 { // the rule waits, and will count when it strikes
		t.Errorf("fired %d times before its time", n)
	}
	c.Expect("421 4.4.2")
	c.ExpectEnd()
}

func TestFaultHidesNoSession(t *testing.T) {
	s := newServer(t, setup{Faults: []fault.Rule{{Name: "f", Phase: fault.PhaseMail, Action: fault.ActionStall}}})
	c := login(t, s, gmailUser)
	c.Send("MAIL FROM:<a@b.test>\r\n")
	if err := s.WaitFired(testkit.Context(t), "f", 1); err != nil {
		t.Fatal(err)
	}
	// Close ends the stalled session; goleak and the cleanup see to it.
	if st := s.AccountStats(gmailUser); st.Open != 1 {
		t.Errorf("%d open, want 1", st.Open)
	}
}
