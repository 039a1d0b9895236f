package oauth

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// TestOddLifetime has an endpoint whose expires_in cannot be read: tokens are used and
// saved, one warning names the field, and tokens that are refused at login are asked
// for once more and then not in a loop.
func TestOddLifetime(t *testing.T) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) {
		tokentest.GiveToken(w, map[string]any{"access_token": "A", "expires_in": "-1", "refresh_token": "R2"})
	})
	core, logs := observer.New(zap.WarnLevel)
	cfg, store := testConfig(), new(memoryStore)
	cfg.Store = store
	cfg.BackoffMin = cfg.BackoffMax // no request within the test after a failure
	m := New(cfg, zap.New(core), nil)
	t.Cleanup(m.Close)
	a := tokentest.Account(ts.URL)
	other := tokentest.AccountLike(a, func(a *account.Account) { a.ID, a.Email = "other", "other@example.com" })
	m.Retain(snapshot(t, a, other))
	if _, err := m.Source(other).Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := len(ts.Requests())
	for range 2 {
		tok, err := m.Source(a).Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(tok.Expiry); left > cfg.DefaultLifetime || left < cfg.DefaultLifetime-time.Minute {
			t.Errorf("the token is good for %v", left)
		}
		m.Source(a).Invalidate(tok)
	}
	for range 3 {
		if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrTokenRefused) {
			t.Errorf("err = %v", err)
		}
	}
	if n := len(ts.Requests()) - before; n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	if r, _, _ := store.Load(ChainOf(a)); r.Refresh.Reveal() != "R2" {
		t.Error("the rotated refresh token is not stored")
	}
	odd := logs.FilterMessageSnippet("cannot be read").All()
	if len(odd) != 1 || len(odd[0].ContextMap()["answer_fields"].([]any)) != 1 {
		t.Errorf("warnings: %v", odd)
	}
}
