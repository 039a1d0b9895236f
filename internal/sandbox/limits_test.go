package sandbox

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
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

// limited is a sandbox whose presets have these limits too.
func limited(t *testing.T, l Limits) (*Server, *clock) {
	clk := newClock()
	return newServer(t, Config{Now: clk.Now,
		Endpoints: []Endpoint{{Preset: PresetGmail, Limits: l}, {Preset: PresetOutlook, Limits: l}}}), clk
}

func TestConnectionLimit(t *testing.T) {
	s := newServer(t, Config{})
	for i := range 15 {
		login(t, s, gmailUser)
		if i < 3 {
			login(t, s, outlookUser)
		}
	}
	// Gmail refuses the login.
	g := dial(t, s, s.Addr(PresetGmail)).secure()
	g.cmd("AUTH XOAUTH2 "+xoauth2(gmailUser, s.IssueToken(gmailUser, time.Hour)), "421 4.7.0")
	g.wantEnd()
	// Outlook refuses the content, and only of the fourth.
	o := login(t, s, outlookUser)
	dialog(o, `MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|DATA>432 4.3.2|RSET>250|MAIL FROM:<a@b.test>>250|RCPT TO:<c@d.test>>250|BDAT 2 LAST\n>432 4.3.2`)
	if st := s.AccountStats(outlookUser); st.MaxOpen != 4 || st.Open != 4 || st.LimitRefusals != 2 || st.Messages != 0 {
		t.Errorf("%+v", st)
	}
	if st := s.AccountStats(gmailUser); st.MaxOpen != 15 || st.LimitRefusals != 1 || st.Logins != 15 {
		t.Errorf("%+v", st)
	}
}

// TestConnectionGivenBack: a closed connection makes room.
func TestConnectionGivenBack(t *testing.T) {
	s, _ := limited(t, Limits{Connections: 1})
	first := login(t, s, outlookUser)
	second := login(t, s, outlookUser)
	first.cmd("QUIT", "221 ")
	first.wantEnd()
	if err := s.WaitAccount(testContext(t), outlookUser, func(st AccountStats) bool { return st.Open == 1 }); err != nil {
		t.Fatal(err)
	}
	second.deliver("now it goes")
}

func TestRecipientLimit(t *testing.T) {
	s := newServer(t, Config{})
	c := login(t, s, gmailUser)
	c.cmd("MAIL FROM:<a@b.test>", "250 ")
	for i := range 100 {
		c.cmd(fmt.Sprintf("RCPT TO:<%d@b.test>", i), "250 ")
	}
	c.cmd("RCPT TO:<x@b.test>", "452 4.5.3")
	c.cmd("DATA", "354 ")
	c.cmd("hi\r\n.", "250 ")
	if m := s.Messages()[0]; len(m.Recipients) != 100 {
		t.Errorf("%d recipients", len(m.Recipients))
	}
}

