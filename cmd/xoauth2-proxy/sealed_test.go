package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/seal"
)

// newSealedStack is newStack for an operator who has a key to seal with.
func newSealedStack(t *testing.T, emails ...string) *stack {
	t.Helper()
	provider, f := apptest.NewSandbox(t, emails...)
	t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "env:TEST_SEAL_KEY"}}`, f.CA))
	mustRun(t, 0, with(f, "accounts", "seal")...)
	return startStack(t, provider, f)
}

// TestAdminAPISealsWhatItSaves adds accounts in every way that the API has: no
// secret stands in the file afterwards, and all of them work.
func TestAdminAPISealsWhatItSaves(t *testing.T) {
	s := newSealedStack(t, "user@gmail.com")
	for _, e := range []string{"new@outlook.com", "more@gmail.com"} {
		if err := s.Provider.AddAccount(apptest.Account(e)); err != nil {
			t.Fatal(err)
		}
	}
	inFile := func(sealed int) {
		t.Helper()
		text := apptest.ReadAll(t, s.Files.Accounts)
		apptest.CheckCanaries(t, "the accounts file", text)
		if n := strings.Count(text, `"sealed:v2:`); n != sealed {
			t.Errorf("%d sealed values in the file, want %d", n, sealed)
		}
	}
	inFile(2)
	s.Want(200, []string{`"total_accounts":2`}, "POST", "/admin/accounts", s.Request("new@outlook.com", ""))
	inFile(3) // it has no client secret
	s.Want(200, []string{`"added_count":1`}, "POST", "/admin/accounts/batch", "["+s.Request("more@gmail.com", "")+"]")
	inFile(5)
	s.Want(200, nil, "POST", "/admin/accounts", s.Request("user@gmail.com", `, "overwrite": true, "verify": false`))
	inFile(5)
	s.Want(200, []string{`"total_accounts":3`, `"changed":0`}, "POST", "/admin/reload", "")
	for _, email := range []string{"user@gmail.com", "new@outlook.com", "more@gmail.com"} {
		c, err := s.Client(email)
		if err != nil {
			t.Errorf("%s: %v", email, err)
			continue
		}
		if err := apptest.Send(c, "sealed"); err != nil {
			t.Errorf("%s: %v", email, err)
		}
		_ = c.Close()
	}
}

