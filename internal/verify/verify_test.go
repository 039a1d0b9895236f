package verify

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/sandbox"
)

// TestApart verifies accounts at a provider that replaces refresh tokens, refuses a
// grant, and refuses a login. The replaced token is returned in any case.
func TestApart(t *testing.T) {
	const good, dead, refused = "good@outlook.com", "dead@gmail.com", "refused@outlook.com"
	provider, f := apptest.NewSandbox(t, good, dead, refused)
	provider.RevokeGrant(dead)
	if err := provider.SetFaults(sandbox.Rule{Account: refused, Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply,
		Reply: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."}); err != nil {
		t.Fatal(err)
	}
	s, accounts, _, err := config.Load(f.Config, f.Accounts, nil)
	if err != nil {
		t.Fatal(err)
	}
	for email, want := range map[string]Failure{good: {}, dead: {Phase: "token", Class: "invalid_grant", Permanent: true}, refused: {Phase: "AUTH", Class: "login_refused", Permanent: true}} {
		a, _ := accounts.ByLogin([]byte(email))
		newest, err := Apart(t.Context(), s, a)
		if rotated := !newest.IsZero(); rotated != (email != dead) || rotated && newest.Reveal() != provider.RefreshToken(email) {
			t.Errorf("%s: the newest refresh token is not the provider's", email)
		}
		if err == nil {
			if email != good {
				t.Errorf("%s works", email)
			}
			continue
		}
		got := Explain(err)
		if got.Phase != want.Phase || got.Class != want.Class || got.Permanent != want.Permanent || got.Message == "" || got.Hint == "" || got.Text() == got.Message {
			t.Errorf("%s: %+v", email, got)
		}
		apptest.CheckCanaries(t, email, got.Text())
	}
}

// TestApartWaitsForTheAnswer ends the time of a verification while the provider
// replaces the refresh token: the new one is returned all the same.
func TestApartWaitsForTheAnswer(t *testing.T) {
	const email = "user@outlook.com"
	_, f := apptest.NewSandbox(t, email)
	s, accounts, _, err := config.Load(f.Config, f.Accounts, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token": "canary-access", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "canary-new"}`)
	}))
	defer endpoint.Close()
	a, _ := accounts.ByLogin([]byte(email))
	changed := *a
	changed.TokenURL = endpoint.URL
	newest, err := Apart(ctx, s, &changed)
	if err == nil || newest.Reveal() != "canary-new" {
		t.Errorf("the refresh token that the provider gave is lost; %v", err)
	}
}

// TestExplainPlain has an error of neither a token request nor a login.
func TestExplainPlain(t *testing.T) {
	got := Explain(context.Canceled)
	if want := (Failure{Class: "failed", Message: context.Canceled.Error()}); got != want || got.Text() != want.Message {
		t.Errorf("%+v", got)
	}
}