func TestQuotas(t *testing.T) {
	const day = 24*time.Hour + 30*time.Minute // with the width of a slot
	tests := []struct {
		name, user string
		limits     Limits
		want       string
		after      time.Duration
	}{
		{"messages a day", gmailUser, Limits{MessagesPerDay: 2}, "550 5.4.5", day},
		{"recipients a day", gmailUser, Limits{RecipientsPerDay: 2}, "550 5.4.5", day},
		{"outlook recipients a day", outlookUser, Limits{RecipientsPerDay: 2}, "554 5.2.0", day},
		{"messages a minute", gmailUser, Limits{MessagesPerMinute: 2}, "450 4.2.1", 62 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, clk := limited(t, tt.limits)
			c := login(t, s, tt.user)
			send := func(want string) {
				t.Helper()
				c.send(bdat("a@b.test", "c@d.test", "x"))
				c.want("250 ")
				c.want("250 ")
				c.want(want)
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
	s := newServer(t, Config{Endpoints: []Endpoint{{Preset: PresetGmail}, {Preset: PresetOutlook, Limits: Limits{MessagesPerMinute: 1}}}})
	c := login(t, s, outlookUser)
	c.deliver("first")
	c.send(bdat("a@b.test", "c@d.test", "second"))
	c.want("250 2.1.0")
	c.want("250 2.1.5")
	if err := s.WaitAccount(testContext(t), outlookUser, func(st AccountStats) bool { return st.RateDelays == 1 }); err != nil {
		t.Fatal(err)
	}
	c.raw.Close() // a client that does not wait: the message is gone
	login(t, s, gmailUser).deliver("the others go on")
	if n := s.AccountStats(outlookUser).Messages; n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestLoginLimit(t *testing.T) {
	s, clk := limited(t, Limits{LoginsPerMinute: 1})
	login(t, s, gmailUser)
	auth := func(want string) {
		t.Helper()
		dial(t, s, s.Addr(PresetGmail)).secure().cmd("AUTH XOAUTH2 "+xoauth2(gmailUser, s.IssueToken(gmailUser, time.Hour)), want)
	}
	auth("454 4.7.0 Too many login attempts")
	clk.advance(62 * time.Second)
	auth("235 ")
}

func TestLimitsOff(t *testing.T) {
	s := newServer(t, Config{Limits: "off"})
	for range 5 {
		login(t, s, outlookUser).deliver("x")
	}
	if st := s.AccountStats(outlookUser); st.MaxOpen != 5 || st.Messages != 5 {
		t.Errorf("%+v", st)
	}
}

func TestAddAccount(t *testing.T) {
	s := newServer(t, Config{})
	if err := s.AddAccount(Account{Email: "USER@gmail.com"}); err == nil {
		t.Error("an address was added twice")
	}
	if err := s.AddAccount(Account{Email: "new@gmail.com"}); err != nil {
		t.Fatal(err)
	}
	login(t, s, "NEW@gmail.com").deliver("x")
	if accounts := s.Accounts(); len(accounts) != 3 || accounts[2].Email != "new@gmail.com" {
		t.Errorf("%+v", accounts)
	}
}

func TestConfig(t *testing.T) {
	cfg, err := DecodeConfig(strings.NewReader(`{"limits":"off","endpoints":[{"preset":"plain","keywords":["SIZE 5"],"limits":{"idle_timeout":"3s"}}],
		"accounts":[{"email":"a@b.test","endpoint":"plain"}],"latency":{"round_trip":"20ms","commands":{"MAIL":"1ms"}},
		"store":{"mode":"count"},"tokens":{"lifetime":"5m","rotation":"on"},"faults":[{"phase":"mail","action":"close"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Endpoints[0].Limits.IdleTimeout != Duration(3*time.Second) || cfg.Latency.Commands["MAIL"] != Duration(time.Millisecond) {
		t.Errorf("%+v", cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	if _, err := DecodeConfig(strings.NewReader(`{"limit":"off"}`)); err == nil {
		t.Error("an unknown key was taken")
	}
	bad := Config{
		Endpoints: []Endpoint{{Preset: "x"}, {Name: "e", Preset: "gmail", TLSVersion: "1.1"}, {Name: "e", Preset: "gmail", StartTLS: "0.0.0.0:25"}},
		HTTP:      "example.com:80", Limits: "maybe", Tokens: TokenConfig{Rotation: "x"}, Store: StoreConfig{Mode: "dir"},
		Accounts: []Account{{Email: "a", Provider: "yahoo"}, {Email: "A", Endpoint: "e"}},
		Faults:   []Rule{{}},
	}
	err = bad.Validate()
	for _, want := range []string{"endpoints[0].preset", "endpoints[1].tls_version", "endpoints[2].name", "endpoints[2]: ", "http:", "limits:",
		"tokens.rotation", "store.dir", "accounts[0].email", "accounts[0].provider", "accounts[0].endpoint", `accounts[1].email: "A" is taken`, "faults[0]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := New(bad); err == nil {
		t.Error("New took it")
	}
	s := newServer(t, Config{})
	if _, err := New(Config{HTTP: s.Addr(PresetGmail)}); err == nil {
		t.Error("listened on a taken port")
	}
}
