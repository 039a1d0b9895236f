package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// with adds the flags that name the files.
func with(f sandbox.ProxyFiles, args ...string) []string {
	return append(args, "--config", f.Config, "--accounts", f.Accounts)
}

// mustRun runs the program, which must exit with that code, and returns what it
// wrote to both outputs.
func mustRun(t *testing.T, code int, args ...string) string {
	t.Helper()
	got, stdout, stderr := runCLI(t, args...)
	if got != code {
		t.Errorf("%q: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	return stdout + stderr
}

func TestAccountsListAndShow(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@gmail.com", "user@outlook.com")
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "list")...), "user@gmail.com", "gmail_user_gmail_com", "outlook", "localhost:")
	var list []map[string]string
	if err := json.Unmarshal([]byte(mustRun(t, 0, with(f, "accounts", "list", "--json")...)), &list); err != nil || len(list) != 2 || list[1]["email"] != "user@outlook.com" {
		t.Errorf("%v, %v", list, err)
	}
	rows, err := csv.NewReader(strings.NewReader(mustRun(t, 0, with(f, "accounts", "list", "--csv")...))).ReadAll()
	if err != nil || len(rows) != 3 || rows[0][0] != "email" || rows[1][0] != "user@gmail.com" {
		t.Errorf("%v, %v", rows, err)
	}
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "show", "USER@gmail.com")...), "client_secret", "set", "max_connections_per_account", "10")
	var shown map[string]any
	if err := json.Unmarshal([]byte(mustRun(t, 0, with(f, "accounts", "show", "--json", "outlook_user_outlook_com")...)), &shown); err != nil || shown["client_secret"] != false ||
		shown["refresh_token"] != true || shown["max_connections_per_account"] != 3.0 || shown["messages_per_hour"] != 0.0 || shown["ip_address"] != "" {
		t.Errorf("%v, %v", shown, err)
	}
	apptest.CheckParts(t, mustRun(t, 1, with(f, "accounts", "show", "nobody@gmail.com")...), "there is no account")
	mustRun(t, exitUsage, with(f, "accounts", "list", "--json", "--csv")...)
}

func TestAccountsAddAndRemove(t *testing.T) {
	s, f := apptest.NewSandbox(t, "user@gmail.com", "new@outlook.com")
	token := filepath.Join(t.TempDir(), "token")
	apptest.WriteFile(t, token, "canary-refresh-new@outlook.com\n")
	mustRun(t, 0, with(f, "accounts", "remove", "new@outlook.com")...)
	port := s.Addr("outlook")[strings.LastIndexByte(s.Addr("outlook"), ':')+1:]
	add := with(f, "accounts", "add", "new@outlook.com", "--client-id", "sandbox-client-outlook",
		"--refresh-token-file", token, "--oauth-token-url", s.TokenURL(), "--oauth-endpoint", "localhost:"+port)
	apptest.CheckParts(t, mustRun(t, 0, append(add, "--dry-run")...), "dry run: new@outlook.com added")
	apptest.CheckParts(t, mustRun(t, 0, add...), "new@outlook.com added in "+f.Accounts+": 2 accounts")
	if st := s.AccountStats("new@outlook.com"); st.Logins != 2 {
		t.Errorf("it was not verified: %+v", st)
	}
	if saved := apptest.ReadAll(t, f.Accounts); strings.Contains(saved, "canary-refresh-new") || !strings.Contains(saved, "sbr.") {
		t.Error("the refresh token that the provider gave in the place of the old one was not saved")
	}
	apptest.CheckParts(t, mustRun(t, 1, add...), "exists already", "--overwrite")
	apptest.WriteFile(t, token, "canary-wrong")
	apptest.CheckParts(t, mustRun(t, 1, append(add, "--overwrite")...), "does not work", "refresh token refused")
	apptest.CheckParts(t, mustRun(t, 0, append(add, "--overwrite", "--no-verify")...), "replaced")
	apptest.CheckParts(t, mustRun(t, exitUsage, with(f, "accounts", "add", "x@example.com", "--client-id", "c", "--refresh-token-file", token)...), "provider: is needed")

	apptest.CheckParts(t, mustRun(t, 1, with(f, "accounts", "remove", "nobody@gmail.com", "user@gmail.com")...), "there is no such account: nobody@gmail.com")
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "remove", "--dry-run", "user@gmail.com")...), "dry run: 1 removed, 1 left")
	mustRun(t, exitUsage, with(f, "accounts", "remove", "--all")...)
	mustRun(t, exitUsage, with(f, "accounts", "remove")...)
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "remove", "--all", "--yes")...), "2 removed, 0 left")
}

func TestAccountsAddCreatesTheFile(t *testing.T) {
	dir := t.TempDir()
	accounts, token := filepath.Join(dir, "accounts.json"), filepath.Join(dir, "token")
	apptest.WriteFile(t, token, "canary")
	t.Setenv("XOAUTH2_CLIENT_SECRET", "canary-from-the-environment")
	config := filepath.Join(dir, "config.json")
	apptest.WriteFile(t, config, "{}")
	mustRun(t, 0, "accounts", "add", "a@gmail.com", "--config", config, "--accounts", accounts, "--client-id", "c", "--refresh-token-file", token, "--no-verify")
	info, err := os.Stat(accounts)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	apptest.CheckParts(t, apptest.ReadAll(t, accounts), `"client_secret": "canary-from-the-environment"`)
}

