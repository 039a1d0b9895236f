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

// oneTimeTokens starts a provider whose refresh tokens are good for one use, and
// writes the files for a proxy that has no token store.
func oneTimeTokens(t *testing.T, emails ...string) (*sandbox.Server, sandbox.ProxyFiles) {
	t.Helper()
	cfg := sandbox.Config{Limits: "off", Tokens: sandbox.TokenConfig{InvalidateOld: true}}
	for _, e := range emails {
		cfg.Accounts = append(cfg.Accounts, apptest.Account(e))
	}
	provider, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	f, err := provider.WriteProxyFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return provider, f
}

// TestVerifyLosesNoRefreshToken verifies accounts whose provider replaces refresh
// tokens, with neither a proxy nor a token store: the new tokens are in the accounts
// file, or kept elsewhere, and a second verification and a proxy work with them.
func TestVerifyLosesNoRefreshToken(t *testing.T) {
	const one, two = "one@outlook.com", "two@outlook.com"
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, f sandbox.ProxyFiles)
		code    int
		says    []string
		rescued bool
	}{
		"in clear": {func(*testing.T, sandbox.ProxyFiles) {}, 0, []string{"2 of 2 accounts work", "2 new refresh tokens saved in "}, false},
		"sealed": {func(t *testing.T, f sandbox.ProxyFiles) {
			t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
			apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "env:TEST_SEAL_KEY"}}`, f.CA))
			mustRun(t, 0, with(f, "accounts", "seal")...)
		}, 0, []string{"2 of 2 accounts work", "2 new refresh tokens saved in "}, false},
		"one in a file of its own": {func(t *testing.T, f sandbox.ProxyFiles) {
			file, token := filepath.Join(t.TempDir(), "token"), apptest.Account(two).RefreshToken
			apptest.WriteFile(t, file, token)
			replaceIn(t, f.Accounts, token, "file:"+file)
		}, 0, []string{"2 of 2 accounts work", "1 new refresh tokens saved in files to which "}, false},
		"one by reference": {func(t *testing.T, f sandbox.ProxyFiles) {
			t.Setenv("TEST_REFRESH_TOKEN", apptest.Account(two).RefreshToken)
			replaceIn(t, f.Accounts, apptest.Account(two).RefreshToken, "env:TEST_REFRESH_TOKEN")
		}, exitFailure, []string{"2 of 2 accounts work", "1 new refresh tokens saved in ", "1 new refresh tokens are not in ", "oauth.token_store"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			provider, f := oneTimeTokens(t, one, two)
			tt.prepare(t, f)
			said := mustRun(t, tt.code, with(f, "accounts", "verify")...)
			apptest.CheckParts(t, said, tt.says...)
			kept, err := filepath.Glob(filepath.Join(filepath.Dir(f.Accounts), "unsaved-accounts-*.json"))
			if err != nil || (len(kept) == 1) != tt.rescued {
				t.Fatalf("accounts are kept in %q, %v", kept, err)
			}
			if tt.rescued {
				apptest.CheckParts(t, said, kept[0])
				mustRun(t, 0, with(f, "accounts", "import", "--overwrite", kept[0])...)
			}
			if name == "sealed" && strings.Contains(apptest.ReadAll(t, f.Accounts), "sbr.") {
				t.Error("a new refresh token stands in the file in clear")
			}
			apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "2 of 2 accounts work")
			s := startStack(t, provider, f)
			for _, email := range []string{one, two} {
				c, err := s.Client(email)
				if err != nil {
					t.Fatal(err)
				}
				if err := apptest.Send(c, "verified before"); err != nil {
					t.Errorf("%s: %v", email, err)
				}
				_ = c.Close()
			}
		})
	}
}

// replaceIn replaces a text in a file.
func replaceIn(t *testing.T, path, old, text string) {
	t.Helper()
	before := apptest.ReadAll(t, path)
	if !strings.Contains(before, old) {
		t.Fatalf("%q is not in %s", old, path)
	}
	apptest.WriteFile(t, path, strings.ReplaceAll(before, old, text))
}

// TestVerifyOfManyAtOnce verifies many accounts in parallel: each new refresh token is
// in the file at the end.
func TestVerifyOfManyAtOnce(t *testing.T) {
	var emails []string
	for i := range 60 {
		emails = append(emails, fmt.Sprintf("user%d@outlook.com", i))
	}
	provider, f := oneTimeTokens(t, emails...)
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify", "--parallel", "30")...), "60 of 60 accounts work", "60 new refresh tokens saved")
	text := apptest.ReadAll(t, f.Accounts)
	for _, email := range emails {
		if !strings.Contains(text, provider.RefreshToken(email)) {
			t.Errorf("the newest refresh token of %s is not in the file", email)
		}
	}
}

// TestVerifyRefusesWhatItCannotSave has accounts files that cannot be changed: no
// token is asked for.
func TestVerifyRefusesWhatItCannotSave(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	for name, place := range unsavable {
		t.Run(name, func(t *testing.T) {
			provider, f := oneTimeTokens(t, "user@outlook.com")
			if late := place.prepare(t, f); late != nil {
				late()
			}
			apptest.CheckParts(t, mustRun(t, exitFailure, with(f, "accounts", "verify")...), "nothing was verified", place.want, "oauth.token_store")
			if st := provider.AccountStats("user@outlook.com"); st.TokensIssued != 0 || st.Logins != 0 {
				t.Errorf("the provider was asked: %+v", st)
			}
		})
	}
	t.Run("with a token store", func(t *testing.T) {
		_, f := oneTimeTokens(t, "user@outlook.com")
		store := filepath.Join(t.TempDir(), "tokens.db")
		apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "oauth": {"token_store": %q}}`, f.CA, store))
		testmount.ReadOnly(t, filepath.Dir(f.Accounts))
		for range 2 {
			mustRun(t, 0, with(f, "accounts", "verify")...)
		}
		if _, err := os.Stat(store); err != nil {
			t.Error(err)
		}
	})
}
