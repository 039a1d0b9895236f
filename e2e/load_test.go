//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// ledger is the deliveries that clients were told of, by recipient: the tests
// under load give each message a recipient of its own. Clients write to it at
// the same time.
type ledger struct {
	mu    sync.Mutex // guards acked
	acked map[string]mail
}

// acknowledge enters a message whose client was told 250.
func (l *ledger) acknowledge(m mail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked == nil {
		l.acked = map[string]mail{}
	}
	l.acked[m.to[0]] = m
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// check compares the ledger with what the provider has: every acknowledged
// message exactly once, as it was sent and under its own login, and no other.
func (l *ledger) check(t *testing.T, s *stack) {
	t.Helper()
	left := maps.Clone(l.acked)
	seen := map[string]bool{}
	for _, got := range s.provider.Messages() {
		to := provider.Paths(got)
		if len(to) != 1 {
			t.Errorf("a message to %q arrived, want one recipient", to)
			continue
		}
		want, ok := l.acked[to[0]]
		switch {
		case seen[to[0]]:
			t.Errorf("the message to %s arrived twice", to[0])
		case !ok:
			t.Errorf("the message to %s arrived, but its client was not told so", to[0])
		case got.Account != want.login:
			t.Errorf("the message to %s came under the login %s, want %s", to[0], got.Account, want.login)
		case got.ReversePath != want.from:
			t.Errorf("the message to %s came from %q, want %q", to[0], got.ReversePath, want.from)
		case got.SHA256 != digest(want.content):
			t.Errorf("the content of the message to %s is not what was sent", to[0])
		}
		seen[to[0]] = true
		delete(left, to[0])
	}
	if len(left) > 0 {
		t.Errorf("%d acknowledged messages are not at the provider, such as the one to %s", len(left), slices.Sorted(maps.Keys(left))[0])
	}
}

// numbered is message number n of a client.
func numbered(login string, client, n int) mail {
	name := fmt.Sprintf("client%d.message%d", client, n)
	body := name + "\r\n.\r\n" + fmt.Sprintf("%0*d\r\n", 20+n*37%900, client)
	return mail{login: login, from: login, to: []string{name + "@example.com"}, content: compose("text/plain", "7bit", body)}
}

// TestHundredClients has 100 clients with a connection each send 20 messages
// each over 50 accounts.
func TestHundredClients(t *testing.T) {
	const clients, messages = 100, 20
	logins := make([]string, 50)
	for i := range logins {
		logins[i] = fmt.Sprintf("account%d@gmail.com", i)
	}
	s := newStackWith(t, sandbox.Config{Accounts: accounts(logins...)})
	var (
		l  ledger
		wg sync.WaitGroup
	)
	for i := range clients {
		wg.Go(func() {
			login := logins[i%len(logins)]
			if err := sendNumbered(s, &l, login, i, messages); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := l.len(); n != clients*messages {
		t.Errorf("%d messages were acknowledged, want %d", n, clients*messages)
	}
	l.check(t, s)

	// A connection is needed for each transaction that runs at one time, and no
	// client runs two.
	const perAccount = clients / 50
	total := int64(0)
	for _, login := range logins {
		st := s.provider.AccountStats(login)
		total += st.Logins
		if st.Logins > perAccount {
			t.Errorf("%s: %d logins at the provider for %d clients", login, st.Logins, perAccount)
		}
		if st.TokensIssued != 1 {
			t.Errorf("%s: %d access tokens were issued, want 1", login, st.TokensIssued)
		}
	}
	t.Logf("%d messages, %d logins at the provider", clients*messages, total)
}

// sendNumbered sends n messages over one connection.
func sendNumbered(s *stack, l *ledger, login string, client, n int) error {
	c, err := dial(s.addr, login)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range n {
		m := numbered(login, client, i)
		if err := send(c, m); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		l.acknowledge(m)
	}
	return c.Quit()
}

// TestSIGTERMUnderLoad stops the proxy while clients send without end. What
// was acknowledged is at the provider, and nothing else: no client has to
// guess. The proxy ends with exit code 0.
func TestSIGTERMUnderLoad(t *testing.T) {
	const clients, before = 40, 400
	logins := make([]string, 10)
	for i := range logins {
		logins[i] = fmt.Sprintf("account%d@gmail.com", i)
	}
	// Slow final replies keep transactions open when the signal comes.
	s := newStackWith(t, sandbox.Config{Accounts: accounts(logins...), Limits: "off",
		Latency: sandbox.Latency{Final: sandbox.Duration(20e6)}})
	var (
		l  ledger
		wg sync.WaitGroup
	)
	for i := range clients {
		wg.Go(func() {
			const endless = 1 << 20
			if err := sendNumbered(s, &l, logins[i%len(logins)], i, endless); err == nil {
				t.Errorf("client %d ended by itself", i)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	if _, err := s.provider.WaitFor(ctx, before); err != nil {
		t.Error(err)
	}
	s.terminate(t)
	wg.Wait()
	code, err := s.wait()
	if err != nil || code != 0 {
		t.Errorf("exit code %d, %v; want 0", code, err)
	}
	l.check(t, s)
	t.Logf("%d messages were acknowledged", l.len())
}

// arrivedOnce waits for n messages with a recipient of their own each, and
// checks that no more came.
func (s *stack) arrivedOnce(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), arrivalTimeout)
	defer cancel()
	messages, err := s.provider.WaitFor(ctx, n)
	if err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, m := range messages {
		for _, to := range provider.Paths(m) {
			if seen[to] {
				t.Errorf("a message to %s arrived twice", to)
			}
			seen[to] = true
		}
	}
	if len(messages) != n || len(seen) != n {
		t.Errorf("%d messages to %d recipients arrived, want %d", len(messages), len(seen), n)
	}
}
