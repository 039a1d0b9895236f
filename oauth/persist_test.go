package oauth

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// After a restart, valid access tokens are used: no endpoint is asked.
func TestStoredAccessToken(t *testing.T) {
	ts := tokentest.NewServer(t)
	cfg := testConfig()
	cfg.Store = new(memoryStore)
	a := tokentest.Account(ts.URL)
	first := mustGet(t, testManager(t, cfg).Source(a))

	m := testManager(t, cfg)
	s := m.Source(a)
	got := mustGet(t, s)
	if got.Access != first.Access || !got.Expiry.Equal(first.Expiry) || len(ts.Requests()) != 1 {
		t.Errorf("another token, or %d requests", len(ts.Requests()))
	}
	s.Invalidate(got) // refused at login: the stored one is not tried again
	if next := mustGet(t, s); next.Access == first.Access || len(ts.Requests()) != 2 {
		t.Errorf("the refused token came back, or %d requests", len(ts.Requests()))
	}

	// Other credentials: the stored token may be good for another user.
	b := tokentest.AccountLike(a, func(a *account.Account) { a.Scope = "other" })
	mustGet(t, testManager(t, cfg).Source(b))
	if n := len(ts.Requests()); n != 3 {
		t.Errorf("%d requests, want one for the new scope", n)
	}
}

func TestStoredAccessTokenUnfit(t *testing.T) {
	ts := tokentest.NewServer(t)
	a := tokentest.Account(ts.URL)
	good := Record{Access: account.NewSecret("stored"), Refreshed: time.Now().Add(-time.Minute), Expiry: time.Now().Add(time.Hour),
		Credentials: a.CredentialsFingerprint()}
	for name, change := range map[string]func(*Record){
		"expired":           func(r *Record) { r.Expiry = time.Now().Add(expirySkew / 2) },
		"from the future":   func(r *Record) { r.Refreshed = time.Now().Add(time.Hour) },
		"other credentials": func(r *Record) { r.Credentials[0]++ },
		"not a token":       func(r *Record) { r.Access = account.NewSecret("a b") },
		"none":              func(r *Record) { r.Access = account.Secret{} },
	} {
		r := good
		change(&r)
		cfg := testConfig()
		cfg.Store = &memoryStore{records: map[Chain]Record{ChainOf(a): r}}
		if tok := mustGet(t, testManager(t, cfg).Source(a)); tok.Access == "stored" || tok.Access == "a b" {
			t.Errorf("%s: it was used", name)
		}
	}
}

// rotatedOnce is a token endpoint that rotates refresh tokens, and an account for which a
// manager of cfg has a token already.
func rotatedOnce(t *testing.T) (*tokentest.Server, Config, *account.Account) {
	t.Helper()
	ts := tokentest.NewServer(t)
	ts.SetAnswer(rotating())
	cfg := testConfig()
	cfg.Store = new(memoryStore)
	a := tokentest.Account(ts.URL)
	mustGet(t, testManager(t, cfg).Source(a))
	return ts, cfg, a
}

// A renewed client secret keeps the rotated refresh token: the configured one
// may be dead by then.
func TestChainSurvivesNewSecret(t *testing.T) {
	ts, cfg, a := rotatedOnce(t)
	b := tokentest.AccountLike(a, func(a *account.Account) { a.ClientSecret = account.NewSecret("renewed") })
	mustGet(t, testManager(t, cfg).Source(b))
	if got, want := sentRefreshTokens(ts), []string{"refresh-configured", "rotated-1"}; !slices.Equal(got, want) {
		t.Errorf("refresh tokens sent: %v, want %v", got, want)
	}
}

// sharedStore is a store that another process has written to after the first
// load.
type sharedStore struct {
	memoryStore
	loads int
	later Record
}

func (ss *sharedStore) Load(c Chain) (Record, bool, error) {
	ss.loads++
	if ss.loads > 1 {
		return ss.later, true, nil
	}
	return Record{}, false, nil
}

func TestInvalidGrantReadsStoreAgain(t *testing.T) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(func(w http.ResponseWriter, r *http.Request) {
		if sent := sentRefreshTokens(ts); sent[len(sent)-1] != "rotated-elsewhere" {
			tokentest.GiveError(400, "invalid_grant", "")(w, r)
			return
		}
		tokentest.GiveToken(w, map[string]any{"access_token": "A"})
	})
	cfg := testConfig()
	cfg.Store = &sharedStore{later: Record{Refresh: account.NewSecret("rotated-elsewhere")}}
	mustGet(t, testManager(t, cfg).Source(tokentest.Account(ts.URL)))
	if got, want := sentRefreshTokens(ts), []string{"refresh-configured", "rotated-elsewhere"}; !slices.Equal(got, want) {
		t.Errorf("refresh tokens sent: %v, want %v", got, want)
	}
}

