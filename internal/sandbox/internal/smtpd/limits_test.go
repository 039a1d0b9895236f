package smtpd

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/testkit"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// limited is a server whose presets have these limits too.
func limited(t *testing.T, l mailbox.Limits) (*fixture, *clock) {
	clk := newClock()
	return newServer(t, setup{Now: clk.Now,
		Endpoints: []Endpoint{{Preset: mailbox.Gmail, Limits: l}, {Preset: mailbox.Outlook, Limits: l}}}), clk
}

func TestConnectionLimit(t *testing.T) {
	s := newServer(t, setup{})
	for i := range 15 {
		login(t, s, gmailUser)
		if i < 3 {
			login(t, s, outlookUser)
		}
	}
	// Gmail refuses the login.
	g := dial(t, s, s.Addr(mailbox.Gmail)).secure()
	g.Cmd("AUTH XOAUTH2 "+testkit.XOAuth2(gmailUser, s.token(gmailUser)), "421 4.7.0")
	g.ExpectEnd()
	// Outlook refuses the content, and only on the fourth connection.
	o := login(t, s, outlookUser)
	dialog(o, `MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>432 4.3.2|RSET>250|MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|BDAT 2 LAST\n>432 4.3.2`)
	if st := s.AccountStats(outlookUser); st.MaxOpen != 4 || st.Open != 4 || st.LimitRefusals != 2 || st.Messages != 0 {
		t.Errorf("%+v", st)
	}
	if st := s.AccountStats(gmailUser); st.MaxOpen != 15 || st.LimitRefusals != 1 || st.Logins != 15 {
		t.Errorf("%+v", st)
	}
}

// TestConnectionGivenBack has a closed connection make room for another.
func TestConnectionGivenBack(t *testing.T) {
	s, _ := limited(t, mailbox.Limits{Connections: 1})
	first := login(t, s, outlookUser)
	second := login(t, s, outlookUser)
	first.Cmd("QUIT", "221 ")
	first.ExpectEnd()
	if err := s.WaitAccount(testkit.Context(t), outlookUser, func(st mailbox.Stats) bool { return st.Open == 1 }); err != nil {
		t.Fatal(err)
	}
	second.deliver("now it goes")
}

func TestRecipientLimit(t *testing.T) {
	s := newServer(t, setup{})
	c := login(t, s, gmailUser)
	c.Cmd("MAIL FROM:<a@b.test>", "250 ")
	for i := range 100 {
		c.Cmd(fmt.Sprintf("RCPT TO:<%d@b.test>", i), "250 ")
	}
	c.Cmd("RCPT TO:<x@b.test>", "452 4.5.3")
	c.Cmd("DATA", "354 ")
	c.Cmd("hi\r\n.", "250 ")
	if m := s.Messages()[0]; len(m.Recipients) != 100 {
		t.Errorf("%d recipients", len(m.Recipients))
	}
}

func TestQuotas(t *testing.T) {
	const day = 24*time.Hour + 30*time.Minute // with the width of a slot
	tests := []struct {
		name, user string
		limits     mailbox.Limits
		want       string
		after      time.Duration
	}{
		{"messages a day", gmailUser, mailbox.Limits{MessagesPerDay: 2}, "550 5.4.5", day},
		{"recipients a day", gmailUser, mailbox.Limits{RecipientsPerDay: 2}, "550 5.4.5", day},
		{"outlook recipients a day", outlookUser, mailbox.Limits{RecipientsPerDay: 2}, "554 5.2.0", day},
		{"messages a minute", gmailUser, mailbox.Limits{MessagesPerMinute: 2}, "450 4.2.1", 62 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, clk := limited(t, tt.limits)
			c := login(t, s, tt.user)
			send := func(want string) {
				t.Helper()
				c.Send(bdat("a@b.test", "c@d.test", "x"))
				c.Expect("250 ")
				c.Expect("250 ")
				c.Expect(want)
			}
			send("250 2.0.0")
			send("250 2.0.0")
			send(tt.want)
			clk.advance(tt.after / 2)
			send(tt.want)
			clk.advance(tt.after / 2)
			send("250 2.0.0")
			if st := s.AccountStats(tt.user); st.Messages != 3 || st.LimitRefusals != 2 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestOutlookDelaysOverRate(t *testing.T) {
	s := newServer(t, setup{Endpoints: []Endpoint{{Preset: mailbox.Gmail}, {Preset: mailbox.Outlook, Limits: mailbox.Limits{MessagesPerMinute: 1}}}})
	c := login(t, s, outlookUser)
	c.deliver("first")
	c.Send(bdat("a@b.test", "c@d.test", "second"))
	c.Expect("250 2.1.0")
	c.Expect("250 2.1.5")
	if err := s.WaitAccount(testkit.Context(t), outlookUser, func(st mailbox.Stats) bool { return st.RateDelays == 1 }); err != nil {
		t.Fatal(err)
	}
	c.TCP.Close() // a client that does not wait: the message is gone
	login(t, s, gmailUser).deliver("the others go on")
	if n := s.AccountStats(outlookUser).Messages; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestLoginLimit(t *testing.T) {
	s, clk := limited(t, mailbox.Limits{LoginsPerMinute: 1})
	login(t, s, gmailUser)
	auth := func(want string) {
		t.Helper()
		dial(t, s, s.Addr(mailbox.Gmail)).secure().Cmd("AUTH XOAUTH2 "+testkit.XOAuth2(gmailUser, s.token(gmailUser)), want)
	}
	auth("454 4.7.0 Too many login attempts")
	clk.advance(62 * time.Second)
	auth("235 ")
}

func TestLimitsOff(t *testing.T) {
	s := newServer(t, setup{LimitsOff: true})
	for range 5 {
		login(t, s, outlookUser).deliver("x")
	}
	if st := s.AccountStats(outlookUser); st.MaxOpen != 5 || st.Messages != 5 {
		t.Errorf("%+v", st)
	}
}
