// Package provider has tests play with a provider: a sandbox that ends with the test, and
// the proxy's side of its accounts.
package provider

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

// Start starts a sandbox, which ends with the test.
func Start(t testing.TB, cfg sandbox.Config) *sandbox.Server {
	t.Helper()
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the sandbox: %v", err)
		}
	})
	return s
}

// CA writes the certificate of the sandbox's authority to a file and returns its name.
func CA(t testing.TB, s *sandbox.Server) string {
	t.Helper()
	name, err := s.WriteCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Account is the proxy's side of an account of the sandbox, with the credentials that the
// sandbox takes now: STARTTLS, one attempt, and limits that no test meets by chance.
func Account(t testing.TB, s *sandbox.Server, email string) *account.Account {
	t.Helper()
	m := s.Mailbox(email)
	if m == nil {
		t.Fatalf("the sandbox has no account %s", email)
	}
	host, port := testkit.HostPort(t, s.Addr(m.Endpoint))
	return &account.Account{
		ID: m.ID, Email: email, Provider: m.Provider, Tenant: m.Tenant, ClientID: m.ClientID,
		ClientSecret: account.NewSecret(m.ClientSecret),
		RefreshToken: account.NewSecret(s.RefreshToken(email)), TokenURL: s.TokenURL(),
		SMTP: account.Endpoint{Host: host, Port: port, TLS: account.TLSStartTLS},
		Limits: account.Limits{MaxConnections: 10, IdleTimeout: time.Hour, ConnectionMaxAge: time.Hour,
			AcquireTimeout: 2 * testkit.Patience},
		Retry: account.RetryPolicy{MaxAttempts: 1, BackoffFactor: 1, MaxDelay: time.Second},
	}
}

// Snapshot has those accounts of the sandbox, each changed by change, which may be nil.
func Snapshot(t testing.TB, s *sandbox.Server, change func(*account.Account), emails ...string) *account.Snapshot {
	t.Helper()
	var all []*account.Account
	for _, email := range emails {
		a := Account(t, s, email)
		if change != nil {
			change(a)
		}
		all = append(all, a)
	}
	snap, err := account.NewSnapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// Faults sets the fault script.
func Faults(t testing.TB, s *sandbox.Server, rules ...sandbox.Rule) {
	t.Helper()
	if err := s.SetFaults(rules...); err != nil {
		t.Fatal(err)
	}
}

// Fired waits until the named fault has struck n times.
func Fired(t testing.TB, s *sandbox.Server, name string, n int64) {
	t.Helper()
	if err := s.WaitFired(testkit.Context(t), name, n); err != nil {
		t.Fatal(err)
	}
}

// Messages waits for n messages, and fails the test if there are more.
func Messages(t testing.TB, s *sandbox.Server, n int) []*sandbox.Message {
	t.Helper()
	got := s.Messages()
	if len(got) < n {
		var err error
		if got, err = s.WaitFor(testkit.Context(t), n); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != n {
		t.Fatalf("the provider has %d messages, want %d", len(got), n)
	}
	return got
}

// Paths lists the recipients of a message.
func Paths(m *sandbox.Message) []string {
	var all []string
	for _, r := range m.Recipients {
		all = append(all, r.Path)
	}
	return all
}

// NoViolations fails the test if the sandbox saw a breach of protocol.
func NoViolations(t testing.TB, s *sandbox.Server) {
	t.Helper()
	if v := s.Stats().Violations; len(v) > 0 {
		t.Errorf("the provider saw breaches of protocol: %v", v)
	}
}
