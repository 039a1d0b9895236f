package upstream

import (
	"bytes"
	"context"
	"encoding/pem"
	"net"
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
	"xoauth2-proxy/oauth"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(withLoops{m}, // the HTTP server of the sandbox cleans up at its leisure
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// a worker pool that package gnet starts when it is loaded
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
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
}

// newFixture starts a sandbox with one endpoint "smtp" and a relay for its
// accounts. Both end with the test.
func newFixture(t testing.TB, change func(*setup)) *fixture {
	t.Helper()
	s := setup{
		relay:    DefaultConfig(),
		accounts: 2,
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
	}
	box, err := sandbox.New(s.box)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, box: box, set: metrics.NewSet()}
	t.Cleanup(func() { _ = box.Close() })
	s.relay.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	authorities := append(box.CAPEM(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stubCertificate().Certificate[0]})...)
	if err := os.WriteFile(s.relay.CAFile, authorities, 0o600); err != nil {
		t.Fatal(err)
	}
	f.tokens = oauth.New(oauth.DefaultConfig(), zap.NewNop(), f.set)
	t.Cleanup(f.tokens.Close)
	if f.relay, err = New(s.relay, f.tokens, zap.NewNop(), f.set); err != nil {
		t.Fatal(err)
	}
	f.loop, _ = loops()
	t.Cleanup(f.close)
	for _, a := range box.Accounts() {
		f.accounts = append(f.accounts, f.account(a, s))
	}
	return f
}

func (f *fixture) account(a sandbox.Account, s setup) *account.Account {
	addr, mode := f.box.Addr("smtp"), account.TLSStartTLS
	if s.implicit {
		addr, mode = f.box.TLSAddr("smtp"), account.TLSImplicit
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		f.t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	return &account.Account{
		ID: a.ID, Email: a.Email, Provider: a.Provider, ClientID: a.ClientID, TokenURL: f.box.TokenURL(),
		ClientSecret: account.NewSecret(a.ClientSecret), RefreshToken: account.NewSecret(a.RefreshToken),
		SMTP:   account.Endpoint{Host: host, Port: n, TLS: mode},
		Limits: s.limits, RefreshMargin: time.Minute,
		Retry: account.RetryPolicy{MaxAttempts: 1, BackoffFactor: 2, MaxDelay: time.Second},
	}
}

func (f *fixture) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if f.relay.desk.Closing.Load() {
		return
	}
	if err := f.relay.Close(ctx); err != nil {
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

// faults sets the sandbox's fault script.
func (f *fixture) faults(rules ...sandbox.Rule) {
	f.t.Helper()
	if err := f.box.SetFaults(rules...); err != nil {
		f.t.Fatal(err)
	}
}

// metric returns the value of a counter or gauge.
func (f *fixture) metric(name string) string {
	var b bytes.Buffer
	f.set.WritePrometheus(&b)
	for line := range strings.Lines(b.String()) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(v)
		}
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
func newClient() client { return make(client, 1) }
func (c client) next(t testing.TB) (a answer) {
	t.Helper()
	select {
	case a = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal("no answer from the relay")
	}
	return a
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

// messages waits until the sandbox has n messages, and fails if it has more.
func (f *fixture) messages(n int) []*sandbox.Message {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if n > 0 {
		if _, err := f.box.WaitFor(ctx, n); err != nil {
			f.t.Fatal(err)
		}
	}
	all := f.box.Messages()
	if len(all) != n {
		f.t.Fatalf("the upstream has %d messages, want %d", len(all), n)
	}
	return all
}

// noViolations fails the test if the sandbox saw a breach of protocol.
func (f *fixture) noViolations() {
	f.t.Helper()
	for name, n := range f.box.Stats().Violations {
		f.t.Errorf("%d violations of protocol: %s", n, name)
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
	for deadline := time.Now().Add(10 * time.Second); ; {
		res := f.send(a, "to@example.com", "c\r\n")
		if res.Err == nil {
			f.messages(before + 1)
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("still refused after the fault: %v", res.Err)
		}
	}
}

// fired waits until the named fault has struck n times.
func (f *fixture) fired(name string, n int64) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.box.WaitFired(ctx, name, n); err != nil {
		f.t.Fatal(err)
	}
}

// parsed is a reply line in the form that the relay has of it.
func parsed(t testing.TB, reply string) codec.Reply {
	t.Helper()
	r, _, err := codec.ParseReply([]byte(reply + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