func TestAccountsImport(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@outlook.com")
	list := filepath.Join(t.TempDir(), "batch.txt")
	apptest.WriteFile(t, list, "# list\na@hotmail.com,id1,canary!*$.1,client,1,h\nb@example.com,id2,canary2,client\nuser@outlook.com,id3,canary3,client\n")
	before := apptest.ReadAll(t, f.Accounts)
	base := with(f, "accounts", "import", list)
	apptest.CheckParts(t, mustRun(t, 1, base...), list+":3: provider: the domain", list+":4: the account exists already (--overwrite replaces it)", "nothing was imported: 2 of 3 accounts are wrong")
	if apptest.ReadAll(t, f.Accounts) != before {
		t.Error("the file was changed")
	}
	apptest.CheckParts(t, mustRun(t, 0, append(base, "--provider", "outlook", "--overwrite", "--dry-run")...), "dry run: 2 added, 1 replaced, 0 wrong; 3 accounts")
	apptest.CheckParts(t, mustRun(t, 1, append(base, "--partial")...), "1 added, 0 replaced, 2 wrong; 2 accounts")
	apptest.CheckParts(t, apptest.ReadAll(t, f.Accounts), `"refresh_token": "canary!*$.1"`, `"vmta_name": "vmta-id1"`)
	apptest.CheckParts(t, mustRun(t, 0, append(base, "--provider", "outlook", "--overwrite", "--first-ip", "127.0.0.9")...), "1 added, 2 replaced, 0 wrong; 3 accounts")
	apptest.CheckParts(t, apptest.ReadAll(t, f.Accounts), `"ip_address": "127.0.0.10"`)
	mustRun(t, exitUsage, append(base, "--first-ip", "nowhere")...)
	mustRun(t, exitUsage, append(base, "--format", "xml")...)
	apptest.WriteFile(t, list, "email,secret\n")
	apptest.CheckParts(t, mustRun(t, 1, base...), `"secret", is no key of an account`)
}

func TestAccountsVerify(t *testing.T) {
	s, f := apptest.NewSandbox(t, "good@gmail.com", "dead@gmail.com", "good@outlook.com", "refused@outlook.com")
	s.RevokeGrant("dead@gmail.com")
	if err := s.SetFaults(sandbox.Rule{Account: "refused@outlook.com", Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply,
		Reply: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."}); err != nil {
		t.Fatal(err)
	}
	verify := with(f, "accounts", "verify")
	text := mustRun(t, 1, verify...)
	apptest.CheckParts(t, text, "2 of 4 accounts work", "invalid_grant", "login_refused", "Set-CASMailbox",
		"2 new refresh tokens saved in "+f.Accounts) // those of outlook
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "good@") && !strings.Contains(line, "works") {
			t.Errorf("%s", line)
		}
	}
	if strings.Contains(mustRun(t, 1, append(verify, "--failed")...), "good@") {
		t.Error("--failed shows accounts that work")
	}
	_, stdout, _ := runCLI(t, append(verify, "--json")...)
	var all []struct {
		Email string
		Works bool
	}
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || len(all) != 4 || !all[0].Works || all[1].Works || !all[2].Works || all[3].Works {
		t.Errorf("%+v, %v\n%s", all, err, stdout)
	}
	_, stdout, _ = runCLI(t, append(verify, "--json", "--failed")...)
	var failed []struct {
		Email, Phase, Class, Hint string
		Permanent                 bool
	}
	if err := json.Unmarshal([]byte(stdout), &failed); err != nil || len(failed) != 2 || failed[0].Email != "dead@gmail.com" || failed[0].Phase != "token" ||
		!failed[0].Permanent || failed[1].Phase != "AUTH" || failed[1].Hint == "" {
		t.Errorf("%+v, %v\n%s", failed, err, stdout)
	}
	_, stdout, _ = runCLI(t, append(verify, "--csv", "--failed")...)
	if rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll(); err != nil || len(rows) != 3 || rows[2][0] != "refused@outlook.com" {
		t.Errorf("%v, %v", rows, err)
	}
	apptest.CheckParts(t, mustRun(t, 0, append(verify, "good@gmail.com", "outlook_good_outlook_com", "--parallel", "1")...), "2 of 2 accounts work")
	mustRun(t, 1, append(verify, "nobody@gmail.com")...)
	if n := s.Stats().Messages; n != 0 {
		t.Errorf("%d messages were sent", n)
	}
}

func TestAccountsSeal(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@gmail.com", "user@outlook.com")
	key := filepath.Join(t.TempDir(), "key")
	base := with(f, "accounts", "seal")
	mustRun(t, exitUsage, base...)
	apptest.CheckParts(t, mustRun(t, 0, append(base, "--new-key", key)...), "3 secrets sealed with key", "0 are references")
	text := apptest.ReadAll(t, f.Accounts)
	apptest.CheckCanaries(t, "the file", text)
	if n := strings.Count(text, `"sealed:v2:`); n != 3 {
		t.Errorf("%d sealed values", n)
	}
	mustRun(t, 1, append(base, "--new-key", key)...) // it exists
	apptest.CheckParts(t, mustRun(t, 0, append(base, "--key", "file:"+key)...), "0 secrets sealed", "3 were sealed with it already")
	if apptest.ReadAll(t, f.Accounts) != text {
		t.Error("sealing again changes the file")
	}
	// A new key in front of the old one seals all anew.
	next := filepath.Join(t.TempDir(), "next")
	both := filepath.Join(t.TempDir(), "both")
	apptest.WriteFile(t, next, "sealkey:v1:"+strings.Repeat("A", 43)+"\n")
	apptest.WriteFile(t, both, apptest.ReadAll(t, next)+apptest.ReadAll(t, key))
	apptest.CheckParts(t, mustRun(t, 0, append(base, "--key", "file:"+both)...), "3 secrets sealed")
	apptest.CheckParts(t, mustRun(t, 1, append(base, "--key", "file:"+key)...), "sealed with another key")
}
