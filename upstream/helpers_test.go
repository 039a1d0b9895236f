package upstream

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/oauth"
)

func TestMain(m *testing.M) {
	testkit.VerifyNoLeaks(withLoops{m}, // the HTTP server of the sandbox cleans up at its leisure
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// EHLO keywords for each way of sending a message.
var (
	offerBDAT     = []string{"SIZE 35882577", "8BITMIME", "AUTH XOAUTH2", "ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8"}
	offerDATA     = []string{"SIZE 35882577", "8BITMIME", "AUTH XOAUTH2", "ENHANCEDSTATUSCODES", "PIPELINING"}
	offerChunking = []string{"SIZE 35882577", "8BITMIME", "AUTH XOAUTH2", "CHUNKING"}
	offerPlain    = []string{"SIZE 1048576", "AUTH XOAUTH2"}
)

var offers = []struct {
	name     string
	keywords []string
}{
	{"BDAT in one flight", offerBDAT},
	{"pipelined DATA", offerDATA},
	{"BDAT step by step", offerChunking},
	{"DATA step by step", offerPlain},
}

// fixture is a relay in front of a sandbox.
type fixture struct {
	t        testing.TB
	box      *sandbox.Server
	tokens   *oauth.Manager
	relay    *Relay
	set      *metrics.Set
	accounts []*account.Account
	loop     *loop.Loop // that transactions come from
}

// setup is what a test may change of the fixture.
type setup struct {
	box      sandbox.Config
	relay    Config
	limits   account.Limits
	implicit bool
	accounts int
	keywords []string
	endpoint func(*sandbox.Endpoint) // changes the sandbox's; may be nil
	log      *zap.Logger             // the relay's
}

// newFixture starts a sandbox with one endpoint "smtp" and a relay for its
// accounts. Both end with the test.
func newFixture(t testing.TB, change func(*setup)) *fixture {
	t.Helper()
	s := setup{
		relay:    DefaultConfig(),
		accounts: 2,
		log:      zap.NewNop(),
		keywords: offerBDAT,
		limits: account.Limits{
			MaxConnections: 3, ConnectionMaxAge: time.Hour, IdleTimeout: time.Hour, AcquireTimeout: time.Minute,
		},
	}
	s.relay.BackoffMin, s.relay.BackoffMax = time.Millisecond, 2*time.Millisecond
	s.relay.ThrottleRecovery, s.relay.Breaker.Recovery = 10*time.Millisecond, time.Millisecond
	s.box.Limits = "off"
	s.box.Record = 10000
	if change != nil {
		change(&s)
	}
	s.box.Endpoints = []sandbox.Endpoint{{Name: "smtp", Preset: sandbox.PresetGmail, Keywords: s.keywords}}
	if s.endpoint != nil {
		s.endpoint(&s.box.Endpoints[0])
	}
	s.box.Accounts = sandbox.SampleAccounts(s.accounts)
	for i := range s.box.Accounts {
		s.box.Accounts[i].Endpoint = "smtp"
		if len(s.box.Tenants) > 0 {
			s.box.Accounts[i].Tenant = s.box.Tenants[0].Name
		}
	}
	f := &fixture{t: t, box: provider.Start(t, s.box), set: metrics.NewSet()}
	s.relay.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.relay.CAFile, append(f.box.CAPEM(), testkit.PublicPEM(stubCertificate())...), 0o600); err != nil {
		t.Fatal(err)
	}
	f.tokens = oauth.New(oauth.DefaultConfig(), zap.NewNop(), f.set)
	t.Cleanup(f.tokens.Close)
	var err error
	if f.relay, err = New(s.relay, f.tokens, s.log, f.set); err != nil {
		t.Fatal(err)
	}
	f.loop, _ = loops()
	t.Cleanup(f.close)
	for _, sa := range f.box.Accounts() {
		a := provider.Account(t, f.box, sa.Email)
		a.Limits, a.RefreshMargin, a.Retry.BackoffFactor = s.limits, time.Minute, 2
		if s.implicit {
			a.SMTP.TLS = account.TLSImplicit
			_, a.SMTP.Port = testkit.HostPort(t, f.box.TLSAddr("smtp"))
		}
		f.accounts = append(f.accounts, a)
	}
	return f
}

func (f *fixture) close() {
	if f.relay.desk.Closing.Load() {
		return
	}
	if err := f.relay.Close(testkit.Context(f.t)); err != nil {
		f.t.Errorf("Close: %v", err)
	}
	f.checkIdle()
}

// checkIdle fails the test if a closed relay still counts something.
func (f *fixture) checkIdle() {
	f.t.Helper()
	if n := f.relay.desk.Waiting.Load(); n != 0 {
		f.t.Errorf("%d transactions are waiting in a closed relay", n)
	}
	for state := connGone; state < numConnStates; state++ {
		if n := f.relay.connections(state); n != 0 {
			f.t.Errorf("%d connections in state %d in a closed relay", n, state)
		}
	}
}

// metric returns the value of a counter or gauge.
func (f *fixture) metric(name string) string {
	if v, ok := testkit.Metrics(f.t, f.set.WritePrometheus)[name]; ok {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// answer is one call of Completer.
type answer struct {
	tx       *Transaction
	res      Result
	complete bool
}

// client is a Completer that passes on what it is told.
type client chan answer

func (c client) RecipientsReplied(tx *Transaction, _ *loop.Loop) { c <- answer{tx: tx} }
func (c client) Complete(tx *Transaction, _ *loop.Loop) {
	c <- answer{tx: tx, res: tx.Result, complete: true}
}
func (c client) Late(*Transaction) {}
func newClient() client            { return make(client, 1) }
func (c client) next(t testing.TB) answer {
	t.Helper()
	return testkit.Receive(t, "an answer from the relay", c)
}

// message makes a transaction with content.
func (f *fixture) message(a *account.Account, to, body string) (*Transaction, client) {
	tx, c := f.envelope(a, to)
	tx.Content = content(f.t, body)
	return tx, c
}

// envelope makes a transaction without content.
func (f *fixture) envelope(a *account.Account, to ...string) (*Transaction, client) {
	c := newClient()
	tx := GetTransaction()
	tx.FirstAnswered = true
	tx.Account, tx.Done, tx.SID = a, c, 1
	tx.Loop = f.loop
	tx.SetMail(codec.MailArgs{Path: []byte("from@example.com"), Size: -1})
	for _, path := range to {
		tx.AddRcpt(codec.RcptArgs{Path: []byte(path)})
	}
	return tx, c
}

func content(t testing.TB, body string) *codec.Content {
	t.Helper()
	c := codec.NewContent(nil)
	if err := c.Append([]byte(body)); err != nil {
		t.Fatal(err)
	}
	return c
}

// send relays one message and returns its result.
func (f *fixture) send(a *account.Account, to, body string) Result {
	f.t.Helper()
	tx, c := f.message(a, to, body)
	return f.submit(tx, c)
}

// trySubmit submits tx on its loop.
func (f *fixture) trySubmit(tx *Transaction) (err error) {
	onLoop(tx.Loop, func() { err = f.relay.TrySubmit(tx) })
	return err
}

func (f *fixture) submit(tx *Transaction, c client) Result {
	f.t.Helper()
	if err := f.trySubmit(tx); err != nil {
		f.t.Fatal(err)
	}
	ans := c.next(f.t)
	if !ans.complete {
		f.t.Fatal("RecipientsReplied was called for a transaction with content")
	}
	ans.tx.Release()
	return ans.res
}

// sendOK relays one message that must be accepted.
func (f *fixture) sendOK(a *account.Account, body string) {
	f.t.Helper()
	if res := f.send(a, "to@example.com", body); res.Reply.Code != 250 || res.Err != nil {
		f.t.Fatalf("reply %v, error %v; want 250", res.Reply, res.Err)
	}
}

// state is Relay.State of an account.
func (f *fixture) state(a *account.Account) AccountState {
	f.t.Helper()
	st, err := f.relay.State(a.ID)
	if err != nil {
		f.t.Error(err)
	}
	return st
}

// commands returns the commands that the sandbox saw, without EHLO and the
// like.
func (f *fixture) commands() (lines []string) {
	for _, r := range f.box.Commands() {
		switch verb, _, _ := strings.Cut(r.Line, " "); verb {
		case "MAIL", "RCPT", "DATA", "BDAT", "RSET", "QUIT":
			lines = append(lines, verb)
		}
	}
	return lines
}

// eventually sends until the account's back-off, of some milliseconds here, is
// over, and fails if it does not end.
func (f *fixture) eventually(a *account.Account) {
	f.t.Helper()
	before := len(f.box.Messages())
	f.until(func() bool { return f.send(a, "to@example.com", "c\r\n").Err == nil })
	provider.Messages(f.t, f.box, before+1)
}

// until waits for something that raises no event.
func (f *fixture) until(ok func() bool) {
	f.t.Helper()
	testkit.Eventually(f.t, "what is waited for", ok)
}

// parseReply is a reply line in the form that the relay has of it.
func parseReply(line string) codec.Reply {
	r, _, err := codec.ParseReply([]byte(line + "\r\n"))
	if err != nil {
		panic(err)
	}
	return r
}
