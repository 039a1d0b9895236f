package smtpd

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/textproto"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/store"
	"xoauth2-proxy/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	gmailUser   = "user@gmail.com"
	outlookUser = "user@outlook.com"
	plainUser   = "user@plain.test"
)

// setup changes the default: a Gmail and an Outlook endpoint, the mailboxes
// gmailUser and outlookUser, and limits on.
type setup struct {
	Endpoints []Endpoint
	Accounts  []mailbox.Account
	LimitsOff bool
	Faults    []fault.Rule
	Store     store.Config
	Record    int
	Now       func() time.Time
}

// fixture is a server with its mailboxes, faults, store and tokens.
type fixture struct {
	*Server
	mailbox.Directory
	fault.Script
	*store.Store
	tokens sync.Map // from token to *mailbox.Mailbox
}

// newServer starts a server that ends with the test.
func newServer(t testing.TB, cfg setup) *fixture {
	t.Helper()
	f := &fixture{}
	if cfg.Endpoints == nil {
		cfg.Endpoints = []Endpoint{{Preset: mailbox.Gmail}, {Preset: mailbox.Outlook}}
	}
	names := map[string]bool{}
	for i := range cfg.Endpoints {
		cfg.Endpoints[i] = cfg.Endpoints[i].WithDefaults()
		names[cfg.Endpoints[i].Name] = true
	}
	if cfg.Accounts == nil {
		cfg.Accounts = mailbox.Sample(2)
	}
	for _, a := range cfg.Accounts {
		if _, err := f.Directory.Add(a, names); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var err error
	if f.Store, err = store.New(cfg.Store.WithDefaults()); err != nil {
		t.Fatal(err)
	}
	if f.Server, err = New(Config{Endpoints: cfg.Endpoints, Limits: !cfg.LimitsOff, Record: cfg.Record, Now: cfg.Now,
		Boxes: &f.Directory, Faults: &f.Script, Store: f.Store, Accepts: f.accepts}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	f.setFaults(t, cfg.Faults...)
	if err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	return f
}

// token returns an access token for the mailbox.
func (f *fixture) token(email string) string {
	token := rand.Text()
	f.tokens.Store(token, f.Mailbox(email))
	return token
}

func (f *fixture) accepts(m *mailbox.Mailbox, token, endpoint string) bool {
	owner, ok := f.tokens.Load(token)
	return ok && m != nil && owner == m && m.Endpoint == endpoint
}

// setFaults replaces the fault script.
func (f *fixture) setFaults(t testing.TB, rules ...fault.Rule) {
	t.Helper()
	stats, _ := f.Stats()
	if err := f.Set(rules, uint64(stats.Connections)); err != nil {
		t.Fatal(err)
	}
}

// stats returns the counters.
func (f *fixture) stats() Stats { s, _ := f.Stats(); return s }

// violations returns the violations by name.
func (f *fixture) violations() map[string]int64 { _, v := f.Stats(); return v }

// plainConfig has an endpoint "plain" with these keywords.
func plainConfig(keywords ...string) setup {
	return setup{
		Endpoints: []Endpoint{{Preset: Plain, Keywords: keywords}},
		Accounts:  []mailbox.Account{{Email: plainUser, Provider: mailbox.Gmail, Endpoint: Plain}},
	}
}

// client is an SMTP client that shows every octet.
type client struct {
	*testkit.Client
	srv *fixture
}

func dial(t testing.TB, s *fixture, addr string) *client {
	t.Helper()
	c := testkit.Dial(t, addr)
	c.LineLimit = 1 << 20 // of a reply that is too long on purpose
	return &client{c, s}
}

func (c *client) handshake(cfg *tls.Config) error {
	_, err := c.Handshake(cfg, nil)
	return err
}

// secure greets and does STARTTLS and the second EHLO.
func (c *client) secure() *client {
	c.T.Helper()
	c.StartTLS(testkit.Trusting(c.srv.CAPEM(), "localhost"), nil)
	return c
}

func (c *client) auth(user string) *client {
	c.T.Helper()
	c.Cmd("AUTH XOAUTH2 "+testkit.XOAuth2(user, c.srv.token(user)), "235 2.7.0")
	return c
}

// login returns an authenticated client of the account's endpoint.
func login(t testing.TB, s *fixture, user string) *client {
	t.Helper()
	return dial(t, s, s.Addr(s.Mailbox(user).Endpoint)).secure().auth(user)
}

// bdat is a whole message as one flight.
func bdat(from, to, content string) string {
	return fmt.Sprintf("MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%s", from, to, len(content), content)
}

func (c *client) deliver(content string) {
	c.T.Helper()
	c.Send(bdat("from@a.test", "to@b.test", content))
	c.Expect("250 2.1.0")
	c.Expect("250 2.1.5")
	c.Expect("250 2.0.0")
}

func stuffed(content string) []byte {
	var b bytes.Buffer
	w := textproto.NewWriter(bufio.NewWriter(&b)).DotWriter()
	w.Write([]byte(content))
	w.Close()
	return b.Bytes()
}
