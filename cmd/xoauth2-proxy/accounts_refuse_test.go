package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

const keysDiffer = "the certificate must be in PEM form and belong to the private key"

// appEntry is an application in JSON that signs with that key.
func appEntry(t *testing.T, email, certificate, key string) string {
	t.Helper()
	text, err := json.Marshal(map[string]string{"email": email, "provider": "outlook", "client_id": "c", "tenant": "example.com",
		"oauth_flow": "client_credentials", "client_certificate": certificate, "client_private_key": key})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCommandsCheckKeys has an account in the file whose private key is not that of its
// certificate: commands for other accounts leave its entry as it is, one that is about it
// says why it is wrong, and check fails.
func TestCommandsCheckKeys(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@outlook.com")
	certificate, key := signingPair()
	_, other := signingPair()
	user := strings.Trim(strings.TrimPrefix(strings.TrimSpace(apptest.ReadAll(t, f.Accounts)), `{`), "}\n ")
	entry := appEntry(t, "app@outlook.com", certificate, other)
	wrong := "{" + strings.TrimSuffix(strings.TrimSpace(user), "]") + ", " + entry + "]}"
	apptest.WriteFile(t, f.Accounts, wrong)
	dir := t.TempDir()
	list, token := filepath.Join(dir, "list"), filepath.Join(dir, "token")
	apptest.WriteFile(t, list, "new@hotmail.com,id,canary-token,client\n")
	apptest.WriteFile(t, token, "canary-token")
	apptest.CheckParts(t, mustRun(t, exitConfig, with(f, "check")...), "accounts[1]: app@outlook.com: "+keysDiffer)
	for _, command := range [][]string{
		{"accounts", "add", "other@hotmail.com", "--client-id", "c", "--refresh-token-file", token, "--no-verify"},
		{"accounts", "add", "user@outlook.com", "--overwrite", "--vmta-name", "v"},
		{"accounts", "import", list},
		{"accounts", "remove", "user@outlook.com"},
	} {
		mustRun(t, 0, with(f, command...)...)
		if text := apptest.ReadAll(t, f.Accounts); !strings.Contains(text, entry) {
			t.Errorf("%q changed the wrong entry:\n%s", command, text)
		}
	}
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "list")...), "left out: ", "app@outlook.com: "+keysDiffer, "new@hotmail.com")
	before := apptest.ReadAll(t, f.Accounts)
	for _, command := range [][]string{
		{"accounts", "add", "app@outlook.com", "--overwrite", "--vmta-name", "v"},
		{"accounts", "seal", "--new-key", filepath.Join(dir, "key")},
	} {
		apptest.CheckParts(t, mustRun(t, exitConfig, with(f, command...)...), "app@outlook.com: "+keysDiffer)
		if apptest.ReadAll(t, f.Accounts) != before {
			t.Fatalf("%q changed the file", command)
		}
	}
	apptest.WriteFile(t, list, "["+appEntry(t, "app@outlook.com", certificate, key)+"]")
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "import", list, "--overwrite", "--dry-run")...), "1 replaced")
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "remove", "app@outlook.com")...), "1 removed, 2 left")
	mustRun(t, 0, with(f, "check")...)
}

