package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a store with faults.
type gate struct {
	share.Store

	mu     sync.Mutex
	away   bool          // nothing is answered, nor executed
	late   time.Duration // answers come so late; the call is executed at once
	calls  int
	sealed []byte // all that was committed
}

func (g *gate) set(change func(*gate)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(g)
}

// through executes a call as the gate lets it.
func through[T any](ctx context.Context, g *gate, f func(context.Context) (T, error)) (none T, err error) {
	g.mu.Lock()
	g.calls++
	away, late := g.away, g.late
	g.mu.Unlock()
	if away {
		<-ctx.Done()
		return none, ctx.Err()
	}
	got, err := f(ctx)
	select {
	case <-time.After(late):
		return got, err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (g *gate) Claim(ctx context.Context, n share.Node, name string, ttl time.Duration) (share.Claim, error) {
	return through(ctx, g, func(ctx context.Context) (share.Claim, error) { return g.Store.Claim(ctx, n, name, ttl) })
}

func (g *gate) Commit(ctx context.Context, n share.Node, name string, fence uint64, record []byte) (bool, error) {
	return through(ctx, g, func(ctx context.Context) (bool, error) {
		g.set(func(g *gate) { g.sealed = append(append(g.sealed, record...), name...) })
		return g.Store.Commit(ctx, n, name, fence, record)
	})
}

func (g *gate) Record(ctx context.Context, name string) (share.Claim, error) {
	return through(ctx, g, func(ctx context.Context) (share.Claim, error) { return g.Store.Record(ctx, name) })
}

const ttl = 15 * time.Second

func keyring(t *testing.T, texts ...string) *seal.Keyring {
	t.Helper()
	keys, err := seal.ParseKeyring(strings.Join(texts, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func testAccount(id string) *account.Account {
	return &account.Account{ID: id, Email: strings.NewReplacer(":", "", "/", "").Replace(id) + "@example.com", ClientID: "client-1", TokenURL: "https://login.example.com/token",
		RefreshToken: account.NewSecret("CANARY-configured")}
}

func record(n int) oauth.Record {
	now := time.Now()
	return oauth.Record{Refresh: account.NewSecret(fmt.Sprintf("CANARY-refresh-%d", n)), Access: account.NewSecret(fmt.Sprintf("CANARY-access-%d", n)),
		Rotated: now, Refreshed: now, Expiry: now.Add(time.Hour), Generation: uint64(n), Spare: account.NewSecret("CANARY-spare")}
}

// node is a vault over a store, with what it adopts.
type node struct {
	*Vault
	gate    *gate
	logged  *observer.ObservedLogs
	adopted chan oauth.Record
}

func newNode(t *testing.T, name string, l *ledger.Ledger, keys *seal.Keyring, accounts ...*account.Account) *node {
	t.Helper()
	snap, err := account.NewSnapshot(accounts)
	if err != nil {
		t.Fatal(err)
	}
	core, logged := observer.New(zap.DebugLevel)
	n := &node{gate: &gate{Store: l}, logged: logged, adopted: make(chan oauth.Record, 100)}
	n.Vault = New(Config{Store: n.gate, Node: share.Node{Name: name, Incarnation: name}, Keys: keys, TTL: ttl,
		Accounts: func() *account.Snapshot { return snap }, Adopt: func(_ oauth.Chain, r oauth.Record) { n.adopted <- r }}, zap.New(core))
	n.Start()
	t.Cleanup(n.Close)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.Events(ctx, func(e share.Event) {
			if e.Kind == share.Published {
				n.Heard(e.Key)
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return n
}

// bench runs f with two nodes of one ledger and one key, in virtual time.
func bench(t *testing.T, f func(t *testing.T, l *ledger.Ledger, a, b *node, c oauth.Chain)) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger.New(ledger.Config{Epoch: "1"})
		defer l.Close()
		keys, acct := keyring(t, seal.GenerateKey()), testAccount("one")
		a, b := newNode(t, "a", l, keys, acct), newNode(t, "b", l, keys, acct)
		synctest.Wait()
		f(t, l, a, b, oauth.ChainOf(acct))
	})
}

func (n *node) mustClaim(t *testing.T, c oauth.Chain, have oauth.Record) oauth.Claim {
	t.Helper()
	got, err := n.Claim(t.Context(), c, have)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLoserGetsTheRecord(t *testing.T) {
	bench(t, func(t *testing.T, _ *ledger.Ledger, a, b *node, c oauth.Chain) {
		sent := time.Now()
		claim := a.mustClaim(t, c, oauth.Record{})
		if claim.Fence == 0 || !claim.Until.Equal(sent.Add(ttl)) {
			t.Fatalf("%+v", claim)
		}
		got := make(chan oauth.Claim, 1)
		go func() { got <- b.mustClaim(t, c, oauth.Record{}) }()
		time.Sleep(1300 * time.Millisecond)
		want := record(1)
		if held, err := a.Publish(t.Context(), c, claim.Fence, want); !held || err != nil {
			t.Fatal(held, err)
		}
		told := <-got
		if took := time.Since(sent); took != 1300*time.Millisecond {
			t.Errorf("the loser heard of it after %v", took)
		}
		want.Spare = account.Secret{}
		if told.Newer == nil || told.Newer.Refresh != want.Refresh || told.Newer.Access != want.Access || !told.Newer.Expiry.Equal(want.Expiry) ||
			told.Newer.Generation != 1 || !told.Newer.Spare.IsZero() {
			t.Errorf("the loser got %+v", told)
		}
		if r := <-b.adopted; r.Access != want.Access {
			t.Errorf("adopted %+v", r)
		}
		began := time.Now()
		if claim := a.mustClaim(t, c, oauth.Record{}); claim.Newer == nil {
			t.Error("the record is not given")
		}
		for _, n := range []*node{a, b} { // what is known keeps no node from refreshing, nor does who was told it
			claim := n.mustClaim(t, c, *told.Newer)
			if claim.Fence == 0 || time.Since(began) > 0 {
				t.Errorf("%+v after %v", claim, time.Since(began))
			}
			n.Abandon(c, claim.Fence)
		}
	})
}

func TestAbandonedClaimIsFree(t *testing.T) {
	bench(t, func(t *testing.T, _ *ledger.Ledger, a, b *node, c oauth.Chain) {
		claim := a.mustClaim(t, c, oauth.Record{})
		began := time.Now()
		go func() { time.Sleep(70 * time.Millisecond); a.Abandon(c, claim.Fence) }()
		if got := b.mustClaim(t, c, oauth.Record{}); got.Fence == 0 || time.Since(began) != 70*time.Millisecond {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
		// b dies: its claim ends by itself
		if got := a.mustClaim(t, c, oauth.Record{}); got.Fence == 0 || time.Since(began) < ttl || time.Since(began) > ttl+time.Second {
			t.Errorf("%+v after %v", got, time.Since(began))
		}
		if held, err := b.Publish(t.Context(), c, claim.Fence, record(1)); held || err != nil {
			t.Errorf("a claim that was lost: held %t, %v", held, err)
		}
	})
}

// One node has one claim of a chain at a time, although a store gives it the same one again.
func TestOneClaimWithinANode(t *testing.T) {
	bench(t, func(t *testing.T, _ *ledger.Ledger, a, _ *node, c oauth.Chain) {
		claim := a.mustClaim(t, c, oauth.Record{})
		got := make(chan oauth.Claim, 1)
		go func() { got <- a.mustClaim(t, c, oauth.Record{}) }()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(got) > 0 {
			t.Fatal("a second claim is given")
		}
		if held, err := a.Publish(t.Context(), c, claim.Fence, record(1)); !held || err != nil {
			t.Fatal(held, err)
		}
		if second := <-got; second.Newer == nil {
			t.Errorf("%+v", second)
		}
	})
}

// A store that is away for less than the TTL is waited for; one that is away for longer
// refuses at once. It answers again: so do claims.
func TestStoreAway(t *testing.T) {
	bench(t, func(t *testing.T, _ *ledger.Ledger, a, _ *node, c oauth.Chain) {
		a.gate.set(func(g *gate) { g.away = true })
		began := time.Now()
		go func() { time.Sleep(10 * time.Second); a.gate.set(func(g *gate) { g.away = false }) }()
		claim := a.mustClaim(t, c, oauth.Record{})
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("claimed after %v", took)
		}
		a.gate.set(func(g *gate) { g.away = true })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if held, err := a.Publish(ctx, c, claim.Fence, record(1)); held || !errors.Is(err, share.ErrOutage) {
			t.Errorf("held %t, %v", held, err)
		}
		time.Sleep(share.TTL)
		began = time.Now()
		calls := a.gate.calls
		for range 100 { // not each of many accounts finds out for itself
			if _, err := a.Claim(t.Context(), c, oauth.Record{}); !errors.Is(err, share.ErrOutage) || time.Since(began) > share.CallTimeout {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		}
		if n := a.gate.calls - calls; n != 1 {
			t.Errorf("%d calls", n)
		}
		a.gate.set(func(g *gate) { g.away = false })
		time.Sleep(retryAfter)
		a.mustClaim(t, c, oauth.Record{})
	})
}

// Answers that come too late leave the claim with the node, and a commit that was executed
// is not taken for a lost one.
func TestLateAnswers(t *testing.T) {
	bench(t, func(t *testing.T, l *ledger.Ledger, a, b *node, c oauth.Chain) {
		a.gate.set(func(g *gate) { g.late = 300 * time.Millisecond })
		go func() { time.Sleep(2 * time.Second); a.gate.set(func(g *gate) { g.late = 0 }) }()
		sent := time.Now()
		claim := a.mustClaim(t, c, oauth.Record{})
		if claim.Fence == 0 || claim.Until.Before(sent.Add(2*time.Second+ttl)) {
			t.Errorf("%+v", claim)
		}
		a.gate.set(func(g *gate) { g.late = 300 * time.Millisecond })
		go func() { time.Sleep(2 * time.Second); a.gate.set(func(g *gate) { g.late = 0 }) }()
		if held, err := a.Publish(t.Context(), c, claim.Fence, record(1)); !held || err != nil {
			t.Errorf("held %t, %v", held, err)
		}
		got := b.mustClaim(t, c, oauth.Record{})
		if got.Newer == nil {
			t.Fatalf("%+v", got)
		}
		b.gate.set(func(g *gate) { g.late = 150 * time.Millisecond })
		sent = time.Now()
		if got = b.mustClaim(t, c, *got.Newer); !got.Until.Equal(sent.Add(ttl)) { // the store's clock began before the answer came
			t.Errorf("until %v", got.Until.Sub(sent))
		}
	})
}

// A node that the store has not taken leaves no record and reads none.
func TestForeignNode(t *testing.T) {
	bench(t, func(t *testing.T, l *ledger.Ledger, a, b *node, c oauth.Chain) {
		var foreign atomic.Bool
		b.cfg.Joined = func() bool { return !foreign.Load() }
		claim := b.mustClaim(t, c, oauth.Record{})
		foreign.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if held, err := b.Publish(ctx, c, claim.Fence, record(1)); held || !errors.Is(err, share.ErrOutage) {
			t.Errorf("held %t, %v", held, err)
		}
		if got, err := b.Claim(t.Context(), c, oauth.Record{}); got.Fence != 0 || !errors.Is(err, share.ErrOutage) {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := l.Record(t.Context(), Name(c)); got.Record != nil || err != nil {
			t.Errorf("the store has %+v, %v", got, err)
		}
		foreign.Store(false)
		time.Sleep(retryAfter)
		b.mustClaim(t, c, oauth.Record{})
	})
}

// After a restart of the store no claim is given for a time: the loser waits.
func TestStoreRestarted(t *testing.T) {
	bench(t, func(t *testing.T, l *ledger.Ledger, a, _ *node, c oauth.Chain) {
		l.Restart("2", false)
		began := time.Now()
		if claim := a.mustClaim(t, c, oauth.Record{}); claim.Fence == 0 || time.Since(began) > share.TTL+time.Second {
			t.Errorf("%+v after %v", claim, time.Since(began))
		}
	})
}

// What the store gets has no token in it. A record in another's place, under another key or
// damaged is told once and not used.
func TestSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger.New(ledger.Config{Epoch: "1"})
		defer l.Close()
		one, two := testAccount("one"), testAccount("two")
		key, next := seal.GenerateKey(), seal.GenerateKey()
		a := newNode(t, "a", l, keyring(t, key), one, two)
		foreign := newNode(t, "foreign", l, keyring(t, next), one, two)
		rotated := newNode(t, "rotated", l, keyring(t, next, key), one, two)
		synctest.Wait()
		c, other := oauth.ChainOf(one), oauth.ChainOf(two)
		claim := a.mustClaim(t, c, oauth.Record{})
		if held, err := a.Publish(t.Context(), c, claim.Fence, record(1)); !held || err != nil {
			t.Fatal(held, err)
		}
		bytes := string(a.gate.sealed)
		for _, secret := range []string{"CANARY", fmt.Sprintf("%x", c.Fingerprint[:4]), "refresh"} {
			if strings.Contains(bytes, secret) {
				t.Errorf("the store has %q: %s", secret, bytes)
			}
		}
		if !seal.IsSealed(bytes) {
			t.Errorf("the store has %s", bytes)
		}
		for range 3 {
			if got := foreign.mustClaim(t, c, oauth.Record{}); got.Newer != nil || got.Fence == 0 {
				t.Errorf("with another key: %+v", got)
			} else {
				foreign.Abandon(c, got.Fence)
			}
		}
		if got := rotated.mustClaim(t, c, oauth.Record{}); got.Newer == nil {
			t.Errorf("with the key among others: %+v", got)
		}
		// the record of one in the place of two, and damage
		stored, err := l.Record(t.Context(), Name(c))
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range [][]byte{stored.Record, stored.Record[:len(stored.Record)-4], []byte("{}")} {
			given, err := l.Claim(t.Context(), share.Node{Name: "x", Incarnation: "x"}, Name(other), ttl)
			if err != nil {
				t.Fatal(err)
			}
			if held, err := l.Commit(t.Context(), share.Node{Name: "x", Incarnation: "x"}, Name(other), given.Fence, bad); !held || err != nil {
				t.Fatal(held, err)
			}
			if r, err := a.Published(t.Context(), other); r != nil || err != nil {
				t.Errorf("%s was opened", bad)
			}
		}
		synctest.Wait()
		const line = "a token record of another proxy cannot be opened: such records are not used"
		if n := foreign.logged.FilterMessage(line).Len(); n != 2 { // once for the key, once for damage
			t.Errorf("told %d times", n)
		}
		if n := a.logged.FilterMessage(line).Len(); n != 1 {
			t.Errorf("told %d times", n)
		}
		for _, e := range append(foreign.logged.All(), a.logged.All()...) {
			if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "CANARY") || strings.Contains(text, "sealed:v1") {
				t.Errorf("logged: %s", text)
			}
		}
		if KeyCheck(keyring(t, key)) == KeyCheck(keyring(t, next)) || KeyCheck(keyring(t, next, key)) != KeyCheck(keyring(t, next)) ||
			strings.Contains(key, KeyCheck(keyring(t, key))) {
			t.Error("the check of the key")
		}
	})
}

func TestNames(t *testing.T) {
	one := testAccount("a:b/c")
	snap, err := account.NewSnapshot([]*account.Account{one})
	if err != nil {
		t.Fatal(err)
	}
	name := Name(oauth.ChainOf(one))
	if c, ok := chainOf(name, snap); !ok || c != oauth.ChainOf(one) {
		t.Errorf("%s: %v, %t", name, c, ok)
	}
	for _, unknown := range []string{"", "x", name + "x", "0" + name[1:] + "", strings.Repeat("0", 32) + ":a:b/c"} {
		if _, ok := chainOf(unknown, snap); ok && unknown != name {
			t.Errorf("%q is known", unknown)
		}
	}
}

// TestManagers has two token managers with files of their own share an account whose
// refresh tokens can be used once.
func TestManagers(t *testing.T) {
	endpoint := newOneTime(t)
	l := ledger.New(ledger.Config{Epoch: "1"})
	t.Cleanup(func() { l.Close() })
	keys := keyring(t, seal.GenerateKey())
	a := testAccount("one")
	a.TokenURL = endpoint.URL
	snap, err := account.NewSnapshot([]*account.Account{a})
	if err != nil {
		t.Fatal(err)
	}
	var managers []*oauth.Manager
	var gates []*gate
	for _, name := range []string{"a", "b"} {
		n := newNode(t, name, l, keys, a)
		kept, err := tokenstore.Open(tokenstore.Config{Path: t.TempDir() + "/tokens.db"})
		if err != nil {
			t.Fatal(err)
		}
		cfg := oauth.DefaultConfig()
		cfg.Store, cfg.Share = kept, n.Vault
		m := oauth.New(cfg, nil, nil)
		n.cfg.Adopt = m.Adopt // before anything was published
		m.Retain(snap)
		t.Cleanup(func() { m.Close(); _ = kept.Close() })
		managers, gates = append(managers, m), append(gates, n.gate)
	}
	for round := range 2 { // after three the proxy would wait
		var wg sync.WaitGroup
		for _, m := range managers {
			for range 10 {
				wg.Go(func() {
					s := m.Source(a)
					tok, err := s.Get(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if want := fmt.Sprintf("CANARY-access-%d", round+1); tok.Access != want {
						t.Errorf("another token in round %d", round)
					}
				})
			}
		}
		wg.Wait()
		if n := endpoint.count(); n != round+1 {
			t.Fatalf("%d requests after round %d", n, round)
		}
		for _, m := range managers { // the provider refuses the token at login
			m.Source(a).Invalidate(m.Source(a).Cached())
		}
	}
	for _, g := range gates {
		if text := string(g.sealed); strings.Contains(text, "CANARY") {
			t.Errorf("the store has %s", text)
		}
	}
}

// oneTime is a token endpoint at which a refresh token can be used once.
type oneTime struct {
	URL string

	mu   sync.Mutex
	next string
	n    int
}

func newOneTime(t *testing.T) *oneTime {
	o := &oneTime{next: "CANARY-configured"}
	ts := httptest.NewServer(o)
	t.Cleanup(ts.Close)
	o.URL = ts.URL
	return o
}

func (o *oneTime) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
}

func (o *oneTime) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	if r.FormValue("refresh_token") != o.next {
		http.Error(w, `{"error": "invalid_grant"}`, http.StatusBadRequest)
		return
	}
	o.next = fmt.Sprintf("CANARY-refresh-%d", o.n)
	fmt.Fprintf(w, `{"access_token": "CANARY-access-%d", "token_type": "Bearer", "expires_in": 3600, "refresh_token": %q}`, o.n, o.next)
}
