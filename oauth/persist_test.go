package oauth

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
)

// After a restart, access tokens that are still good are used: nobody is asked.
func TestStoredAccessToken(t *testing.T) {
	ts := newTokenServer(t)
	cfg := testConfig()
	cfg.Store = new(memoryStore)
	a := testAccount(ts.URL)
	first := mustGet(t, testManager(t, cfg).Source(a))

	m := testManager(t, cfg)
	s := m.Source(a)
	got := mustGet(t, s)
	if got.Access != first.Access || !got.Expiry.Equal(first.Expiry) || len(ts.requests()) != 1 {
		t.Errorf("another token, or %d requests", len(ts.requests()))
	}
	s.Invalidate(got) // refused at login: the stored one is not tried again
	if next := mustGet(t, s); next.Access == first.Access || len(ts.requests()) != 2 {
		t.Errorf("the refused token came back, or %d requests", len(ts.requests()))
	}

	// Other credentials: the stored token may be good for somebody else.
	b := accountLike(a, func(a *account.Account) { a.Scope = "other" })
	mustGet(t, testManager(t, cfg).Source(b))
	if n := len(ts.requests()); n != 3 {
		t.Errorf("%d requests, want one for the new scope", n)
	}
}

func TestStoredAccessTokenUnfit(t *testing.T) {
	ts := newTokenServer(t)
	a := testAccount(ts.URL)
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

// A renewed client secret keeps the rotated refresh token: the configured one
// may be dead by then.
func TestChainSurvivesNewSecret(t *testing.T) {
	ts := newTokenServer(t)
	ts.setAnswer(rotating())
	cfg := testConfig()
	cfg.Store = new(memoryStore)
	a := testAccount(ts.URL)
	mustGet(t, testManager(t, cfg).Source(a))
	b := accountLike(a, func(a *account.Account) { a.ClientSecret = account.NewSecret("renewed") })
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
	ts := newTokenServer(t)
	ts.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		if sent := sentRefreshTokens(ts); sent[len(sent)-1] != "rotated-elsewhere" {
			giveError(400, "invalid_grant", "")(w, r)
			return
		}
		giveToken(w, map[string]any{"access_token": "A"})
	})
	cfg := testConfig()
	cfg.Store = &sharedStore{later: Record{Refresh: account.NewSecret("rotated-elsewhere")}}
	mustGet(t, testManager(t, cfg).Source(testAccount(ts.URL)))
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
		f.set(func(f *fakeFlow) { f.err = &Error{Class: ClassInvalidGrant, Code: "invalid_grant", Hint: "consent"} })
		_, _ = m.Source(a).Get(t.Context())
		st, _ = m.State(a.ID)
		if st.HasToken || !errors.Is(st.LastError, ErrInvalidGrant) || !st.LastErrorAt.Equal(time.Now()) || !st.NextRefresh.IsZero() ||
			!st.Issued.Equal(start) {
			t.Errorf("refused: %+v", st)
		}
		f.set(func(f *fakeFlow) { f.err = &Error{Class: ClassThrottled, RetryAfter: 10 * time.Minute} })
		_ = m.ForceRefresh(t.Context(), a)
		st, _ = m.State(a.ID)
		if st.Failures != 1 || !errors.Is(st.LastError, ErrThrottled) || time.Until(st.NextRefresh) < 10*time.Minute {
			t.Errorf("throttled: %+v", st)
		}
	})
}

// An account that was not used since the start shows what the store has of it.
func TestStateFromStore(t *testing.T) {
	ts := newTokenServer(t)
	ts.setAnswer(rotating())
	cfg := testConfig()
	cfg.Store = new(memoryStore)
	a := testAccount(ts.URL)
	mustGet(t, testManager(t, cfg).Source(a))
	m := testManager(t, cfg)
	m.Retain(snapshot(t, a))
	st, ok := m.State(a.ID)
	if !ok || st.Issued.IsZero() || st.LastRotation.IsZero() || st.HasToken || st.KeepAlive.IsZero() {
		t.Errorf("%+v", st)
	}
	if n := len(ts.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}