// TestAdminAPITakesNoReferences has requests that would have the proxy read its
// files and environment, and send them away.
func TestAdminAPITakesNoReferences(t *testing.T) {
	s := newSealedStack(t, "user@gmail.com")
	before := apptest.ReadAll(t, s.Files.Accounts)
	for _, ref := range []string{"file:" + s.Files.Config, "file:/no/such/file", "env:TEST_SEAL_KEY", "credential:x"} {
		body := strings.Replace(s.Request("new@gmail.com", ""), apptest.Account("new@gmail.com").RefreshToken, ref, 1)
		text := s.Want(400, []string{"refresh_token: a reference"}, "POST", "/admin/accounts", body)
		if strings.Contains(text, "no such file") {
			t.Errorf("the answer tells what files there are: %s", text)
		}
		body = strings.Replace(s.Request("new@gmail.com", ""), "canary-secret-gmail", ref, 1)
		s.Want(400, []string{"account 1: client_secret: a reference"}, "POST", "/admin/accounts/batch", "["+body+"]")
	}
	// Sealed values of both forms, with and without other characters before them.
	sealed := s.sealedIn("user@gmail.com")
	keys, err := seal.LoadKeyring("env:TEST_SEAL_KEY")
	if err != nil {
		t.Fatal(err)
	}
	v1, err := keys.Seal("canary", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{sealed["refresh_token"], v1, "sealed:v9:x", " " + v1, `\t` + v1, "\u00a0" + v1, "\u200b" + v1, "\ufeff" + v1, " env:TEST_SEAL_KEY"} {
		body := strings.Replace(s.Request("new@gmail.com", ""), apptest.Account("new@gmail.com").RefreshToken, value, 1)
		s.Want(400, []string{"refresh_token: a reference to a secret, or a sealed one,"}, "POST", "/admin/accounts?dry_run=true", body)
		s.Want(400, []string{"account 1: refresh_token: a reference to a secret, or a sealed one,"}, "POST", "/admin/accounts/batch", "["+body+"]")
		own := strings.Replace(s.Request("user@gmail.com", `, "overwrite": true, "verify": false`), "canary-secret-gmail", value, 1)
		s.Want(400, []string{"client_secret: a reference to a secret, or a sealed one,"}, "POST", "/admin/accounts", own)
	}
	if apptest.ReadAll(t, s.Files.Accounts) != before {
		t.Error("the file was changed")
	}
	if st := s.Provider.AccountStats("user@gmail.com"); st.TokensIssued != 0 {
		t.Errorf("tokens were asked for: %+v", st)
	}
}

// sealedIn returns the sealed values of an account in the file.
func (s *stack) sealedIn(email string) map[string]string {
	s.T.Helper()
	var all struct {
		Accounts []map[string]any
	}
	if err := json.Unmarshal([]byte(apptest.ReadAll(s.T, s.Files.Accounts)), &all); err != nil {
		s.T.Fatal(err)
	}
	sealed := make(map[string]string)
	for _, a := range all.Accounts {
		for key, value := range a {
			if text, ok := value.(string); ok && a["email"] == email && seal.IsSealed(text) {
				sealed[key] = text
			}
		}
	}
	return sealed
}

// TestSealedValuesStayAtHome moves sealed values in the file: to another account,
// and to another key. No command and no reload takes that account from the file; each
// names the account and the key that the value was not sealed for. The accounts in force
// stay.
func TestSealedValuesStayAtHome(t *testing.T) {
	const one, other = "one@gmail.com", "other@gmail.com"
	s := newSealedStack(t, one, other)
	text := apptest.ReadAll(t, s.Files.Accounts)
	mine, theirs := s.sealedIn(one), s.sealedIn(other)
	if len(mine) != 2 || len(theirs) != 2 {
		t.Fatalf("%v, %v", mine, theirs)
	}
	for name, tt := range map[string]struct{ value, in, says string }{
		"another account": {mine["refresh_token"], theirs["refresh_token"], "it is not what was sealed as refresh_token of " + other},
		"another key":     {mine["client_secret"], mine["refresh_token"], "it is not what was sealed as refresh_token of " + one},
		"both":            {mine["client_secret"], theirs["refresh_token"], "it is not what was sealed as refresh_token of " + other},
	} {
		t.Log(name)
		apptest.WriteFile(t, s.Files.Accounts, strings.Replace(text, tt.in, tt.value, 1))
		apptest.CheckParts(t, mustRun(t, exitConfig, with(s.Files, "check")...), ".refresh_token: ", tt.says)
		s.Want(200, []string{`"total_accounts":2,"added":0,"changed":0,"removed":0`}, "POST", "/admin/reload", "")
		for code, args := range map[int][]string{0: {"list"}, exitFailure: {"verify"}} {
			apptest.CheckParts(t, mustRun(t, code, with(s.Files, append([]string{"accounts"}, args...)...)...), tt.says)
		}
	}
	apptest.WriteFile(t, s.Files.Accounts, text)
	s.Want(200, []string{`"changed":0`}, "POST", "/admin/reload", "")
}

// TestUnboundValuesAreBoundAtTheNextSave has a file of a version that sealed
// without account and key. It is read; whatever saves it next, by the API or by a
// command, seals all of it anew for account and key, and nothing else does.
func TestUnboundValuesAreBoundAtTheNextSave(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	apptest.WriteFile(t, token, "canary-token")
	for name, save := range map[string]func(s *stack){
		"API": func(s *stack) {
			s.Want(200, nil, "POST", "/admin/accounts", `{"email": "new@hotmail.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary", "verify": false}`)
		},
		"API, delete": func(s *stack) { s.Want(200, nil, "DELETE", "/admin/accounts/gone@outlook.com", "") },
		"add": func(s *stack) {
			mustRun(s.T, 0, with(s.Files, "accounts", "add", "new@outlook.com", "--client-id", "c", "--refresh-token-file", token, "--no-verify")...)
		},
		"remove": func(s *stack) { mustRun(s.T, 0, with(s.Files, "accounts", "remove", "gone@outlook.com")...) },
		"seal": func(s *stack) {
			apptest.CheckParts(s.T, mustRun(s.T, 0, with(s.Files, "accounts", "seal")...), "4 secrets sealed")
		},
	} {
		t.Run(name, func(t *testing.T) {
			provider, f := apptest.NewSandbox(t, "one@gmail.com", "two@outlook.com", "gone@outlook.com")
			key := seal.GenerateKey()
			t.Setenv("TEST_SEAL_KEY", key)
			apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "env:TEST_SEAL_KEY"}}`, f.CA))
			text := apptest.ReadAll(t, f.Accounts)
			ring, err := seal.ParseKeyring(key)
			if err != nil {
				t.Fatal(err)
			}
			plain := regexp.MustCompile(`"canary-[^"]*"`)
			old := plain.ReplaceAllStringFunc(text, func(quoted string) string {
				sealed, err := ring.Seal(strings.Trim(quoted, `"`), "")
				if err != nil {
					t.Fatal(err)
				}
				return `"` + sealed + `"`
			})
			apptest.WriteFile(t, f.Accounts, old)
			s := startStack(t, provider, f)
			s.Want(200, nil, "POST", "/admin/reload", "")
			mustRun(t, 0, with(f, "accounts", "remove", "gone@outlook.com", "--dry-run")...)
			if apptest.ReadAll(t, f.Accounts) != old {
				t.Error("reading changed the file")
			}
			save(s)
			got := apptest.ReadAll(t, f.Accounts)
			apptest.CheckCanaries(t, "the file", got)
			if n := strings.Count(got, "sealed:v1:"); n > 0 {
				t.Errorf("%d values are not bound:\n%s", n, got)
			}
			s.Want(200, nil, "POST", "/admin/reload", "")
			for _, email := range []string{"one@gmail.com", "two@outlook.com"} {
				c, err := s.Client(email)
				if err != nil {
					t.Errorf("%s: %v", email, err)
					continue
				}
				_ = c.Close()
			}
		})
	}
}

