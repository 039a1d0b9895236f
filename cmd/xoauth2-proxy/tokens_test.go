package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/testmount"
)

// TestTokenStore has a provider that replaces refresh tokens: what it gave last
// is used after a restart, is sealed on disk, and belongs to one process.
func TestTokenStore(t *testing.T) {
	const email = "user@outlook.com"
	provider, f := apptest.NewProvider(t, sandbox.Config{Limits: "off", Accounts: []sandbox.Account{apptest.Account(email)},
		Tokens: sandbox.TokenConfig{InvalidateOld: true}})
	dir := filepath.Dir(f.Config)
	t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
	store := filepath.Join(dir, "state", "tokens.db")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "env:TEST_SEAL_KEY"}, "oauth": {"token_store": %q}}`, f.CA, store))
	run := func(name string) *stack {
		s := startStack(t, provider, f)
		c, err := s.Client(email)
		if err != nil {
			t.Fatal(err)
		}
		if err := apptest.Send(c, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close()
		return s
	}
	first := run("first")
	if provider.UsedRefreshToken(email) == provider.RefreshToken(email) {
		t.Fatal("the refresh token was not replaced")
	}
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "asking the running proxy", "1 of 1 accounts work")
	if provider.UsedRefreshToken(email) == apptest.Account(email).RefreshToken {
		t.Error("the refresh token that the provider replaced was used beside a running proxy")
	}
	if err := os.Remove(first.AdminSocket()); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runCLI(t, with(f, "accounts", "verify")...)
	if code != exitFailure || !strings.Contains(stderr, "in use by another process") || !strings.Contains(stderr, "none listens on "+first.AdminSocket()) {
		t.Errorf("verify beside a running proxy whose socket is gone: %d, %s", code, stderr)
	}
	first.End()
	rotated := provider.RefreshToken(email)
	raw, err := os.ReadFile(store)
	if err != nil || strings.Contains(string(raw), rotated) {
		t.Errorf("the store shows a token, or %v", err)
	}

	provider.ExpireTokens(email) // a new one must be got by the stored refresh token
	said := mustRun(t, 0, with(f, "accounts", "verify")...)
	if apptest.CheckParts(t, said, "1 of 1 accounts work"); strings.Contains(said, "lost") {
		t.Errorf("what is stored is not lost: %s", said)
	}
	if used := provider.UsedRefreshToken(email); used != rotated {
		t.Error("the refresh token that was stored is not the one that is used")
	}
	run("second").End()

	// Without its key the store is not opened, and nothing else is tried.
	t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
	if code, _, stderr := runCLI(t, with(f, "accounts", "verify")...); code != exitFailure || !strings.Contains(stderr, "oauth.token_store: ") {
		t.Errorf("with another key: %d, %s", code, stderr)
	}
}

// TestTokensOutliveAFullDisk has the disk of the token store full while a provider
// replaces refresh tokens: the account's state says so, and the tokens are saved within
// seconds after there is room, or when the proxy ends.
func TestTokensOutliveAFullDisk(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	const email = "user@outlook.com"
	for _, atEnd := range []bool{false, true} {
		t.Run(fmt.Sprintf("at the end %t", atEnd), func(t *testing.T) {
			provider, f := apptest.NewSandbox(t, email)
			dir := t.TempDir()
			testmount.Disk(t, dir, "1m")
			// A record that needs new pages.
			text := apptest.ReadAll(t, f.Accounts)
			apptest.WriteFile(t, f.Accounts, strings.Replace(text, `"email"`, `"account_id": "`+strings.Repeat("x", 12<<10)+`", "email"`, 1))
			apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "oauth": {"token_store": %q}, "log": {"format": "json"}}`,
				f.CA, filepath.Join(dir, "tokens.db")))
			s := startStack(t, provider, f)
			empty := testmount.Fill(t, dir)
			c, err := s.Client(email)
			if err != nil {
				t.Fatal(err)
			}
			if err := apptest.Send(c, "while the disk is full"); err != nil {
				t.Error(err)
			}
			_ = c.Close()
			s.Want(200, []string{`"unsaved":true`}, "GET", "/admin/accounts/"+email, "")
			empty()
			if !atEnd {
				s.WaitLog(1, "tokens that could not be saved are saved now", `"accounts":1`)
				if _, text := s.Call("GET", "/admin/accounts/"+email, ""); strings.Contains(text, `"unsaved"`) {
					t.Errorf("the state is %s", text)
				}
			}
			s.End()
			rotated := provider.RefreshToken(email)
			provider.ExpireTokens(email) // a new one must be got by the stored refresh token
			apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "1 of 1 accounts work")
			if used := provider.UsedRefreshToken(email); used != rotated {
				t.Error("the refresh token that the provider gave last was not saved")
			}
		})
	}
}
