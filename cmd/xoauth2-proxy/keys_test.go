package main

import (
	"encoding/json"
	"strings"
	"testing"

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
		apptest.CheckParts(t, mustRun(t, exitConfig, with(s.Files, strings.Fields(command)...)...), s.Files.Accounts+":1: "+says)
	}
	s.Want(422, []string{says}, "POST", "/admin/reload", "")
	s.Want(200, []string{`"email":"user@gmail.com"`}, "GET", "/admin/accounts", "")
	write(key)
	apptest.CheckParts(t, mustRun(t, 0, with(s.Files, "check")...), "the files are fine")
	s.Want(200, nil, "POST", "/admin/reload", "") // the file's watcher may have come first
	s.Want(200, []string{`"email":"app@outlook.com"`}, "GET", "/admin/accounts", "")
}

// TestSaveBesideAWrongEntry has the admin API change a file with an account that cannot
// sign: the others change, and its entry stays as it is until it is corrected or removed.
func TestSaveBesideAWrongEntry(t *testing.T) {
	s := newStack(t, "user@gmail.com", "more@gmail.com")
	certificate, key := signingPair()
	_, other := signingPair()
	entry := appEntry(t, "app@outlook.com", certificate, other)
	begin := strings.TrimSuffix(strings.TrimRight(apptest.ReadAll(t, s.Files.Accounts), " }\n"), "]")
	apptest.WriteFile(t, s.Files.Accounts, begin+", "+entry+"]}")
	kept := func(what string) {
		t.Helper()
		if text := apptest.ReadAll(t, s.Files.Accounts); !strings.Contains(text, entry) {
			t.Errorf("%s changed the wrong entry:\n%s", what, text)
		}
	}
	again := s.Request("user@gmail.com", `, "verify": false, "overwrite": true, "vmta_name": "changed"`)
	for _, path := range []string{"/admin/accounts?dry_run=true", "/admin/accounts"} {
		s.Want(200, []string{`"total_accounts":2`}, "POST", path, again)
		kept(path)
	}
	s.Want(200, nil, "POST", "/admin/accounts/batch", "["+again+"]")
	kept("the batch")
	s.Want(200, []string{`"total_accounts":1`}, "DELETE", "/admin/accounts/more@gmail.com", "")
	kept("DELETE")
	before := apptest.ReadAll(t, s.Files.Accounts)
	says := []string{"nothing was changed", "app@outlook.com: the certificate must be in PEM form and belong to the private key"}
	s.Want(400, says, "POST", "/admin/accounts", `{"email": "app@outlook.com", "provider": "outlook", "client_id": "other", "client_secret": "s", "refresh_token": "r", "overwrite": true, "verify": false}`)
	if apptest.ReadAll(t, s.Files.Accounts) != before {
		t.Error("the file was changed")
	}
	s.Want(200, []string{`"total_accounts":1`}, "DELETE", "/admin/accounts/app@outlook.com", "")
	apptest.WriteFile(t, s.Files.Accounts, strings.TrimSuffix(strings.TrimRight(apptest.ReadAll(t, s.Files.Accounts), " }\n"), "]")+", "+appEntry(t, "app@outlook.com", certificate, key)+"]}")
	s.Want(200, []string{`"total_accounts":2`}, "POST", "/admin/accounts", again)
}
