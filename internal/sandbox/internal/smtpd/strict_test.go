package smtpd

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"syscall"
	"testing"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/testkit"
)

// endpoints has one endpoint "gmail" of the preset, changed.
func endpoints(change func(*Endpoint)) setup {
	e := Endpoint{Preset: mailbox.Gmail}
	change(&e)
	return setup{Endpoints: []Endpoint{e}, Accounts: []mailbox.Account{{Email: gmailUser}}}
}

// TestCommandLineLimit has lines just below and just above the limits of the
// presets and of a configured one, which are in force with limits off too.
func TestCommandLineLimit(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(*Endpoint)
		noop    int // octets of the longest NOOP, with CRLF
		auth    int // of the longest AUTH
		refusal string
	}{
		{"gmail", func(*Endpoint) {}, 1000, 1000, "555 5.5.2"},
		{"outlook", func(e *Endpoint) { e.Preset, e.Name = mailbox.Outlook, mailbox.Gmail }, 2048, 12290, "500 5.5.6"},
		{"plain", func(e *Endpoint) { e.Preset, e.Name = Plain, mailbox.Gmail }, 2048, 12290, "500 5.5.6"},
		{"512", func(e *Endpoint) {
			e.Limits.CommandLine, e.Replies = 512, map[string]string{"command_line": "500 5.5.2 Line too long"}
		}, 512, 512, "500 5.5.2 Line too long"},
		{"none", func(e *Endpoint) { e.Limits.CommandLine = -1 }, 2048, 12290, "555 5.5.2"},
	} {
		for _, limits := range []string{"on", "off"} {
			t.Run(tt.name+" "+limits, func(t *testing.T) {
				cfg := endpoints(tt.change)
				cfg.LimitsOff = limits == "off"
				s := newServer(t, cfg)
				c := dial(t, s, s.Addr(mailbox.Gmail)).secure()
				line := func(start string, octets int) string {
					return start + strings.Repeat("x", octets-len(start)-len("\r\n"))
				}
				c.Cmd(line("NOOP ", tt.noop), "250 ")
				c.Cmd(line("NOOP ", tt.noop+1), tt.refusal)
				c.Cmd(line("AUTH XOAUTH2 ", tt.auth), "501 5.5.2 Cannot")
				c.Cmd(line("AUTH XOAUTH2 ", tt.auth+1), tt.refusal)
				dialog(c, "AUTH XOAUTH2>334 ")
				c.Cmd(line("", 12290), "501 5.5.2 Cannot")
				if n := s.violations()[ViolationLineLength]; n != 2 {
					t.Errorf("%d violations", n)
				}
			})
		}
	}
}

// TestMessagesPerConnection has a reply to the limit that ends the connection, and
// another that does not.
func TestMessagesPerConnection(t *testing.T) {
	for _, tt := range []struct {
		reply string // instead of the preset's
		want  string
	}{{"", "421 4.4.5"}, {"452 4.4.5 enough", "452 4.4.5 enough"}} {
		s := newServer(t, endpoints(func(e *Endpoint) {
			e.Limits.MessagesPerConnection = 2
			if tt.reply != "" {
				e.Replies = map[string]string{"messages_per_connection": tt.reply}
			}
		}))
		c := login(t, s, gmailUser)
		c.deliver("one")
		c.deliver("two")
		c.Cmd("MAIL FROM:<a@b.test>", tt.want)
		if strings.HasPrefix(tt.want, "421") {
			c.ExpectEnd()
		} else {
			dialog(c, "MAIL FROM:<a@b.test>>452|QUIT>221")
		}
		login(t, s, gmailUser).deliver("another connection")
		if st := s.AccountStats(gmailUser); st.Messages != 3 || st.LimitRefusals == 0 {
			t.Errorf("%+v", st)
		}
	}
}

// TestSince has a reply from the third message of each connection on.
func TestSince(t *testing.T) {
	for _, ph := range []fault.Phase{fault.PhaseMail, fault.PhaseData} {
		s := newServer(t, setup{Faults: []fault.Rule{{Phase: ph, Action: fault.ActionReply, Reply: "452 4.4.5 enough", Per: "connection", Since: 3}}})
		for range 2 {
			c := login(t, s, gmailUser)
			c.deliver("one")
			c.deliver("two")
			for range 2 {
				if ph == fault.PhaseMail {
					dialog(c, "MAIL FROM:<a@b.test>>452 4.4.5")
				} else {
					dialog(c, `MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|BDAT 2 LAST\n>452 4.4.5|RSET>250`)
				}
			}
		}
	}
}