func TestState(t *testing.T) {
	inBubble(t, withStore(new(memoryStore)), func(t *testing.T, m *Manager, f *fakeFlow) {
		a := bubbleAccount(1)
		if _, ok := m.State(a.ID); ok {
			t.Error("an unknown account has a state")
		}
		m.Retain(snapshot(t, a))
		st, ok := m.State(a.ID)
		if !ok || st.HasToken || st.Flow != account.FlowRefreshToken || st.LastError != nil {
			t.Errorf("before use: %+v", st)
		}
		start := time.Now()
		mustGet(t, m.Source(a))
		st, _ = m.State(a.ID)
		if !st.HasToken || !st.Issued.Equal(start) || st.Expiry.Sub(start) != time.Hour || !st.LastRotation.IsZero() ||
			st.NextRefresh.Before(start.Add(40*time.Minute)) || st.NextRefresh.After(start.Add(50*time.Minute)) ||
			st.KeepAlive.Before(start.Add(27*day)) || st.KeepAlive.After(start.Add(30*day)) || st.LastUsed.IsZero() {
			t.Errorf("with a token: %+v", st)
		}
		time.Sleep(2 * time.Hour)
		f.set(func(f *fakeFlow) {
			f.err = &Error{Class: ClassInvalidGrant, Code: "invalid_grant", Hint: hint.RefreshTokenRefused}
		})
		_, _ = m.Source(a).Get(t.Context())
		st, _ = m.State(a.ID)
		if st.HasToken || !errors.Is(st.LastError, ErrInvalidGrant) || !st.LastErrorAt.Equal(time.Now()) || !st.NextRefresh.IsZero() ||
			!st.Issued.Equal(start) {
			t.Errorf("refused: %+v", st)
		}
		f.set(func(f *fakeFlow) { f.err = &Error{Class: ClassThrottled, RetryAfter: 10 * time.Minute} })
		_ = m.ForceRefresh(t.Context(), a)
		st, _ = m.State(a.ID)
		if st.Failures != 1 || !errors.Is(st.LastError, flow.ErrThrottled) || time.Until(st.NextRefresh) < 10*time.Minute {
			t.Errorf("throttled: %+v", st)
		}
	})
}

// An account that was not used since the start shows what the store has of it.
func TestStateFromStore(t *testing.T) {
	ts, cfg, a := rotatedOnce(t)
	m := testManager(t, cfg)
	m.Retain(snapshot(t, a))
	st, ok := m.State(a.ID)
	if !ok || st.Issued.IsZero() || st.LastRotation.IsZero() || st.HasToken || st.KeepAlive.IsZero() {
		t.Errorf("%+v", st)
	}
	if n := len(ts.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestRefreshTokenEnds: the end of a refresh token that an answer gives is kept, over answers
// that do not give it and over a restart; and whether a use puts it off.
func TestRefreshTokenEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ends  []time.Duration // by the answers of each day, from then on; 0: not given
		want  time.Duration   // from the last answer on
		rolls bool
	}{
		{"not given", []time.Duration{0, 0}, 0, false},
		{"given once", []time.Duration{7 * day, 0, 0}, 5 * day, false},
		{"the rest", []time.Duration{7 * day, 6*day + time.Second, 5 * day}, 5 * day, false},
		{"anew by each use", []time.Duration{2 * day, 2 * day, 2 * day}, 2 * day, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := new(memoryStore)
			a := bubbleAccount(1)
			inBubble(t, withStore(store), func(t *testing.T, m *Manager, f *fakeFlow) {
				m.Retain(snapshot(t, a))
				for _, left := range tt.ends {
					time.Sleep(day)
					ends := time.Now().Add(left)
					if left == 0 {
						ends = time.Time{}
					}
					f.set(func(f *fakeFlow) { f.ends = ends })
					if err := m.ForceRefresh(t.Context(), a); err != nil {
						t.Fatal(err)
					}
				}
				if err := m.ForceRefresh(t.Context(), a); err != nil { // at once: it tells nothing new
					t.Fatal(err)
				}
				var want time.Time
				if tt.want > 0 {
					want = time.Now().Add(tt.want)
				}
				st, _ := m.State(a.ID)
				kept, _, err := store.Load(ChainOf(a))
				for _, r := range []Record{st.Kept, kept} {
					if !r.RefreshEnds.Equal(want) || r.RefreshRolls != tt.rolls || !r.LastUse().Equal(time.Now()) || err != nil {
						t.Errorf("ends %v, rolls %v, used %v, %v; want %v", r.RefreshEnds, r.RefreshRolls, r.LastUse(), err, want)
					}
				}
				if !st.Kept.Access.IsZero() || !st.Kept.Refresh.IsZero() {
					t.Error("the state has a token")
				}
			})
		})
	}
}

