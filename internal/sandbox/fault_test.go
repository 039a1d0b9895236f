package sandbox

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
)

// reach brings a client to the point where the phase's fault strikes, and
// returns it with what is sent to provoke it.
func reach(t *testing.T, s *Server, ph Phase) (c *client, provoke string) {
	content := strings.Repeat("0123456789", 1000)
	message := bdat("from@a.test", "to@b.test", content)
	switch ph {
	case PhaseConnect, PhaseBanner:
		return dial(t, s, s.Addr(PresetGmail)), ""
	case PhaseTLS, PhaseStartTLS, PhaseEHLO, PhaseCommand:
		c := dial(t, s, s.Addr(PresetGmail))
		c.want("220 ")
		if ph == PhaseEHLO || ph == PhaseCommand {
			return c, "EHLO x\r\n"
		}
		c.cmd("EHLO x", "250-")
		if ph == PhaseStartTLS {
			return c, "STARTTLS\r\n"
		}
		c.cmd("STARTTLS", "220 ")
		return c, "\x16\x03\x01\x02\x00\x01"
	case PhaseAuth:
		c := dial(t, s, s.Addr(PresetGmail)).secure()
		return c, "AUTH XOAUTH2 " + xoauth2(gmailUser, s.IssueToken(gmailUser, time.Hour)) + "\r\n"
	case PhaseIdle:
		c := dial(t, s, s.Addr(PresetGmail)).secure()
		c.send("AUTH XOAUTH2 " + xoauth2(gmailUser, s.IssueToken(gmailUser, time.Hour)) + "\r\n")
		c.want("235 ")
		return c, ""
	}
	c = login(t, s, gmailUser)
	switch ph {
	case PhaseMail:
		return c, "MAIL FROM:<from@a.test>\r\n"
	case PhaseRset, PhaseNoop, PhaseQuit:
		return c, strings.ToUpper(string(ph)) + "\r\n"
	}
	c.cmd("MAIL FROM:<from@a.test>", "250 ")
	if ph == PhaseRcpt {
		return c, "RCPT TO:<to@b.test>\r\n"
	}
	c.cmd("RCPT TO:<to@b.test>", "250 ")
	message = message[strings.Index(message, "BDAT"):]
	if ph == PhaseAfterReply {
		c.send(message)
		c.want("250 2.0.0")
		return c, ""
	}
	return c, message
}

// stored says what becomes of the message of reach, when a fault without
// Accept strikes in the phase.
func stored(ph Phase) int {
	if ph == PhaseAfterReply {
		return 1
	}
	return 0
}

