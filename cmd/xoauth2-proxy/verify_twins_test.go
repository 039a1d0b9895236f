package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/seal"
)

// TestVerifyTwins verifies accounts that have one refresh token, good for one use, wherever
// it stands: each request sends the newest one, which is saved for all of them, also for one
// that is not verified.
func TestVerifyTwins(t *testing.T) {
	const one, two, three = "one@outlook.com", "two@outlook.com", "three@outlook.com"
	token := apptest.Account(one).RefreshToken
	file := func(t *testing.T, f sandbox.ProxyFiles) {
		path := filepath.Join(t.TempDir(), "token")
		apptest.WriteFile(t, path, token+"\n")
		replaceIn(t, f.Accounts, token, "file:"+path)
	}
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, f sandbox.ProxyFiles)
		names   []string // that are verified first
	}{
		"inline":           {func(*testing.T, sandbox.ProxyFiles) {}, nil},
		"inline, one":      {func(*testing.T, sandbox.ProxyFiles) {}, []string{two}},
		"one file":         {file, nil},
		"one file, one":    {file, []string{three}},
		"in a token store": {withTokenStore, nil},
		"one in a store":   {withTokenStore, []string{two}},
		"sealed": {func(t *testing.T, f sandbox.ProxyFiles) {
			t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
			apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "env:TEST_SEAL_KEY"}}`, f.CA))
			mustRun(t, 0, with(f, "accounts", "seal")...)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			provider, f := oneTimeTokens(t, one, two, three)
			for _, twin := range []string{two, three} {
				replaceIn(t, f.Accounts, apptest.Account(twin).RefreshToken, token)
				replaceIn(t, f.Accounts, `"`+twin+`"`, `"`+twin+`", "auth_identity": "`+one+`"`)
			}
			tt.prepare(t, f)
			if tt.names == nil {
				tt.names = []string{one, two, three}
			}
			apptest.CheckParts(t, mustRun(t, 0, with(f, append([]string{"accounts", "verify"}, tt.names...)...)...),
				fmt.Sprintf("%d of %d accounts work", len(tt.names), len(tt.names)))
			for range 2 {
				apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "3 of 3 accounts work")
			}
			if s := provider.Stats(); s.Logins != int64(len(tt.names)+6) {
				t.Errorf("%d logins", s.Logins)
			}
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(f.Accounts), "unsaved-*")); len(left) > 0 || err != nil {
				t.Errorf("left are %q, %v", left, err)
			}
		})
	}
}

// withTokenStore gives a proxy a token store.
func withTokenStore(t *testing.T, f sandbox.ProxyFiles) {
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "oauth": {"token_store": %q}}`,
		f.CA, filepath.Join(filepath.Dir(f.Config), "tokens.db")))
}