// TestImportSaysWhichLine has lists whose accounts are right by themselves, and
// wrong in the file: each is told by its line, and does not keep the others out.
func TestImportSaysWhichLine(t *testing.T) {
	_, f := apptest.NewSandbox(t)
	certificate, key := signingPair()
	_, other := signingPair()
	list := filepath.Join(t.TempDir(), "list")
	apptest.WriteFile(t, list, strings.Join([]string{"[", appEntry(t, "good@example.com", certificate, key) + ",",
		appEntry(t, "bad@example.com", certificate, other) + ",", appEntry(t, "worse@example.com", certificate, other) + "]"}, "\n"))
	said := mustRun(t, 1, with(f, "accounts", "import", list, "--partial")...)
	apptest.CheckParts(t, said, list+":3: bad@example.com: "+keysDiffer, list+":4: worse@example.com: "+keysDiffer, "1 added, 0 replaced, 2 wrong; 1 accounts")

	apptest.WriteFile(t, f.Accounts, `[{"email": "a@hotmail.com", "account_id": "mine", "provider": "outlook", "client_id": "c", "refresh_token": "canary"},
		{"email": "a.b@hotmail.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary"}]`)
	apptest.WriteFile(t, list, "\ufeffc@hotmail.com,mine,canary-1,c\r\na_b@hotmail.com,,canary-2,c\r\nd_e@hotmail.com,,canary-3,c\r\nd.e@hotmail.com,,canary-4,c\r\n"+
		"A@hotmail.com,,canary-5,c\r\n")
	said = mustRun(t, 1, with(f, "accounts", "import", list, "--partial", "--overwrite")...)
	apptest.CheckParts(t, said, list+`:1: account_id: "mine" is that of a@hotmail.com`, list+`:2: account_id: "outlook_a_b_hotmail_com" is that of a.b@hotmail.com`,
		list+`:4: account_id: "outlook_d_e_hotmail_com" is that of d_e@hotmail.com`, "1 added, 1 replaced, 3 wrong; 3 accounts")
}

// TestImportOfManyLines: the errors of a long list name their lines.
func TestImportOfManyLines(t *testing.T) {
	const lines, every = 400, 50
	var text strings.Builder
	var want []string
	list := filepath.Join(t.TempDir(), "list")
	for i := 1; i <= lines; i++ {
		if i%every == 0 {
			fmt.Fprintf(&text, "user%d@example.com,id%d,canary,c\n", i, i)
			want = append(want, fmt.Sprintf("%s:%d: provider: the domain of \"user%d@example.com\"", list, i, i))
			continue
		}
		fmt.Fprintf(&text, "user%d@hotmail.com,id%d,canary,c,1700000000,host\n", i, i)
	}
	apptest.WriteFile(t, list, text.String())
	_, f := apptest.NewSandbox(t)
	wrong := lines / every
	apptest.CheckParts(t, mustRun(t, 1, with(f, "accounts", "import", list)...), append(want, fmt.Sprintf("%d of %d accounts are wrong", wrong, lines))...)
	for range 2 {
		said := mustRun(t, 1, with(f, "accounts", "import", list, "--partial", "--overwrite")...)
		apptest.CheckParts(t, said, append(want, fmt.Sprintf("%d wrong; %d accounts", wrong, lines-wrong))...)
	}
}