// TestCommandLineSealsWhatItSaves is the same for add, import and authorize's
// way to save.
func TestCommandLineSealsWhatItSaves(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@gmail.com")
	t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
	t.Setenv("TEST_REFERENCE", "canary-referred")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "env:TEST_SEAL_KEY"}}`, f.CA))
	mustRun(t, 0, with(f, "accounts", "seal")...)
	dir := t.TempDir()
	token, list := filepath.Join(dir, "token"), filepath.Join(dir, "list.json")
	apptest.WriteFile(t, token, "canary-token")
	mustRun(t, 0, with(f, "accounts", "add", "new@outlook.com", "--client-id", "c", "--refresh-token-file", token, "--no-verify")...)
	apptest.WriteFile(t, list, `[{"email": "a@outlook.com", "client_id": "c", "refresh_token": "canary-a"},
		{"email": "b@outlook.com", "client_id": "c", "refresh_token": "env:TEST_REFERENCE"}]`)
	mustRun(t, 0, with(f, "accounts", "import", list)...)
	text := apptest.ReadAll(t, f.Accounts)
	apptest.CheckCanaries(t, "the accounts file", text)
	apptest.CheckParts(t, text, "env:TEST_REFERENCE")
	if n := strings.Count(text, `"sealed:v2:`); n != 4 {
		t.Errorf("%d sealed values", n)
	}
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "list")...), "new@outlook.com", "a@outlook.com", "b@outlook.com")
}
