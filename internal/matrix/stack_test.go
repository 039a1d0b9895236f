package matrix

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/backend"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// patience bounds every wait: far above what any takes, so that only a hang
// meets it.
const patience = 2 * testkit.Patience

// The accounts of a case, both at the same endpoint.
const (
	victim    = "victim@matrix.test"
	neighbour = "neighbour@matrix.test"
)

// settings are what a case changes of a stack before it starts.
type settings struct {
	server   server.Config
	upstream upstream.Config
	oauth    oauth.Config
	sandbox  sandbox.Config
	users    []string
	// endpoint names the provider's endpoint of a user. Default: "mail".
	endpoint func(user string) string
	// account changes each account on its way into the snapshot.
	account func(*account.Account)
}

// defaults has one endpoint of the preset, waits that nothing but a hang
// meets, and pauses after failures that are over at once.
func defaults(preset string) settings {
	s := settings{server: server.DefaultConfig(), upstream: upstream.DefaultConfig(), oauth: oauth.DefaultConfig(),
		users: []string{victim, neighbour}, endpoint: func(string) string { return "mail" }}
	s.server.Hostname = "mx.matrix.test"
	s.server.Loops = 1
	s.server.Listeners = []server.Listener{{Address: "127.0.0.1:0"}}
	s.upstream.Shards = 2
	s.upstream.BackoffMin, s.upstream.BackoffMax = time.Millisecond, time.Millisecond
	s.upstream.ThrottleRecovery, s.upstream.Breaker.Recovery = time.Millisecond, time.Millisecond
	s.upstream.DNSCacheTTL = 0 // a look-up for each connection
	s.oauth.BackoffMin, s.oauth.BackoffMax = time.Millisecond, time.Millisecond
	s.sandbox = sandbox.Config{Limits: "off", Endpoints: []sandbox.Endpoint{{Name: "mail", Preset: preset, TLS: "-"}}}
	return s
}

// stack is a server with relay, token manager and sandbox.
type stack struct {
	settings
	*backend.Backend
	sandbox *sandbox.Server
	server  *server.Server
}

// newStack starts a stack, which ends with the test.
func newStack(t testing.TB, s settings) *stack {
	t.Helper()
	for _, u := range s.users {
		s.sandbox.Accounts = append(s.sandbox.Accounts, sandbox.Account{ID: u, Email: u, Provider: "gmail", Endpoint: s.endpoint(u), ClientID: clientOf(u)})
	}
	k := &stack{settings: s}
	on := backend.Config{Sandbox: s.sandbox, OAuth: s.oauth, Upstream: s.upstream, Users: s.users, Account: func(a *account.Account) {
		a.Provider, a.Extensions, a.Retry.MaxDelay = "matrix", account.ExtensionsUnknown, time.Millisecond
		if k.account != nil {
			k.account(a)
		}
	}}
	k.Backend, k.server = backend.Start(t, on, func(b *backend.Backend) (*server.Server, error) {
		srv, err := server.New(s.server, b.Store, backend.Tokens{Manager: b.Tokens}, b.Relay, zap.NewNop(), b.Metrics)
		if err == nil {
			err = srv.Start()
		}
		return srv, err
	})
	k.sandbox = k.Provider
	return k
}

// clientOf is the OAuth2 client of an account: one of its own, as what a token
// endpoint says of a client holds for all accounts of it.
func clientOf(user string) string { return "client-of-" + user }
