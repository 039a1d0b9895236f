package oauth

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/httpc"
	"xoauth2-proxy/oauth/internal/tokentest"
)

func mustGet(t *testing.T, s *Source) *Token {
	t.Helper()
	tok, err := s.Get(t.Context())
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return tok
}

func TestGetCachesToken(t *testing.T) {
	ts := tokentest.NewServer(t)
	s := testManager(t, testConfig()).Source(tokentest.Account(ts.URL))
	if tok := s.Cached(); tok != nil {
		t.Fatalf("Cached before Get: %v", tok)
	}
	tok := mustGet(t, s)
	if tok.Access != "access-1" || string(tok.XOAUTH2) != string(newXOAUTH2("user@example.com", "access-1")) {
		t.Errorf("token is not the endpoint's, or not for the account")
	}
	if s.Cached() != tok || mustGet(t, s) != tok {
		t.Error("the token is not cached")
	}
	if n := len(ts.Requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestRequestParameters(t *testing.T) {
	tests := []struct {
		name   string
		change func(*account.Account)
		want   url.Values
	}{
		{"public client", func(*account.Account) {}, url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {"refresh-configured"}, "client_id": {"client-1"},
		}},
		{"secret and scope", func(a *account.Account) {
			a.ClientSecret = account.NewSecret("s3cr+t/&=")
			a.Scope = "https://outlook.office.com/SMTP.Send offline_access"
		}, url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {"refresh-configured"}, "client_id": {"client-1"},
			"client_secret": {"s3cr+t/&="}, "scope": {"https://outlook.office.com/SMTP.Send offline_access"},
		}},
		{"awkward refresh token", func(a *account.Account) { a.RefreshToken = account.NewSecret("M.C5!*$.x") }, url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {"M.C5!*$.x"}, "client_id": {"client-1"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := tokentest.NewServer(t)
			ts.SetAnswer(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/token" || r.Header.Get("Authorization") != "" ||
					r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
					t.Errorf("request %s %s %v", r.Method, r.URL, r.Header)
				}
				tokentest.GiveToken(w, map[string]any{"access_token": "A"})
			})
			mustGet(t, testManager(t, testConfig()).Source(tokentest.AccountLike(tokentest.Account(ts.URL), tt.change)))
			if got := ts.Requests()[0]; !slices.Equal(sortedPairs(got), sortedPairs(tt.want)) {
				t.Errorf("form %v, want %v", got, tt.want)
			}
		})
	}
}

func sortedPairs(v url.Values) (out []string) {
	for key, values := range v {
		for _, val := range values {
			out = append(out, key+"="+val)
		}
	}
	slices.Sort(out)
	return out
}

// A hundred callers, in all ways of asking, bring one request.
func TestManyCallersOneRequest(t *testing.T) {
	ts := tokentest.NewServer(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived) // panics, and fails the test, on a second request
		<-release
		tokentest.GiveToken(w, map[string]any{"access_token": "A"})
	})
	m, a := testManager(t, testConfig()), tokentest.Account(ts.URL)
	const callers = 100
	tokens := make(chan *Token, callers)
	var asked sync.WaitGroup
	for i := range callers {
		asked.Add(1)
		go func() {
			if i%2 == 0 {
				m.Source(a).Request(func(tok *Token, err error) {
					if err != nil {
						t.Errorf("Request: %v", err)
					}
					tokens <- tok
				})
				asked.Done()
				return
			}
			asked.Done()
			tok, err := m.Source(a).Get(t.Context())
			if err != nil {
				t.Errorf("Get: %v", err)
			}
			tokens <- tok
		}()
	}
	asked.Wait()
	<-arrived
	close(release)
	first := <-tokens
	for range callers - 1 {
		if tok := <-tokens; tok != first {
			t.Fatal("callers got different tokens")
		}
	}
	if n := len(ts.Requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// A caller that gives up does not end the refresh for the others.
func TestGetCancelled(t *testing.T) {
	ts := tokentest.NewServer(t)
	release := make(chan struct{})
	ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		tokentest.GiveToken(w, map[string]any{"access_token": "A"})
	})
	s := testManager(t, testConfig()).Source(tokentest.Account(ts.URL))
	got := make(chan error, 1)
	s.Request(func(_ *Token, err error) { got <- err })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("Get with a cancelled context: %v", err)
	}
	close(release)
	if err := <-got; err != nil {
		t.Errorf("Request: %v", err)
	}
}

