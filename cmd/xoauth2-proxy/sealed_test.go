package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/seal"
)

// newSealedStack is newStack for an operator who has a key to seal with.
func newSealedStack(t *testing.T, emails ...string) *stack {
	t.Helper()
	provider, f := newSandbox(t, emails...)
	t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
	writeFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "env:TEST_SEAL_KEY"}}`, f.CA))
	mustRun(t, 0, with(f, "accounts", "seal")...)
	return startStack(t, provider, f)
}

// TestAdminAPISealsWhatItSaves adds accounts in every way that the API has: no
// secret stands in the file afterwards, and all of them work.
func TestAdminAPISealsWhatItSaves(t *testing.T) {
	s := newSealedStack(t, "user@gmail.com")
	for _, e := range []string{"new@outlook.com", "more@gmail.com"} {
		if err := s.provider.AddAccount(testAccount(e)); err != nil {
			t.Fatal(err)
		}
	}
	inFile := func(sealed int) {
		t.Helper()
		text := readAll(t, s.files.Accounts)
		checkCanaries(t, "the accounts file", text)
		if n := strings.Count(text, `"sealed:v1:`); n != sealed {
			t.Errorf("%d sealed values in the file, want %d", n, sealed)
		}
	}
	inFile(2)
	s.want(200, []string{`"total_accounts":2`}, "POST", "/admin/accounts", s.request("new@outlook.com", ""))
	inFile(3) // it has no client secret
	s.want(200, []string{`"added_count":1`}, "POST", "/admin/accounts/batch", "["+s.request("more@gmail.com", "")+"]")
	inFile(5)
	s.want(200, nil, "POST", "/admin/accounts", s.request("user@gmail.com", `, "overwrite": true, "verify": false`))
	inFile(5)
	s.want(200, []string{`"total_accounts":3`, `"changed":0`}, "POST", "/admin/reload", "")
	for _, email := range []string{"user@gmail.com", "new@outlook.com", "more@gmail.com"} {
		c, err := s.client(email)
		if err != nil {
			t.Errorf("%s: %v", email, err)
			continue
		}
		if err := send(c, "sealed"); err != nil {
			t.Errorf("%s: %v", email, err)
		}
		_ = c.Close()
	}
}

// TestAdminAPITakesNoReferences has requests that would have the proxy read its
// files and environment, and send them away.
func TestAdminAPITakesNoReferences(t *testing.T) {
	s := newSealedStack(t, "user@gmail.com")
	before := readAll(t, s.files.Accounts)
	for _, ref := range []string{"file:" + s.files.Config, "file:/no/such/file", "env:TEST_SEAL_KEY", "credential:x"} {
		body := strings.Replace(s.request("new@gmail.com", ""), testAccount("new@gmail.com").RefreshToken, ref, 1)
		text := s.want(400, []string{"refresh_token: a reference"}, "POST", "/admin/accounts", body)
		if strings.Contains(text, "no such file") {
			t.Errorf("the answer tells what files there are: %s", text)
		}
		body = strings.Replace(s.request("new@gmail.com", ""), "canary-secret-gmail", ref, 1)
		s.want(400, []string{"account 1: client_secret: a reference"}, "POST", "/admin/accounts/batch", "["+body+"]")
	}
	if readAll(t, s.files.Accounts) != before {
		t.Error("the file was changed")
	}
}

// TestCommandLineSealsWhatItSaves is the same for add, import and authorize's
// way to save.
func TestCommandLineSealsWhatItSaves(t *testing.T) {
	_, f := newSandbox(t, "user@gmail.com")
	t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
	t.Setenv("TEST_REFERENCE", "canary-referred")
	writeFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "env:TEST_SEAL_KEY"}}`, f.CA))
	mustRun(t, 0, with(f, "accounts", "seal")...)
	dir := t.TempDir()
	token, list := filepath.Join(dir, "token"), filepath.Join(dir, "list.json")
	writeFile(t, token, "canary-token")
	mustRun(t, 0, with(f, "accounts", "add", "new@outlook.com", "--client-id", "c", "--refresh-token-file", token, "--no-verify")...)
	writeFile(t, list, `[{"email": "a@outlook.com", "client_id": "c", "refresh_token": "canary-a"},
		{"email": "b@outlook.com", "client_id": "c", "refresh_token": "env:TEST_REFERENCE"}]`)
	mustRun(t, 0, with(f, "accounts", "import", list)...)
	text := readAll(t, f.Accounts)
	checkCanaries(t, "the accounts file", text)
	checkParts(t, text, "env:TEST_REFERENCE")
	if n := strings.Count(text, `"sealed:v1:`); n != 4 {
		t.Errorf("%d sealed values", n)
	}
	checkParts(t, mustRun(t, 0, with(f, "accounts", "list")...), "new@outlook.com", "a@outlook.com", "b@outlook.com")
}
