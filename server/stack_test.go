package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// patience bounds every wait of the tests: far above what any takes, so that
// only a hang meets it.
const patience = 30 * time.Second

// The accounts of every stack. Each is at a provider of another kind.
const (
	gmailUser   = "anna@gmail.test"   // one flight: CHUNKING and PIPELINING
	outlookUser = "bert@outlook.test" // as gmail, and DSN, BINARYMIME
	plainUser   = "carl@plain.test"   // neither: step by step, with DATA
)

// extensionsOf are those that the presets of the accounts' providers have.
var extensionsOf = map[string]account.Extensions{"gmail": account.Gmail().Extensions, "outlook": account.Outlook().Extensions}

var testUsers = []string{gmailUser, outlookUser, plainUser}

// stack is a server with all that it needs: relay, token manager, and a
// sandbox as provider.
type stack struct {
	*Server
	sandbox *sandbox.Server
	store   *account.Store
	set     *metrics.Set
	logs    *observer.ObservedLogs // of the server, from level Info on
	relay   *upstream.Relay
	tokens  *oauth.Manager
	stopped bool
}

// stackOption changes a configuration before the stack starts.
type stackOption func(*Config, *upstream.Config, *sandbox.Config)

// newStack starts a stack, which ends with the test.
func newStack(t testing.TB, options ...stackOption) *stack {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Hostname = "mx.example.com"
	cfg.Loops = 2
	cfg.Listeners = []Listener{{Address: "127.0.0.1:0"}}
	ucfg := upstream.DefaultConfig()
	scfg := sandbox.Config{
		Limits: "off",
		Endpoints: []sandbox.Endpoint{{Preset: sandbox.PresetGmail}, {Preset: sandbox.PresetOutlook},
			{Preset: sandbox.PresetPlain}},
		Accounts: []sandbox.Account{
			{ID: "gmail", Email: gmailUser, Provider: "gmail"},
			{ID: "outlook", Email: outlookUser, Provider: "outlook"},
			{ID: "plain", Email: plainUser, Provider: "gmail", Endpoint: "plain"},
		},
	}
	for _, o := range options {
		o(&cfg, &ucfg, &scfg)
	}
	k := &stack{set: metrics.NewSet()}
	var err error
	if k.sandbox, err = sandbox.New(scfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.stop(t) })
	if ucfg.CAFile, err = k.sandbox.WriteCA(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	k.store = account.NewStore(k.snapshot(t, testUsers...))
	k.tokens = oauth.New(oauth.DefaultConfig(), zap.NewNop(), metrics.NewSet())
	if k.relay, err = upstream.New(ucfg, k.tokens, zap.NewNop(), metrics.NewSet()); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	k.logs = logs
	srv, err := New(cfg, k.store, tokenSource{k.tokens}, k.relay, zap.New(core), k.set)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	k.Server = srv
	return k
}

// tokenSource is the Tokens of a token manager.
type tokenSource struct{ m *oauth.Manager }

func (s tokenSource) Ready(a *account.Account) bool { return s.m.Source(a).Cached() != nil }

func (s tokenSource) Fetch(a *account.Account, done func(error)) {
	s.m.Source(a).Request(func(_ *oauth.Token, err error) { done(err) })
}

// snapshot has the accounts of those users.
func (k *stack) snapshot(t testing.TB, users ...string) *account.Snapshot {
	t.Helper()
	var all []*account.Account
	for _, u := range users {
		name, _, _ := strings.Cut(u[strings.IndexByte(u, '@')+1:], ".")
		host, port, err := net.SplitHostPort(k.sandbox.Addr(name))
		if err != nil {
			t.Fatal(err)
		}
		p, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		provider := name
		if name == "plain" {
			provider = "gmail"
		}
		all = append(all, &account.Account{
			ID: name, Email: u, Provider: provider, ClientID: "sandbox-client-" + provider,
			TokenURL: k.sandbox.TokenURL(), RefreshToken: account.NewSecret("sandbox-refresh-" + name),
			SMTP:       account.Endpoint{Host: host, Port: p, TLS: account.TLSStartTLS},
			Limits:     account.Limits{MaxConnections: 20, IdleTimeout: time.Minute, AcquireTimeout: 10 * time.Second, ConnectionMaxAge: time.Hour},
			Extensions: extensionsOf[provider],
			Retry:      account.RetryPolicy{MaxAttempts: 1, BackoffFactor: 1, MaxDelay: time.Second},
		})
	}
	snap, err := account.NewSnapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// stop ends the stack from the front to the back and checks that nothing is
// left of any session.
func (k *stack) stop(t testing.TB) {
	if k.stopped {
		return
	}
	k.stopped = true
	if k.Server != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // at once
		k.Shutdown(ctx)
	}
	if k.relay != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := k.relay.Close(ctx); err != nil {
			t.Errorf("closing the relay: %v", err)
		}
	}
	if k.tokens != nil {
		k.tokens.Close()
	}
	if k.Server != nil {
		k.Stop()
	}
	if err := k.sandbox.Close(); err != nil {
		t.Errorf("closing the sandbox: %v", err)
	}
	if k.Server != nil {
		k.checkNothingLeft(t)
	}
}

// checkNothingLeft checks what must hold when all sessions and transactions
// have ended.
func (k *stack) checkNothingLeft(t testing.TB) {
	t.Helper()
	if n := k.Active(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if n := k.budget.Used(); n != 0 {
		t.Errorf("%d octets of the content budget are left in use", n)
	}
	if n := k.metrics.panics.Get(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

// counter gives the value of a metric by its name as exposed.
func (k *stack) counter(t testing.TB, name string) float64 {
	t.Helper()
	var b bytes.Buffer
	k.set.WritePrometheus(&b)
	for line := range strings.Lines(b.String()) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// messages waits for n messages at the provider and checks that there are not
// more.
func (k *stack) messages(t testing.TB, n int) []*sandbox.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := k.sandbox.WaitFor(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Fatalf("the provider has %d messages, want %d", len(got), n)
	}
	return got
}

// faults sets the fault script of the provider.
func (k *stack) setFaults(t testing.TB, rules ...sandbox.Rule) {
	t.Helper()
	if err := k.sandbox.SetFaults(rules...); err != nil {
		t.Fatal(err)
	}
}

// fired waits until the named fault has struck n times.
func (k *stack) fired(t testing.TB, name string, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := k.sandbox.WaitFired(ctx, name, n); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for cond where nothing tells when it holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not so after %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// paths lists the recipients of a message.
func paths(m *sandbox.Message) []string {
	var all []string
	for _, r := range m.Recipients {
		all = append(all, r.Path)
	}
	return all
}

// checkMessage compares a message with what was sent.
func checkMessage(t testing.TB, m *sandbox.Message, from string, to []string, body string) {
	t.Helper()
	if m.ReversePath != from || !slices.Equal(paths(m), to) || string(m.Body) != body {
		t.Errorf("the provider has\n from %q to %q\n %s\nwant\n from %q to %q\n %s",
			m.ReversePath, paths(m), brief(string(m.Body)), from, to, brief(body))
	}
}

// brief quotes s, or its ends when it is long.
func brief(s string) string {
	if len(s) <= 400 {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q ... %q (%d octets)", s[:200], s[len(s)-150:], len(s))
}

// plainResponse is the initial response of AUTH PLAIN for a user.
func plainResponse(user, password string) string {
	return string(codec.AppendBase64(nil, []byte("\x00"+user+"\x00"+password)))
}