// TestAddKeepsWhatIsNotGiven changes an account of the file: the keys that the command
// line does not give stay, and its refresh token is not used.
func TestAddKeepsWhatIsNotGiven(t *testing.T) {
	s, f := apptest.NewSandbox(t, "user@gmail.com")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "providers": {"mine": {"token_url": %q, "smtp_host": "localhost"}}}`, f.CA, s.TokenURL()))
	apptest.WriteFile(t, f.Accounts, strings.Replace(apptest.ReadAll(t, f.Accounts), `"gmail"`, `"mine"`, 1))
	add := with(f, "accounts", "add", "USER@gmail.com", "--vmta-name", "v7", "--senders", "self,@a.example")
	apptest.CheckParts(t, mustRun(t, 1, add...), "exists already", "--overwrite")
	apptest.CheckParts(t, mustRun(t, 0, append(add, "--overwrite")...), "keeps its refresh token and is not verified", "USER@gmail.com replaced in")
	apptest.CheckParts(t, apptest.ReadAll(t, f.Accounts), `"provider": "mine"`, `"vmta_name": "v7"`, `"senders": [`, "canary-refresh-user@gmail.com", "canary-secret-gmail")
	if st := s.AccountStats("user@gmail.com"); st.TokensIssued != 0 {
		t.Errorf("the provider was asked: %+v", st)
	}
}

// TestAddAsksNobodyInVain has a refresh token that its provider replaces at each use.
// It is not used for an account that cannot be saved.
func TestAddAsksNobodyInVain(t *testing.T) {
	s, f := apptest.NewSandbox(t, "user@outlook.com")
	token := filepath.Join(t.TempDir(), "token")
	apptest.WriteFile(t, token, apptest.Account("user@outlook.com").RefreshToken)
	add := func(f sandbox.ProxyFiles) []string {
		return with(f, "accounts", "add", "user@outlook.com", "--client-id", "sandbox-client-outlook", "--refresh-token-file", token, "--oauth-token-url", s.TokenURL())
	}
	apptest.CheckParts(t, mustRun(t, 1, add(f)...), "exists already")
	gone := f
	gone.Accounts = filepath.Join(t.TempDir(), "none", "accounts.json")
	apptest.CheckParts(t, mustRun(t, 1, add(gone)...), "no such file or directory")
	if os.Geteuid() != 0 { // root may write everywhere
		locked := f
		locked.Accounts = filepath.Join(t.TempDir(), "accounts.json")
		if err := os.Chmod(filepath.Dir(locked.Accounts), 0o500); err != nil {
			t.Fatal(err)
		}
		apptest.CheckParts(t, mustRun(t, 1, add(locked)...), "nothing can be written to its directory")
	}
	if st := s.AccountStats("user@outlook.com"); st.TokensIssued != 0 {
		t.Errorf("the provider was asked: %+v", st)
	}
}

// TestAddOfOtherFlows adds an application for all mailboxes of a domain, and one
// that signs; their keys stay in their files.
func TestAddOfOtherFlows(t *testing.T) {
	provider, f := apptest.NewSandbox(t)
	certificate, key := signingPair()
	_, other := signingPair()
	for _, c := range []sandbox.Client{{ID: "app", Secret: "canary-app"}, {ID: "signs", Certificate: certificate}} {
		if err := provider.AddClient(c); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		apptest.WriteFile(t, path, text)
		return path
	}
	flow := []string{"--provider", "outlook", "--oauth-flow", "client_credentials", "--tenant", "example.com", "--oauth-token-url", provider.TokenURL()}
	add := func(code int, args ...string) string {
		return mustRun(t, code, with(f, append(append([]string{"accounts", "add"}, args...), flow...)...)...)
	}
	add(0, "*@example.com", "--client-id", "app", "--client-secret-file", file("secret", "canary-app"))
	signs := []string{"*@example.org", "--client-id", "signs", "--client-certificate", file("cert.pem", certificate), "--client-private-key"}
	apptest.CheckParts(t, add(exitUsage, append(signs, file("other.pem", other))...), "*@example.org: "+keysDiffer)
	add(0, append(signs, file("key.pem", key))...)
	apptest.CheckParts(t, apptest.ReadAll(t, f.Accounts), `"client_private_key": "file:`+dir+`/key.pem"`, `"tenant": "example.com"`)
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "2 of 2 accounts work")
	apptest.CheckParts(t, mustRun(t, 1, with(f, "authorize", "*@example.com")...), "has the oauth_flow client_credentials, which takes nobody's consent")
}

// TestSealWithTheKeyThatIsConfigured makes the key that config.json names.
func TestSealWithTheKeyThatIsConfigured(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@gmail.com")
	key := filepath.Join(t.TempDir(), "key")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"secrets": {"key": "file:%s"}}`, key))
	missing := f
	missing.Accounts = filepath.Join(t.TempDir(), "accounts.json")
	apptest.CheckParts(t, mustRun(t, exitConfig, with(missing, "accounts", "seal", "--new-key", key)...), "no such file")
	if _, err := os.Stat(key); err == nil {
		t.Error("a key is left with which nothing is sealed")
	}
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "seal", "--new-key", key)...), "2 secrets sealed")
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "show", "user@gmail.com")...), "refresh_token                set")
}

// TestTablesAreAligned has a column begin where its header does, in every line.
func TestTablesAreAligned(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@gmail.com", "longer.address@outlook.com")
	for _, command := range []string{"accounts show user@gmail.com", "accounts list"} {
		lines := strings.Split(strings.TrimSpace(mustRun(t, 0, with(f, strings.Fields(command)...)...)), "\n")
		second := len(lines[0]) - len(strings.TrimLeft(strings.TrimLeft(lines[0], "abcdefghijklmnopqrstuvwxyz"), " "))
		for _, line := range lines {
			if len(line) > second && (line[second-1] != ' ' || line[second] == ' ') || strings.HasSuffix(line, " ") {
				t.Errorf("%q is not as %q", line, lines[0])
			}
		}
	}
}
