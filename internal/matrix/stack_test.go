package matrix

import (
	"bytes"
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// patience bounds every wait: far above what any takes, so that only a hang
// meets it.
const patience = 60 * time.Second

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
	sandbox *sandbox.Server
	store   *account.Store
	set     *metrics.Set
	tokens  *oauth.Manager
	relay   *upstream.Relay
	server  *server.Server
	stopped bool
}

// newStack starts a stack, which ends with the test.
func newStack(t testing.TB, s settings) *stack {
	t.Helper()
	for _, u := range s.users {
		s.sandbox.Accounts = append(s.sandbox.Accounts, sandbox.Account{ID: u, Email: u, Provider: "gmail", Endpoint: s.endpoint(u), ClientID: clientOf(u)})
	}
	k := &stack{settings: s, set: metrics.NewSet()}
	var err error
	if k.sandbox, err = sandbox.New(s.sandbox); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.stop(t) })
	if s.upstream.CAFile, err = k.sandbox.WriteCA(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	k.store = account.NewStore(k.snapshot(t, s.users))
	k.tokens = oauth.New(s.oauth, zap.NewNop(), k.set)
	if k.relay, err = upstream.New(s.upstream, k.tokens, zap.NewNop(), k.set); err != nil {
		t.Fatal(err)
	}
	if k.server, err = server.New(s.server, k.store, tokenSource{k.tokens}, k.relay, zap.NewNop(), k.set); err != nil {
		t.Fatal(err)
	}
	if err := k.server.Start(); err != nil {
		t.Fatal(err)
	}
	return k
}

// clientOf is the OAuth2 client of an account: one of its own, as what a token
// endpoint says of a client holds for all accounts of it.
func clientOf(user string) string { return "client-of-" + user }

// tokenSource is the server's view of a token manager.
type tokenSource struct{ m *oauth.Manager }

func (s tokenSource) Ready(a *account.Account) bool { return s.m.Source(a).Cached() != nil }

func (s tokenSource) Fetch(a *account.Account, done func(error)) {
	s.m.Source(a).Request(func(_ *oauth.Token, err error) { done(err) })
}

// snapshot has the accounts of those users with the credentials that the
// sandbox takes now.
func (k *stack) snapshot(t testing.TB, users []string) *account.Snapshot {
	t.Helper()
	var all []*account.Account
	for _, u := range users {
		at, err := netip.ParseAddrPort(k.sandbox.Addr(k.endpoint(u)))
		if err != nil {
			t.Fatal(err)
		}
		a := &account.Account{
			ID: u, Email: u, Provider: "matrix", ClientID: clientOf(u), TokenURL: k.sandbox.TokenURL(),
			RefreshToken: account.NewSecret(k.sandbox.RefreshToken(u)),
			Extensions:   account.ExtensionsUnknown,
			SMTP:         account.Endpoint{Host: at.Addr().String(), Port: int(at.Port()), TLS: account.TLSStartTLS},
			Limits: account.Limits{MaxConnections: 10, IdleTimeout: time.Hour, ConnectionMaxAge: time.Hour,
				AcquireTimeout: patience},
			Retry: account.RetryPolicy{MaxAttempts: 1, BackoffFactor: 1, MaxDelay: time.Millisecond},
		}
		if k.account != nil {
			k.account(a)
		}
		all = append(all, a)
	}
	snap, err := account.NewSnapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// stop ends the stack from the front to the back and checks that nothing is
// left.
func (k *stack) stop(t testing.TB) {
	if k.stopped {
		return
	}
	k.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if k.server != nil {
		k.server.Shutdown(ctx)
	}
	if k.relay != nil {
		if err := k.relay.Close(ctx); err != nil {
			t.Errorf("closing the relay: %v", err)
		}
	}
	if k.server != nil {
		k.server.Stop()
	}
	if k.tokens != nil {
		k.tokens.Close()
	}
	if err := k.sandbox.Close(); err != nil {
		t.Errorf("closing the sandbox: %v", err)
	}
	if k.server == nil {
		return
	}
	if left := k.busy(t, append(inUse, `upstream_connections{state="parked"}`, "smtp_connections_active")...); left != "" {
		t.Errorf("after the end of all: %s", left)
	}
	for _, name := range []string{"smtp_session_panics_total", "upstream_panics_total"} {
		if n := k.gauges(t)[name]; n != 0 {
			t.Errorf("%s is %v", name, n)
		}
	}
}

// inUse are the gauges that are zero when nothing is going on.
var inUse = []string{`upstream_connections{state="dialing"}`, `upstream_connections{state="active"}`,
	`upstream_connections{state="closing"}`, "upstream_queue_depth", "upstream_messages_in_flight",
	"smtp_content_budget_used_bytes"}

// gauges reads all metrics of the stack.
func (k *stack) gauges(t testing.TB) map[string]float64 {
	t.Helper()
	var b bytes.Buffer
	k.set.WritePrometheus(&b)
	all := map[string]float64{}
	for line := range strings.Lines(b.String()) {
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		if err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		all[line[:i]] = v
	}
	return all
}

// busy names those of the gauges that are not zero.
func (k *stack) busy(t testing.TB, names ...string) string {
	t.Helper()
	all := k.gauges(t)
	var left []string
	for _, name := range names {
		v, ok := all[name]
		if !ok {
			t.Fatalf("there is no metric %s", name)
		}
		if v != 0 {
			left = append(left, name+" is "+strconv.FormatFloat(v, 'g', -1, 64))
		}
	}
	return strings.Join(left, ", ")
}

// settled waits until nothing is going on, and until the provider has no
// connection but the parked ones: nothing tells when.
func (k *stack) settled(t testing.TB) {
	t.Helper()
	state := ""
	eventually(t, func() bool {
		if state = k.busy(t, inUse...); state != "" {
			return false
		}
		open, parked := k.sandbox.Stats().Open, int64(k.gauges(t)[`upstream_connections{state="parked"}`])
		if open != parked {
			state = "the provider has " + strconv.FormatInt(open, 10) + " connections, the relay " + strconv.FormatInt(parked, 10)
		}
		return open == parked
	}, func() string { return state })
}

// eventually waits for cond where nothing tells when it holds.
func eventually(t testing.TB, cond func() bool, what func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("still after %v: %s", patience, what())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// setFaults sets the fault script of the provider.
func (k *stack) setFaults(t testing.TB, rules ...sandbox.Rule) {
	t.Helper()
	if err := k.sandbox.SetFaults(rules...); err != nil {
		t.Fatal(err)
	}
}
