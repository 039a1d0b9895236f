package main

import (
	"encoding/json"
	"strings"
	"testing"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/testkit"
)

// signingPair is a client's certificate and its private key in PEM form.
func signingPair() (certificate, key string) {
	c, k := testkit.PEM(testkit.Certificate("app"))
	return string(c), string(k)
}

// TestKeysAreCheckedAtLoad has an account whose private key does not belong to its
// certificate: every command that reads the file says so, and a reload changes
// nothing.
func TestKeysAreCheckedAtLoad(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	certificate, key := signingPair()
	_, other := signingPair()
	write := func(key string) {
		t.Helper()
		text, err := json.Marshal([]map[string]string{{"email": "app@outlook.com", "provider": "outlook", "client_id": "c", "tenant": "example.com",
			"oauth_flow": "client_credentials", "client_certificate": certificate, "client_private_key": key}})
		if err != nil {
			t.Fatal(err)
		}
		apptest.WriteFile(t, s.Files.Accounts, string(text))
	}
	write(other)
	const says = "accounts[0]: app@outlook.com: the certificate must be in PEM form and belong to the private key"
	for _, command := range []string{"check", "serve", "accounts verify", "accounts list"} {
		apptest.CheckParts(t, mustRun(t, exitConfig, with(s.Files, strings.Fields(command)...)...), s.Files.Accounts+": "+says)
	}
	s.Want(422, []string{says}, "POST", "/admin/reload", "")
	s.Want(200, []string{`"email":"user@gmail.com"`}, "GET", "/admin/accounts", "")
	write(key)
	apptest.CheckParts(t, mustRun(t, 0, with(s.Files, "check")...), "the files are fine")
	s.Want(200, []string{`"added":1`}, "POST", "/admin/reload", "")
}

// TestKeysAreCheckedBeforeASave has the admin API change a file with a private key
// that does not belong to its certificate: the API says so and changes nothing, until
// the account is corrected or removed.
func TestKeysAreCheckedBeforeASave(t *testing.T) {
	s := newStack(t, "user@gmail.com", "more@gmail.com")
	certificate, key := signingPair()
	_, other := signingPair()
	put := func(key string) {
		t.Helper()
		e := new(accountfile.Entry)
		for _, f := range []field{{"email", "app@outlook.com"}, {"provider", "outlook"}, {"client_id", "c"}, {"tenant", "example.com"},
			{"oauth_flow", "client_credentials"}, {"client_certificate", certificate}, {"client_private_key", key}} {
			e.Set(f.key, f.value)
		}
		s.Edit(func(l *accountfile.List) error { l.Put(e); return nil })
	}
	put(other)
	before := apptest.ReadAll(t, s.Files.Accounts)
	says := []string{"nothing was changed", "app@outlook.com: the certificate must be in PEM form and belong to the private key"}
	again := s.Request("user@gmail.com", `, "verify": false, "overwrite": true, "vmta_name": "changed"`)
	s.Want(400, says, "POST", "/admin/accounts", again)
	s.Want(400, says, "POST", "/admin/accounts?dry_run=true", again)
	s.Want(400, says, "POST", "/admin/accounts/batch", "["+again+"]")
	s.Want(400, says, "DELETE", "/admin/accounts/user@gmail.com", "")
	if apptest.ReadAll(t, s.Files.Accounts) != before {
		t.Error("the file was changed")
	}
	if text := s.Want(200, []string{`"total_accounts":2`}, "GET", "/admin/accounts", ""); strings.Contains(text, "changed") {
		t.Errorf("in force is %s", text)
	}
	s.Want(200, []string{`"total_accounts":2`}, "DELETE", "/admin/accounts/app@outlook.com", "")
	put(key)
	s.Want(200, []string{`"total_accounts":3`}, "POST", "/admin/accounts", again)
}