// TestFaultMatrix runs each action that breaks a session at every phase.
func TestFaultMatrix(t *testing.T) {
	rules := []Rule{
		{Action: ActionReply, Reply: "450 4.2.1 first\n4.2.1 second"},
		{Action: ActionReply, Reply: "421 4.3.2 go away"},
		{Action: ActionClose}, {Action: ActionCut}, {Action: ActionReset}, {Action: ActionStall},
		{Action: ActionGarbage}, {Action: ActionHuge, Reply: "250 2.0.0 y", Size: 100_000},
	}
	for _, ph := range fault.SMTPPhases {
		for _, r := range rules {
			r.Phase, r.Name = ph, "f"
			t.Run(string(ph)+"/"+string(r.Action)+r.Reply[:min(3, len(r.Reply))], func(t *testing.T) {
				t.Parallel()
				s := newServer(t, Config{Faults: []Rule{r}})
				if r.Action == ActionReset && (ph == PhaseConnect || ph == PhaseBanner) {
					checkEarlyReset(t, s)
				} else {
					c, provoke := reach(t, s, ph)
					// The system tells of a reset once, be it to the write.
					switch _, err := c.Write([]byte(provoke)); {
					case err == nil:
						checkAction(t, c, r)
					case r.Action != ActionReset:
						t.Fatal(err)
					}
				}
				if err := s.WaitFired(testContext(t), "f", 1); err != nil {
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
func checkEarlyReset(t *testing.T, s *Server) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr(PresetGmail))
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
func checkAction(t *testing.T, c *client, r Rule) {
	t.Helper()
	switch r.Action {
	case ActionReply:
		if !strings.HasPrefix(r.Reply, "421") {
			if got := c.want("450-"); got != "450-4.2.1 first\n450 4.2.1 second" {
				t.Errorf("reply %q", got)
			}
			return
		}
		c.want("421 4.3.2 go away")
		c.wantEnd()
	case ActionClose:
		if err := c.wantEnd(); err != io.EOF {
			t.Errorf("ended by %v, want EOF", err)
		}
	case ActionCut: // crypto/tls does not tell the client of the missing close_notify
		if err := c.wantEnd(); err != io.EOF {
			t.Errorf("ended by %v, want EOF", err)
		}
	case ActionReset:
		if err := c.wantEnd(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("ended by %v, want a reset", err)
		}
	case ActionStall:
		if err := c.srv.WaitFired(testContext(t), "f", 1); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if got, err := c.reply(); err == nil || got != "" {
			t.Errorf("a stalled session answered %q, %v", got, err)
		}
		c.raw.Close()
	case ActionGarbage:
		if got, err := c.br.ReadString('\n'); err != nil || !strings.HasPrefix(got, "\x00\xff") {
			t.Errorf("garbage %q, %v", got, err)
		}
	case ActionHuge:
		if got := c.want("250-"); len(got) < 90_000 {
			t.Errorf("a huge reply of %d bytes", len(got))
		}
	}
}

func TestFaultAccept(t *testing.T) {
	s := newServer(t, Config{})
	set := func(r Rule) {
		t.Helper()
		r.Phase = PhaseAfterEOD
		if err := s.SetFaults(r); err != nil {
			t.Fatal(err)
		}
	}
	set(Rule{Action: ActionAcceptThenClose})
	c := login(t, s, gmailUser)
	c.send(bdat("a@b.test", "c@d.test", "one"))
	c.want("250 2.1.0")
	c.want("250 2.1.5")
	c.wantEnd()
	if n := len(s.Messages()); n != 1 {
		t.Fatalf("%d messages, want 1", n)
	}
	set(Rule{Action: ActionReply, Reply: "250 2.0.0 verbatim\nsecond\n", Accept: true})
	c = login(t, s, gmailUser)
	c.send(bdat("a@b.test", "c@d.test", "two"))
	c.want("250 2.1.0")
	c.want("250 2.1.5")
	if got := c.want("250"); got != "250-2.0.0 verbatim\n250-second\n250 " {
		t.Errorf("reply %q", got)
	}
	if n := len(s.Messages()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func TestFaultStallThenGoOn(t *testing.T) {
	s := newServer(t, Config{})
	c := login(t, s, gmailUser)
	for _, ph := range []Phase{PhaseMail, PhaseRcpt, PhaseData, PhaseMidContent, PhaseAfterEOD, PhaseAfterReply} {
		if err := s.SetFaults(Rule{Phase: ph, Action: ActionStall, For: Duration(time.Millisecond), Name: "f"}); err != nil {
			t.Fatal(err)
		}
		c.deliver("late")
		if err := s.WaitFired(testContext(t), "f", 1); err != nil {
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
	s := newServer(t, Config{})
	c := login(t, s, gmailUser)
	content := strings.Repeat("x", 5*slowPiece)
	for _, ph := range []Phase{PhaseMail, PhaseData, PhaseMidContent, PhaseAfterEOD} {
		if err := s.SetFaults(Rule{Phase: ph, Action: ActionSlow, Interval: Duration(100 * time.Microsecond), Name: "f"}); err != nil {
			t.Fatal(err)
		}
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
	s := newServer(t, Config{Faults: []Rule{{Phase: PhaseMidContent, Action: ActionReply, Reply: "451 4.3.0 enough", After: 20_000}}})
	c := login(t, s, gmailUser)
	dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>354")
	c.send(strings.Repeat("a\r\n", 10_000) + ".\r\n")
	c.want("451 4.3.0")
	c.cmd("NOOP", "250 ")
	if len(s.Messages()) != 0 {
		t.Error("the message was stored")
	}
}

func TestFaultMatching(t *testing.T) {
	s := newServer(t, Config{})
	if err := s.SetFaults(
		Rule{Name: "rcpt", Phase: PhaseRcpt, Recipient: "*@BAD.test", Action: ActionReply, Reply: "550 5.1.1 no"},
		Rule{Name: "third", Phase: PhaseRcpt, Nth: 3, Action: ActionReply, Reply: "450 4.2.1 third"},
		Rule{Name: "null", Phase: PhaseMail, MailFrom: "<>", Action: ActionReply, Reply: "550 5.7.1 null"},
		Rule{Name: "account", Phase: PhaseMail, Account: outlookUser, Times: 1, Action: ActionReply, Reply: "451 4.7.0 busy"},
		Rule{Name: "second", Phase: PhaseNoop, Per: "connection", Every: 2, Action: ActionReply, Reply: "450 4.0.0 even"},
		Rule{Name: "endpoint", Phase: PhaseRset, Endpoint: PresetOutlook, Action: ActionReply, Reply: "450 4.0.0 outlook"},
		Rule{Name: "conn", Phase: PhaseQuit, Connection: 2, Action: ActionReply, Reply: "450 4.0.0 not yet"},
	); err != nil {
		t.Fatal(err)
	}
	g, o := login(t, s, gmailUser), login(t, s, outlookUser)
	dialog(g, "NOOP>250|MAIL FROM:<>>550|MAIL FROM:<a@b.test>>250|RCPT TO:<x@bad.test>>550|RCPT TO:<1@b.test>>250|RCPT TO:<2@b.test>>250|RCPT TO:<3@b.test>>450|RCPT TO:<4@b.test>>250|NOOP>450|NOOP>250|RSET>250")
	dialog(o, "NOOP>250|MAIL FROM:<a@b.test>>451|MAIL FROM:<a@b.test>>250|RSET>450|QUIT>450")
	g.cmd("QUIT", "221 ")
	want := map[string][2]int64{"rcpt": {1, 1}, "third": {4, 1}, "null": {1, 1}, "account": {2, 1}, "second": {4, 1}, "endpoint": {1, 1}, "conn": {1, 1}}
	for _, f := range s.Faults() {
		if w := want[f.Rule.Name]; f.Seen != w[0] || f.Fired != w[1] {
			t.Errorf("%s: seen %d, fired %d, want %v", f.Rule.Name, f.Seen, f.Fired, w)
		}
	}
}

func TestFaultKeyword(t *testing.T) {
	s := newServer(t, Config{Faults: []Rule{
		{Phase: PhaseEHLO, Secure: "tls", Action: ActionDropKeyword, Keyword: "CHUNKING", Nth: 1},
		{Phase: PhaseEHLO, Secure: "tls", Action: ActionDropKeyword, Keyword: "XOAUTH2"},
	}})
	c := login(t, s, gmailUser)
	dialog(c, `MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|BDAT 2 LAST\n>502|RSET>250`)
	got := c.cmd("EHLO x", "250-")
	if strings.Contains(got, "XOAUTH2") || !strings.Contains(got, "AUTH LOGIN PLAIN PLAIN-CLIENTTOKEN") || !strings.Contains(got, "CHUNKING") {
		t.Errorf("keywords %q", got)
	}
}

func TestFaultCertificate(t *testing.T) {
	tests := map[string]func(error) bool{
		CertificateOtherName: func(err error) bool { var e x509.HostnameError; return errors.As(err, &e) },
		CertificateOtherCA:   func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) },
		CertificateExpired: func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == x509.Expired
		},
	}
	for kind, is := range tests {
		t.Run(kind, func(t *testing.T) {
			s := newServer(t, Config{Faults: []Rule{{Phase: PhaseTLS, Action: ActionWrongCertificate, Certificate: kind, Times: 1}}})
			c := dial(t, s, s.TLSAddr(PresetGmail))
			if err := c.handshake(c.tlsConfig()); !is(err) {
				t.Errorf("handshake: %v", err)
			}
			c = dial(t, s, s.TLSAddr(PresetGmail))
			if err := c.handshake(c.tlsConfig()); err != nil {
				t.Errorf("next handshake: %v", err)
			}
		})
	}
}

func TestFaultIdleDelay(t *testing.T) {
	s := newServer(t, Config{Faults: []Rule{{Name: "f", Phase: PhaseIdle, Delay: Duration(300 * time.Millisecond), Action: ActionReply, Reply: "421 4.4.2 idle"}}})
	c := login(t, s, gmailUser)
	c.deliver("in time")
	if n := s.Fired("f"); n > 1 { // the rule waits, and will count when it strikes
		t.Errorf("fired %d times before its time", n)
	}
	c.want("421 4.4.2")
	c.wantEnd()
}

func TestFaultHidesNoSession(t *testing.T) {
	s := newServer(t, Config{Faults: []Rule{{Name: "f", Phase: PhaseMail, Action: ActionStall}}})
	c := login(t, s, gmailUser)
	c.send("MAIL FROM:<a@b.test>\r\n")
	if err := s.WaitFired(testContext(t), "f", 1); err != nil {
		t.Fatal(err)
	}
	// Close ends the stalled session; goleak and the cleanup see to it.
	if st := s.AccountStats(gmailUser); st.Open != 1 {
		t.Errorf("%d open, want 1", st.Open)
	}
}
