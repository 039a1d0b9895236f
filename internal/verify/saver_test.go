package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/oauth"
)

// newSaver returns a Saver for the accounts of a provider, and what Save takes.
func newSaver(t *testing.T, emails ...string) (s *Saver, path string, save func(email, token string) error) {
	t.Helper()
	_, f := apptest.NewSandbox(t, emails...)
	s, save = saverOf(t, f)
	return s, f.Accounts, save
}

// saverOf returns a Saver for the accounts in f, and what Save takes.
func saverOf(t *testing.T, f sandbox.ProxyFiles) (s *Saver, save func(email, token string) error) {
	t.Helper()
	settings, accounts, _, err := config.Load(f.Config, f.Accounts, nil)
	if err != nil {
		t.Fatal(err)
	}
	s = NewSaver(settings.Accounts(), accounts.All())
	return s, func(email, token string) error {
		a, _ := accounts.ByLogin([]byte(email))
		return s.Save(oauth.ChainOf(a), oauth.Record{Refresh: account.NewSecret(token)})
	}
}

// TestSaverKeepsElsewhere has a file that cannot be read for a while: new tokens are
// kept elsewhere, and are in the file alone as soon as it takes them.
func TestSaverKeepsElsewhere(t *testing.T) {
	const one, two = "one@outlook.com", "two@outlook.com"
	s, path, save := newSaver(t, one, two)
	good := apptest.ReadAll(t, path)
	apptest.WriteFile(t, path, "not JSON")
	for _, token := range []string{"canary-1", "canary-2"} {
		if err := save(one, token); err != nil {
			t.Fatal(err)
		}
	}
	n, kept, cause := s.Kept()
	if text := apptest.ReadAll(t, kept); n != 1 || cause == nil || !strings.Contains(text, "canary-2") || strings.Contains(text, "canary-1") {
		t.Errorf("%d kept because of %v: %s", n, cause, text)
	}
	apptest.WriteFile(t, path, good)
	if err := save(two, "canary-3"); err != nil {
		t.Fatal(err)
	}
	apptest.CheckParts(t, apptest.ReadAll(t, path), `"canary-2"`, `"canary-3"`)
	saved, referred := s.Saved()
	if n, kept, _ := s.Kept(); n != 0 || kept != "" || saved != 2 || referred != 0 {
		t.Errorf("%d kept in %q, %d and %d saved", n, kept, saved, referred)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "unsaved-*")); len(left) > 0 || err != nil {
		t.Errorf("left are %q, %v", left, err)
	}
}

// TestSaverTriesAgain has no place that takes a token: Save and Flush fail, and Flush
// saves it when there is one.
func TestSaverTriesAgain(t *testing.T) {
	const email = "user@outlook.com"
	s, path, save := newSaver(t, email)
	dir := filepath.Dir(path)
	away := dir + ".away"
	t.Setenv("HOME", filepath.Join(dir, "none"))
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	if save(email, "canary-new") == nil || s.Flush() == nil {
		t.Error("a token in memory only is said to be saved")
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	apptest.CheckParts(t, apptest.ReadAll(t, path), `"canary-new"`)
}

// TestSaverLeavesOtherCredentials has an account that another program authorizes anew
// meanwhile: the token of the old consent does not replace the new one.
func TestSaverLeavesOtherCredentials(t *testing.T) {
	const email = "user@outlook.com"
	s, path, save := newSaver(t, email)
	now := strings.Replace(apptest.ReadAll(t, path), apptest.Account(email).RefreshToken, "canary-of-another-consent", 1)
	apptest.WriteFile(t, path, now)
	if err := save(email, "canary-new"); err != nil {
		t.Fatal(err)
	}
	saved, referred := s.Saved()
	if n, kept, _ := s.Kept(); apptest.ReadAll(t, path) != now || n != 0 || kept != "" || saved+referred != 0 {
		t.Errorf("%d kept in %q, %d and %d saved:\n%s", n, kept, saved, referred, apptest.ReadAll(t, path))
	}
}

// TestSaverRenewsSecretFiles has an account that refers to a file: each new token is in
// that file, unless another program has changed it or it cannot be written.
func TestSaverRenewsSecretFiles(t *testing.T) {
	const email = "user@outlook.com"
	for name, tt := range map[string]struct {
		change         func(file string) error // after the accounts were read
		want           string                  // in the file at the end
		referred, kept int
	}{
		"as it was": {func(string) error { return nil }, "canary-2\n", 1, 0},
		"of another consent": {func(file string) error { return os.WriteFile(file, []byte("canary-of-another-consent"), 0o600) },
			"canary-of-another-consent", 0, 0},
		"removed": {os.Remove, "", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, f := apptest.NewSandbox(t, email)
			file, token := filepath.Join(t.TempDir(), "token"), apptest.Account(email).RefreshToken
			apptest.WriteFile(t, file, token+"\n")
			accountsText := strings.Replace(apptest.ReadAll(t, f.Accounts), token, "file:"+file, 1)
			apptest.WriteFile(t, f.Accounts, accountsText)
			s, save := saverOf(t, f)
			if err := tt.change(file); err != nil {
				t.Fatal(err)
			}
			for _, token := range []string{"canary-1", "canary-2"} {
				if err := save(email, token); err != nil {
					t.Fatal(err)
				}
			}
			saved, referred := s.Saved()
			n, kept, cause := s.Kept()
			if saved != 0 || referred != tt.referred || n != tt.kept || n > 0 && (cause == nil || !strings.Contains(apptest.ReadAll(t, kept), "canary-2")) {
				t.Errorf("%d and %d saved, %d kept in %q because of %v", saved, referred, n, kept, cause)
			}
			if text, err := os.ReadFile(file); string(text) != tt.want {
				t.Errorf("in the file is %q, %v", text, err)
			}
			if now := apptest.ReadAll(t, f.Accounts); now != accountsText {
				t.Errorf("the accounts are\n%s", now)
			}
		})
	}
}