// TestRefusedVerb has BDAT announced and refused, by configuration and by script.
// With a code of a server that does not know the verb, the content is read as
// commands; with another it is forgotten. Without an answer the session goes on.
func TestRefusedVerb(t *testing.T) {
	const content = "NOOP\r\nVRFY x\r\n"
	send := fmt.Sprintf("BDAT %d LAST\r\n%sRSET\r\n", len(content), content)
	for _, tt := range []struct {
		reply string
		want  []string
	}{
		{"500 5.5.1 unknown", []string{"500 5.5.1", "250 2.0.0", "252 ", "250 2.1.5"}},
		{"502 5.5.1 not implemented", []string{"502 5.5.1", "250 2.0.0", "252 ", "250 2.1.5"}},
		{"504 5.5.4 not here", []string{"504 5.5.4", "250 2.0.0", "252 ", "250 2.1.5"}},
		{"503 5.5.1 sequence", []string{"503 5.5.1", "250 2.1.5"}},
		{"552 5.3.4 too big", []string{"552 5.3.4", "250 2.1.5"}},
		{"421 4.3.2 bye", []string{"421 4.3.2", ""}},
		{"", []string{"250 2.1.5"}},
	} {
		for _, script := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.reply[:min(3, len(tt.reply))], script), func(t *testing.T) {
				cfg := endpoints(func(e *Endpoint) {
					if !script {
						e.Refuse = map[string]string{"BDAT": tt.reply}
					}
				})
				if script {
					r := fault.Rule{Phase: fault.PhaseCommand, Verb: "BDAT", Action: fault.ActionReply, Reply: tt.reply}
					if tt.reply == "" {
						r.Action = fault.ActionIgnore
					}
					cfg.Faults = []fault.Rule{r}
				}
				s := newServer(t, cfg)
				c := login(t, s, gmailUser)
				dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250")
				c.Send(send)
				for _, want := range tt.want {
					if want == "" {
						c.ExpectEnd()
						return
					}
					c.Expect(want)
				}
				dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>354|by DATA\\n.>250|QUIT>221")
				if m := s.Messages(); len(m) != 1 || m[0].Verb != "DATA" {
					t.Errorf("%d messages", len(m))
				}
			})
		}
	}
}

// TestCommandFault has rules strike at single verbs.
func TestCommandFault(t *testing.T) {
	s := newServer(t, setup{Faults: []fault.Rule{
		{Phase: fault.PhaseCommand, Verb: "VRFY", Action: fault.ActionReply, Reply: "550 5.7.1 no"},
		{Phase: fault.PhaseCommand, Verb: fault.VerbUnknown, Action: fault.ActionReply, Reply: "500 5.5.1 what"},
		{Phase: fault.PhaseCommand, Verb: "NOOP", Action: fault.ActionReply, Reply: "250 2.0.0 second", Nth: 2},
	}})
	dialog(login(t, s, gmailUser), "VRFY x>550 5.7.1|XYZZY>500 5.5.1 what|NOOP>250 2.0.0 OK|NOOP>250 2.0.0 second|NOOP>250 2.0.0 OK|RSET>250")
}

// TestCloseAfterReply has the connection end after the usual reply, and after
// one of the script, of every phase that has one.
func TestCloseAfterReply(t *testing.T) {
	usual := map[fault.Phase]string{fault.PhaseBanner: "220 ", fault.PhaseEHLO: "250-", fault.PhaseStartTLS: "220 ", fault.PhaseAuth: "235 ",
		fault.PhaseMail: "250 ", fault.PhaseRcpt: "250 ", fault.PhaseData: "250 2.0.0", fault.PhaseAfterEOD: "250 2.0.0", fault.PhaseRset: "250 ",
		fault.PhaseNoop: "250 ", fault.PhaseQuit: "221 ", fault.PhaseCommand: "250-"}
	for ph := range maps.Keys(usual) {
		for _, how := range []fault.Action{fault.ActionClose, fault.ActionCut, fault.ActionReset} {
			for _, r := range []fault.Rule{{Action: fault.ActionPass}, {Action: fault.ActionReply, Reply: "451 4.3.0 later"}, {Action: fault.ActionReply, Reply: "421 4.3.0 bye"}} {
				r.Phase, r.Then = ph, how
				t.Run(fmt.Sprintf("%s/%s/%s%.3s", ph, how, r.Action, r.Reply), func(t *testing.T) {
					t.Parallel()
					want := r.Reply
					if r.Action == fault.ActionPass {
						want = usual[ph]
					}
					s := newServer(t, setup{Faults: []fault.Rule{r}})
					if ph == fault.PhaseBanner && how == fault.ActionReset { // the client may hear of it as early as in connect
						conn, err := net.Dial("tcp", s.Addr(mailbox.Gmail))
						if err == nil {
							defer conn.Close()
							_, err = io.Copy(io.Discard, conn)
						}
						if !errors.Is(err, syscall.ECONNRESET) {
							t.Errorf("ended by %v", err)
						}
						return
					}
					c, provoke := reach(t, s, ph)
					if _, err := io.WriteString(c, provoke); err != nil {
						t.Fatal(err)
					}
					c.Expect(want)
					err := c.ExpectEnd()
					if how == fault.ActionReset != errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("ended by %v", err)
					}
					if got := len(s.Messages()); got != 0 && (r.Action != fault.ActionPass || ph != fault.PhaseData && ph != fault.PhaseAfterEOD) {
						t.Errorf("%d messages", got)
					}
				})
			}
		}
	}
	t.Run("354", func(t *testing.T) {
		s := newServer(t, setup{Faults: []fault.Rule{{Phase: fault.PhaseData, Action: fault.ActionPass, Then: fault.ActionCut}}})
		c := login(t, s, gmailUser)
		dialog(c, "MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>354")
		c.ExpectEnd()
	})
}

// TestUnknownTokenIsRefusedInWords has a provider whose words to a bad token are
// configured.
func TestUnknownTokenIsRefusedInWords(t *testing.T) {
	s := newServer(t, endpoints(func(e *Endpoint) { e.Replies = map[string]string{"token": "535 5.7.139 disabled"} }))
	dialog(dial(t, s, s.Addr(mailbox.Gmail)).secure(), "AUTH XOAUTH2 "+testkit.XOAuth2(gmailUser, "x")+">334 |>535 5.7.139 disabled")
	c := dial(t, s, s.Addr(mailbox.Gmail)).secure()
	c.Cmd("AUTH XOAUTH2 "+testkit.XOAuth2(gmailUser, s.token(gmailUser)), "235 ")
}
