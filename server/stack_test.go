package server

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/backend"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// The accounts of every stack. Each is at a provider of another kind.
const (
	gmailUser   = "anna@gmail.test"   // one flight: CHUNKING and PIPELINING
	outlookUser = "bert@outlook.test" // as gmail, and DSN, BINARYMIME
	plainUser   = "carl@plain.test"   // neither: step by step, with DATA

	listedGmailUser = "dora@gmail.test" // as gmail, with a list of senders
	listedPlainUser = "emil@plain.test" // as plain, with a list of senders
)

// listOfSenders is that of the accounts that have one.
var listOfSenders = account.NewSenders([]string{"good@ok.example", "@all.example"})

// extensionsOf are those that the presets of the accounts' providers have.
var extensionsOf = map[string]account.Extensions{"gmail": account.Gmail().Extensions, "outlook": account.Outlook().Extensions}

var testUsers = []string{gmailUser, outlookUser, plainUser}

// stack is a server with all that it needs: relay, token manager, and a
// sandbox as provider.
type stack struct {
	*Server
	back    *backend.Backend
	sandbox *sandbox.Server
	store   *account.Store
	relay   *upstream.Relay
	logs    *observer.ObservedLogs // of the server, from level Info on
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
	on := backend.Config{OAuth: oauth.DefaultConfig(), Upstream: upstream.DefaultConfig(), Users: slices.Concat(testUsers, []string{listedGmailUser, listedPlainUser})}
	on.Account = func(a *account.Account) {
		a.Limits.MaxConnections, a.Limits.IdleTimeout, a.Limits.AcquireTimeout = 20, time.Minute, 10*time.Second
		a.Extensions = extensionsOf[a.Provider]
		if a.Email == listedGmailUser || a.Email == listedPlainUser {
			a.Senders = listOfSenders
		}
	}
	on.Sandbox = sandbox.Config{
		Limits: "off",
		Endpoints: []sandbox.Endpoint{{Preset: sandbox.PresetGmail}, {Preset: sandbox.PresetOutlook},
			{Preset: sandbox.PresetPlain}},
		Accounts: []sandbox.Account{
			{ID: "gmail", Email: gmailUser, Provider: "gmail"},
			{ID: "outlook", Email: outlookUser, Provider: "outlook"},
			{ID: "plain", Email: plainUser, Provider: "gmail", Endpoint: "plain"},
			{ID: "listed", Email: listedGmailUser, Provider: "gmail"},
			{ID: "listed-plain", Email: listedPlainUser, Provider: "gmail", Endpoint: "plain"},
		},
	}
	for _, o := range options {
		o(&cfg, &on.Upstream, &on.Sandbox)
	}
	core, logs := observer.New(zap.InfoLevel)
	k := &stack{logs: logs}
	k.back, k.Server = backend.Start(t, on, func(b *backend.Backend) (*Server, error) {
		srv, err := New(cfg, b.Store, backend.Tokens{Manager: b.Tokens}, b.Relay, zap.New(core), b.Metrics)
		if err == nil {
			srv.patience = testkit.Patience // a client's end comes late on a busy machine
			err = srv.Start()
		}
		return srv, err
	})
	k.sandbox, k.store, k.relay = k.back.Provider, k.back.Store, k.back.Relay
	return k
}

// checkNothingLeft checks what must hold when all sessions have ended.
func (k *stack) checkNothingLeft(t testing.TB) {
	t.Helper()
	if left := k.back.Nonzero(t, "smtp_connections_active", "smtp_content_budget_used_bytes", "smtp_session_panics_total"); left != "" {
		t.Error(left)
	}
}

// checkMessage compares a message with what was sent.
func checkMessage(t testing.TB, m *sandbox.Message, from string, to []string, body string) {
	t.Helper()
	if m.ReversePath != from || !slices.Equal(provider.Paths(m), to) || string(m.Body) != body {
		t.Errorf("the provider has\n from %q to %q\n %s\nwant\n from %q to %q\n %s",
			m.ReversePath, provider.Paths(m), testkit.Brief(string(m.Body)), from, to, testkit.Brief(body))
	}
}
