package verify

import (
	"context"
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

// TestExplainPlain has an error of neither a token request nor a login.
func TestExplainPlain(t *testing.T) {
	got := Explain(context.Canceled)
	if want := (Failure{Class: "failed", Message: context.Canceled.Error()}); got != want || got.Text() != want.Message {
		t.Errorf("%+v", got)
	}
}