// memoryStore is a Store for tests.
type memoryStore struct {
	mu      sync.Mutex
	records map[Chain]Record
	saves   int
	err     error // of Save and Retain
	loadErr error // of Load
}

func (ms *memoryStore) Load(c Chain) (Record, bool, error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	r, ok := ms.records[c]
	return r, ok, ms.loadErr
}

func (ms *memoryStore) Retain(live func(Chain) bool) error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	maps.DeleteFunc(ms.records, func(c Chain, _ Record) bool { return !live(c) })
	return ms.err
}

func (ms *memoryStore) fail(err error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.err = err
}

func (ms *memoryStore) failLoads(err error) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.loadErr = err
}

func (ms *memoryStore) Save(c Chain, r Record) error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.err != nil {
		return ms.err
	}
	if ms.records == nil {
		ms.records = make(map[Chain]Record)
	}
	maps.DeleteFunc(ms.records, func(other Chain, _ Record) bool { return other.AccountID == c.AccountID })
	ms.records[c] = r
	ms.saves++
	return nil
}

func rotating() http.HandlerFunc {
	var n int
	return func(w http.ResponseWriter, _ *http.Request) {
		n++
		tokentest.GiveToken(w, map[string]any{"access_token": "A", "refresh_token": "rotated-" + string(rune('0'+n))})
	}
}

func sentRefreshTokens(ts *tokentest.Server) (out []string) {
	for _, f := range ts.Requests() {
		out = append(out, f.Get("refresh_token"))
	}
	return out
}

func TestRotation(t *testing.T) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(rotating())
	store := new(memoryStore)
	cfg := testConfig()
	cfg.Store = store
	a := tokentest.Account(ts.URL)
	s := testManager(t, cfg).Source(a)
	s.Invalidate(mustGet(t, s))
	mustGet(t, s)
	// another process, the same chain: its access token is good at first
	s = testManager(t, cfg).Source(a)
	s.Invalidate(mustGet(t, s))
	mustGet(t, s)
	// the operator put in another refresh token: a new chain
	b := tokentest.AccountLike(a, func(a *account.Account) { a.RefreshToken = account.NewSecret("refresh-new") })
	mustGet(t, testManager(t, cfg).Source(b))
	want := []string{"refresh-configured", "rotated-1", "rotated-2", "refresh-new"}
	if got := sentRefreshTokens(ts); !slices.Equal(got, want) {
		t.Errorf("refresh tokens sent: %v, want %v", got, want)
	}
}

func TestRotationWithoutWorkingStore(t *testing.T) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(rotating())
	cfg := testConfig()
	cfg.Store = &memoryStore{err: errors.New("disk full")}
	s := testManager(t, cfg).Source(tokentest.Account(ts.URL))
	s.Invalidate(mustGet(t, s))
	mustGet(t, s)
	if got, want := sentRefreshTokens(ts), []string{"refresh-configured", "rotated-1"}; !slices.Equal(got, want) {
		t.Errorf("refresh tokens sent: %v, want %v", got, want)
	}
}

// A permanent refusal is asked for once, until the credentials change.
func TestPermanentRefusalAskedOnce(t *testing.T) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(tokentest.GiveError(http.StatusBadRequest, "invalid_grant", "Token has been expired or revoked."))
	m, a := testManager(t, testConfig()), tokentest.Account(ts.URL)
	for range 8 {
		if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrInvalidGrant) {
			t.Fatalf("err = %v, want ErrInvalidGrant", err)
		}
	}
	requested := make(chan error)
	m.Source(a).Request(func(_ *Token, err error) { requested <- err })
	if err := <-requested; !errors.Is(err, ErrInvalidGrant) {
		t.Errorf("Request: %v", err)
	}
	// a reload that does not touch the credentials
	m.Retain(snapshot(t, tokentest.AccountLike(a, func(a *account.Account) { a.VMTA = "vmta-2" })))
	if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrInvalidGrant) {
		t.Errorf("after reload: %v", err)
	}
	if n := len(ts.Requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	ts.SetAnswer(nil)
	b := tokentest.AccountLike(a, func(a *account.Account) { a.RefreshToken = account.NewSecret("refresh-new") })
	m.Retain(snapshot(t, b))
	mustGet(t, m.Source(b))
}