// TestRefreshTokenWithoutToken has answers whose access token is of no use and
// whose refresh token the provider has rotated to: it is used the next time.
func TestRefreshTokenWithoutToken(t *testing.T) {
	for _, body := range []string{
		`{"refresh_token":"R2"}`,
		`{"access_token":"","refresh_token":"R2"}`,
		`{"access_token":"a b","refresh_token":"R2"}`,
		`{"access_token":"A","token_type":"mac","refresh_token":"R2"}`,
		`{"access_token":{},"token_type":7,"expires_in":[],"refresh_token":"R2"}`,
		`{"error":"server_error","refresh_token":"R2"}`,
		"refresh_token=R2",
	} {
		t.Run(body, func(t *testing.T) {
			ts := tokentest.NewServer(t)
			ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
			store := new(memoryStore)
			cfg := testConfig()
			cfg.Store = store
			m := testManager(t, cfg)
			a := tokentest.Account(ts.URL)
			if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("err = %v", err)
			}
			if r, _, _ := store.Load(ChainOf(a)); r.Refresh.Reveal() != "R2" || r.Rotated.IsZero() {
				t.Errorf("stored %q", r.Refresh.Reveal())
			}
			ts.SetAnswer(nil)
			if err := m.ForceRefresh(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if sent := sentRefreshTokens(ts); sent[len(sent)-1] != "R2" {
				t.Errorf("refresh tokens sent: %q", sent)
			}
		})
	}
}

// TestStoreThatCannotBeRead has a store that breaks before or after the first use of an
// account. The configured refresh token, which may be an old one, never goes to the
// provider in place of the stored one; accounts in use, and flows without a refresh
// token, go on.
func TestStoreThatCannotBeRead(t *testing.T) {
	stored := func(a *account.Account) map[Chain]Record {
		return map[Chain]Record{ChainOf(a): {Refresh: account.NewSecret("stored")}}
	}
	tests := []struct {
		name   string
		flow   account.Flow
		used   bool // before the store breaks
		forced bool
		want   []string // refresh tokens sent after the store broke
	}{
		{name: "not yet used", flow: account.FlowRefreshToken},
		{name: "not yet used, verified", flow: account.FlowRefreshToken, forced: true},
		{name: "in use", flow: account.FlowRefreshToken, used: true, forced: true, want: []string{"rotated-1"}},
		{name: "client credentials", flow: account.FlowClientCredentials, want: []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := tokentest.AccountLike(bubbleAccount(1), func(a *account.Account) {
					if a.Flow = tt.flow; tt.flow != account.FlowRefreshToken {
						a.RefreshToken = account.Secret{}
					}
				})
				store, provider := &memoryStore{records: stored(a)}, new(rotator)
				if tt.flow != account.FlowRefreshToken {
					store.records = nil
				}
				cfg := DefaultConfig()
				cfg.Store, cfg.EarlyRefreshWindow = store, 0
				m := newManager(cfg, provider, nil, metrics.NewSet())
				defer m.Close()
				if tt.used {
					mustGet(t, m.Source(a))
				}
				before := len(provider.sent)
				store.failLoads(errors.New("the file broke while it was in use"))
				ask := func() (err error) { _, err = m.Source(a).Get(t.Context()); return err }
				if tt.forced {
					ask = func() error { return m.ForceRefresh(t.Context(), a) }
				}
				err := ask()
				if sent := provider.sent[before:]; !slices.Equal(sent, tt.want) {
					t.Errorf("refresh tokens sent: %q, want %q", sent, tt.want)
				}
				if (err == nil) != (tt.want != nil) {
					t.Fatal(err)
				}
				if err == nil {
					return
				}
				if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, flow.ErrStore) || e.Permanent() ||
					!strings.HasPrefix(e.Public(), "token store unavailable: ") {
					t.Errorf("the error is %v", err)
				}
				store.failLoads(nil)
				time.Sleep(time.Hour)
				if err := ask(); err != nil || provider.sent[len(provider.sent)-1] != "stored" {
					t.Errorf("after the store was mended: %v, sent %q", err, provider.sent)
				}
			})
		})
	}
}
