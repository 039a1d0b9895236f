package app

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/sandbox"
)

// The files in testdata/state-087ade6 were written by the program of that commit, which gave
// none but the token store a number of its format. An account of each provider had sent a
// message; two others were paused and drained.
const earlier = "testdata/state-087ade6"

// TestFilesOfAnEarlierVersion starts on all files of an earlier version.
func TestFilesOfAnEarlierVersion(t *testing.T) {
	for _, kind := range []string{"clear", "sealed"} {
		t.Run(kind, func(t *testing.T) {
			key := ""
			if kind == "sealed" {
				key = apptest.ReadAll(t, filepath.Join(earlier, kind, "seal.key"))
			}
			t.Setenv("STATE_KEY", key)
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(earlier, kind))); err != nil {
				t.Fatal(err)
			}
			t.Chdir(dir) // the paths in config.json are relative
			provider, _ := apptest.NewSandbox(t)
			f := sandbox.ProxyFiles{Config: "config.json", Accounts: "accounts.json", CA: "ca.pem"}
			s := new(stack)
			var settings *config.Settings
			s.Stack = apptest.Start(t, provider, f, func(log *zap.Logger, level zap.AtomicLevel) (_ apptest.Proxy, err error) {
				o := optionsFor(t, f, log, level)
				settings = o.Settings
				s.Proxy, err = Start(o)
				return s.Proxy, err
			})
			s.Want(200, []string{`"ready"`}, "GET", "/ready", "")
			s.Want(200, []string{`"hold":{"state":"paused","since":"2026-11-30T12:03:`}, "GET", "/admin/accounts/user2@gmail.com", "")
			s.Want(200, []string{`"hold":{"state":"draining","since":"2026-11-30T12:03:`}, "GET", "/admin/accounts/user2@outlook.com", "")
			s.Want(200, []string{`"issued_at":"2026-11-30T12:03:`}, "GET", "/admin/accounts/user@gmail.com", "")
			s.Want(200, []string{`"issued_at":"2026-11-30T12:03:`, `"refresh_token_rotated_at":"2026-11-30T12:03:`}, "GET", "/admin/accounts/user@outlook.com", "")
			s.End()
			kept, err := OpenTokenStore(settings)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := kept.Len(); n != 3 || err != nil {
				t.Errorf("%d accounts have tokens, %v", n, err)
			}
			_ = kept.Close()
			for _, name := range []string{"quota.db", "orders.json", "tokens.db"} {
				if _, err := os.Stat(filepath.Join("state", name+".damaged")); err == nil {
					t.Errorf("%s was taken for damaged", name)
				}
			}
		})
	}
}