func TestTransientFailureAnsweredFromMemory(t *testing.T) {
	garbage := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>not a token</html>")) }
	empty := func(w http.ResponseWriter, _ *http.Request) {
		tokentest.GiveJSON(w, http.StatusOK, map[string]string{})
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   error
		status int
	}{
		{"500", tokentest.GiveError(500, "", ""), ErrUnavailable, 500},
		{"503 with an error code", tokentest.GiveError(503, "temporarily_unavailable", ""), ErrUnavailable, 503},
		{"429", tokentest.GiveError(429, "", ""), flow.ErrThrottled, 429},
		{"garbage", garbage, ErrUnavailable, 0},
		{"no access token", empty, ErrUnavailable, 0},
		{"huge body", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, httpc.MaxReply+1)) }, ErrUnavailable, 0},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, ErrUnavailable, 307},
		{"forbidden by something in between", tokentest.GiveError(403, "", ""), ErrUnavailable, 403},
		{"token with control characters", func(w http.ResponseWriter, _ *http.Request) {
			tokentest.GiveToken(w, map[string]any{"access_token": "A\x01auth=Bearer B"})
		}, ErrUnavailable, 0},
		{"token of another type", func(w http.ResponseWriter, _ *http.Request) {
			tokentest.GiveToken(w, map[string]any{"access_token": "A", "token_type": "mac"})
		}, ErrUnavailable, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := tokentest.NewServer(t)
			ts.SetAnswer(tt.answer)
			cfg := testConfig()
			cfg.BackoffMin = cfg.BackoffMax // no second request within the test
			s := testManager(t, cfg).Source(tokentest.Account(ts.URL))
			for range 3 {
				_, err := s.Get(t.Context())
				var e *Error
				if !errors.Is(err, tt.want) || !errors.As(err, &e) || e.Permanent() || e.Status != tt.status {
					t.Fatalf("err = %v, want %v with status %d", err, tt.want, tt.status)
				}
			}
			if n := len(ts.Requests()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestRefusedTokenURL(t *testing.T) {
	m := testManager(t, testConfig())
	for _, u := range []string{"http://login.example.com/token", "", "https://", "://", "https://u:p@example.com/"} {
		a := tokentest.AccountLike(tokentest.Account(""), func(a *account.Account) { a.ID, a.TokenURL = "acct "+u, u })
		if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, flow.ErrMisconfigured) || !errors.Is(err, httpc.ErrURL) {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestMissingRefreshToken(t *testing.T) {
	ts := tokentest.NewServer(t)
	a := tokentest.AccountLike(tokentest.Account(ts.URL), func(a *account.Account) { a.RefreshToken = account.Secret{} })
	if _, err := testManager(t, testConfig()).Source(a).Get(t.Context()); !errors.Is(err, flow.ErrMisconfigured) {
		t.Errorf("err = %v", err)
	}
	if n := len(ts.Requests()); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestInvalidate(t *testing.T) {
	ts := tokentest.NewServer(t)
	s := testManager(t, testConfig()).Source(tokentest.Account(ts.URL))
	first := mustGet(t, s)
	s.Invalidate(nil)
	for range 50 { // each connection that had the token reports it
		s.Invalidate(first)
	}
	if s.Cached() != nil {
		t.Error("a refused token is still cached")
	}
	second := mustGet(t, s)
	s.Invalidate(first)
	if s.Cached() != second {
		t.Error("an old token's refusal took the new one along")
	}
	// The second in a row: the endpoint is not asked again at once.
	s.Invalidate(second)
	_, err := s.Get(t.Context())
	var e *Error
	if !errors.Is(err, ErrTokenRefused) || !errors.As(err, &e) || e.Permanent() || e.Hint == hint.None {
		t.Errorf("err = %v, want ErrTokenRefused", err)
	}
	if n := len(ts.Requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestReload(t *testing.T) {
	ts := tokentest.NewServer(t)
	m := testManager(t, testConfig())
	a := tokentest.Account(ts.URL)
	other := tokentest.AccountLike(a, func(a *account.Account) { a.ID, a.Email = "acct2", "other@example.com" })
	m.Retain(snapshot(t, a, other))
	s, so := m.Source(a), m.Source(other)
	tok := mustGet(t, s)
	mustGet(t, so)

	same := tokentest.AccountLike(a, func(a *account.Account) { a.AuthIdentity = "shared@example.com" })
	m.Retain(snapshot(t, same, other))
	if m.Source(same) != s || m.Source(a) != s || m.Source(other) != so {
		t.Fatal("unchanged credentials got another source")
	}
	cur := s.Cached()
	if cur == nil || cur.Access != tok.Access || string(cur.XOAUTH2) != string(newXOAUTH2("shared@example.com", tok.Access)) {
		t.Error("the token was not kept, or not made for the new identity")
	}

	changed := tokentest.AccountLike(same, func(a *account.Account) { a.RefreshToken = account.NewSecret("refresh-new") })
	m.Retain(snapshot(t, changed)) // and acct2 is gone
	for name, old := range map[string]*Source{"changed": s, "held by an old session": m.Source(same)} {
		if _, err := old.Get(t.Context()); old.Cached() != nil || !errors.Is(err, flow.ErrRemoved) {
			t.Errorf("%s: %v, want ErrRemoved", name, err)
		}
	}
	if m.Source(other) != so || mustGet(t, so) == nil {
		t.Error("a message of the removed account that is under way gets no token")
	}
	sc := m.Source(changed)
	mustGet(t, sc)
	if m.Source(same) == sc || m.Source(changed) != sc {
		t.Error("an outdated account reaches the new chain, or has replaced it")
	}
	if got := ts.Requests(); got[len(got)-1].Get("refresh_token") != "refresh-new" {
		t.Error("the new refresh token was not used")
	}
}

// Without a snapshot to go by, the last one wins.
func TestChangedCredentialsWithoutRetain(t *testing.T) {
	ts := tokentest.NewServer(t)
	m, a := testManager(t, testConfig()), tokentest.Account(ts.URL)
	s := m.Source(a)
	mustGet(t, s)
	b := tokentest.AccountLike(a, func(a *account.Account) { a.ClientID = "client-2" })
	if m.Source(b) == s {
		t.Fatal("other credentials, same source")
	}
	if _, err := s.Get(t.Context()); !errors.Is(err, flow.ErrRemoved) {
		t.Errorf("old source: %v", err)
	}
	mustGet(t, m.Source(b))
}

// A token without expires_in lives for the configured time.
func TestDefaultLifetime(t *testing.T) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) {
		tokentest.GiveJSON(w, http.StatusOK, map[string]any{"access_token": "A", "token_type": "bearer"})
	})
	tests := []struct {
		name string
		set  func(*Config)
		want time.Duration
	}{
		{"default", func(*Config) {}, time.Hour},
		{"configured", func(c *Config) { c.DefaultLifetime = 2 * time.Hour }, 2 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig()
			tt.set(&cfg)
			before := time.Now()
			tok := mustGet(t, testManager(t, cfg).Source(tokentest.Account(ts.URL)))
			after := time.Now()
			if tok.Expiry.Before(before.Add(tt.want).Round(0)) || tok.Expiry.After(after.Add(tt.want)) {
				t.Errorf("expires at %v, want %v from now", tok.Expiry, tt.want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	ts := tokentest.NewServer(t)
	set := metrics.NewSet()
	m := New(testConfig(), nil, set)
	t.Cleanup(m.Close)
	a := tokentest.Account(ts.URL)
	mustGet(t, m.Source(a))
	ts.SetAnswer(tokentest.GiveError(http.StatusBadRequest, "invalid_grant", ""))
	b := tokentest.AccountLike(a, func(a *account.Account) { a.ID = "acct2" })
	if _, err := m.Source(b).Get(t.Context()); err == nil {
		t.Fatal("no error")
	}
	for name, want := range map[string]float64{
		`token_refresh_total{result="success"}`: 1, `token_refresh_total{result="invalid_grant"}`: 1,
		`token_refresh_total{result="unavailable"}`: 0, `token_refresh_duration_seconds_count`: 2,
		"tokens_cached": 1, "token_refreshes_in_flight": 0, "token_refresh_queue_depth": 0, "token_rotations_total": 0,
	} {
		if got := testkit.Metric(t, set.WritePrometheus, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
