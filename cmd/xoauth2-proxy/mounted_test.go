package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testmount"
)

// mountAccounts mounts the accounts file by itself, as a container does with a
// single file, and sets state_dir, "" for none.
func mountAccounts(t *testing.T, f sandbox.ProxyFiles, stateDir string) {
	t.Helper()
	host := filepath.Join(t.TempDir(), "host.json")
	apptest.WriteFile(t, host, apptest.ReadAll(t, f.Accounts))
	testmount.Bind(t, host, f.Accounts)
	if stateDir != "" {
		apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"state_dir": %q, "upstream": {"ca_file": %q}, "log": {"format": "json"}}`, stateDir, f.CA))
	}
}

// unsavable are places where an accounts file cannot be saved, with the error.
// late, if not nil, is called when a proxy has started.
var unsavable = map[string]struct {
	prepare func(t *testing.T, f sandbox.ProxyFiles) (late func())
	want    string
}{
	"mounted by itself, no state directory": {func(t *testing.T, f sandbox.ProxyFiles) func() {
		mountAccounts(t, f, "")
		return nil
	}, "mount the directory"},
	"mounted by itself, state directory full": {func(t *testing.T, f sandbox.ProxyFiles) func() {
		dir := t.TempDir()
		testmount.Disk(t, dir, "1m")
		mountAccounts(t, f, dir)
		return func() { testmount.Fill(t, dir) }
	}, "no space left"},
	"mounted by itself, read-only": {func(t *testing.T, f sandbox.ProxyFiles) func() {
		mountAccounts(t, f, t.TempDir())
		testmount.ReadOnly(t, f.Accounts)
		return nil
	}, "read-only file system"},
	"directory read-only": {func(t *testing.T, f sandbox.ProxyFiles) func() {
		testmount.ReadOnly(t, filepath.Dir(f.Accounts))
		return nil
	}, "read-only file system"},
	"disk full": {func(t *testing.T, f sandbox.ProxyFiles) func() {
		text, settings, ca := apptest.ReadAll(t, f.Accounts), apptest.ReadAll(t, f.Config), apptest.ReadAll(t, f.CA)
		testmount.Disk(t, filepath.Dir(f.Accounts), "1m")
		apptest.WriteFile(t, f.Accounts, text)
		apptest.WriteFile(t, f.Config, settings)
		apptest.WriteFile(t, f.CA, ca)
		testmount.Fill(t, filepath.Dir(f.Accounts))
		return nil
	}, "no space left"},
}

// TestUnsavableIsFoundFirst has accounts files that cannot be saved: every command
// says so before a person is asked and before a token is used.
func TestUnsavableIsFoundFirst(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	const email = "new@outlook.com"
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir()) // for the admin socket, wherever the accounts file is
	for name, place := range unsavable {
		t.Run(name, func(t *testing.T) {
			provider, f := apptest.NewSandbox(t, "user@gmail.com")
			if err := provider.AddAccount(apptest.Account(email)); err != nil {
				t.Fatal(err)
			}
			c := newConsentServer(t, provider, email)
			token, key := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "key")
			apptest.WriteFile(t, token, "canary-refresh-"+email)
			late := place.prepare(t, f)
			s := startStack(t, provider, f)
			if late != nil {
				late()
			}
			before := apptest.ReadAll(t, f.Accounts)
			for _, method := range []string{"browser", "device"} {
				_, err := authorize(t, c.command(f, method), func(address string, _ io.Writer) { t.Errorf("%s: a person is asked to open %s", method, address) })
				if err == nil || !strings.Contains(err.Error(), place.want) {
					t.Errorf("authorize by %s: %v", method, err)
				}
			}
			port := provider.Addr("outlook")
			for _, args := range [][]string{
				{"accounts", "add", email, "--client-id", "sandbox-client-outlook", "--refresh-token-file", token, "--oauth-token-url", provider.TokenURL(),
					"--oauth-endpoint", "localhost" + port[strings.LastIndexByte(port, ':'):]},
				{"accounts", "remove", "user@gmail.com"},
				{"accounts", "seal", "--new-key", key},
			} {
				apptest.CheckParts(t, mustRun(t, exitFailure, with(f, args...)...), place.want)
			}
			if _, err := os.Stat(key); err == nil {
				t.Error("a key is left that nothing is sealed with")
			}
			for _, r := range [][3]string{
				{"POST", "/admin/accounts", s.Request(email, "")},
				{"POST", "/admin/accounts/batch", "[" + s.Request(email, "") + "]"},
				{"DELETE", "/admin/accounts/user@gmail.com", ""},
				{"DELETE", "/admin/accounts/invalid", ""},
				{"DELETE", "/admin/accounts?confirm=true", ""},
			} {
				s.Want(500, []string{place.want}, r[0], r[1], r[2])
			}
			if st := provider.AccountStats(email); st.TokensIssued != 0 || st.Logins != 0 {
				t.Errorf("the provider was asked: %+v", st)
			}
			if st := provider.AccountStats("user@gmail.com"); st.TokensIssued != 0 {
				t.Errorf("a token was fetched to find out what to delete: %+v", st)
			}
			if after := apptest.ReadAll(t, f.Accounts); after != before {
				t.Errorf("the file became\n%s", after)
			}
		})
	}
}

// TestMountedAccountsAreSaved has an accounts file that is mounted by itself, and
// a state directory: all commands work, and a running proxy notices them.
func TestMountedAccountsAreSaved(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	const email = "new@outlook.com"
	provider, f := apptest.NewSandbox(t, "user@gmail.com")
	if err := provider.AddAccount(apptest.Account(email)); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	mountAccounts(t, f, state)
	c := newConsentServer(t, provider, email)
	text, err := authorize(t, c.command(f, "browser"), func(address string, _ io.Writer) { browse(t, address, true) })
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "2 of 2 accounts work")
	s := startStack(t, provider, f)
	mustRun(t, 0, with(f, "accounts", "remove", email)...)
	s.WaitLog(1, `"msg":"reloaded"`, `"cause":"file"`, `"removed":1`)
	s.Want(200, []string{`"total_accounts":2`}, "POST", "/admin/accounts", s.Request(email, ""))
	s.Want(200, []string{`"total_accounts":1`}, "DELETE", "/admin/accounts/"+email, "")
	if strings.Contains(s.Log.Text(), "reload refused") {
		t.Error("the proxy read a file that was half written")
	}
	entries, err := os.ReadDir(state)
	if err != nil || len(entries) != 2 || entries[0].Name() != "admin.sock" || entries[1].Name() != "quota.db" {
		t.Errorf("in the state directory are %v, %v", entries, err)
	}
}

// TestTornAccountsAreFinished has an accounts file that a writer was killed over:
// every command that reads it, the start and a reload finish it first.
func TestTornAccountsAreFinished(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	one := func(email string) string {
		return `{"email": "` + email + `", "provider": "outlook", "client_id": "c", "refresh_token": "canary-` + email + `"}`
	}
	before, after := "["+one("a@outlook.com")+"]\n", "["+one("b@outlook.com")+",\n"+one("c@outlook.com")+"]\n"
	for _, read := range []struct {
		name string
		read func(f sandbox.ProxyFiles)
	}{
		{"check", func(f sandbox.ProxyFiles) {
			apptest.CheckParts(t, mustRun(t, 0, with(f, "check")...), "2 accounts: the files are fine", "a save had been cut off and was finished")
		}},
		{"accounts list", func(f sandbox.ProxyFiles) {
			apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "list")...), "c@outlook.com")
		}},
		{"a change", func(f sandbox.ProxyFiles) {
			mustRun(t, 0, with(f, "accounts", "remove", "--dry-run", "c@outlook.com")...)
		}},
		{"start", func(f sandbox.ProxyFiles) { startCommand(t, f).kill() }},
	} {
		t.Run(read.name, func(t *testing.T) {
			_, f := apptest.NewSandbox(t)
			state := t.TempDir()
			mountAccounts(t, f, state)
			pending := filepath.Join(state, "accounts.json.pending")
			apptest.WriteFile(t, f.Accounts, after[:len(before)/2]+before[len(before)/2:])
			apptest.WriteFile(t, pending+".previous", before)
			apptest.WriteFile(t, pending, after)
			read.read(f)
			if text := apptest.ReadAll(t, f.Accounts); text != after {
				t.Errorf("the file is\n%s", text)
			}
			if _, err := os.Stat(pending); err == nil {
				t.Error("the copy is still there")
			}
		})
	}
	t.Run("reload", func(t *testing.T) {
		provider, f := apptest.NewSandbox(t)
		state := t.TempDir()
		apptest.WriteFile(t, f.Accounts, before)
		mountAccounts(t, f, state)
		s := startStack(t, provider, f)
		pending := filepath.Join(state, "accounts.json.pending")
		apptest.WriteFile(t, pending+".previous", before)
		apptest.WriteFile(t, pending+".new", after)
		if err := os.Rename(pending+".new", pending); err != nil { // whole or not at all: the proxy looks for it
			t.Fatal(err)
		}
		file, err := os.OpenFile(f.Accounts, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte(after[:len(before)/2]), 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		s.WaitLog(1, `"msg":"reloaded"`, `"cause":"file"`, `"added":2`, `"removed":1`)
		if strings.Contains(s.Log.Text(), "reload refused") {
			t.Error("the half-written file was read")
		}
	})
	t.Run("changed by another", func(t *testing.T) {
		_, f := apptest.NewSandbox(t)
		state := t.TempDir()
		mountAccounts(t, f, state)
		pending := filepath.Join(state, "accounts.json.pending")
		mine := "[" + one("mine@outlook.com") + "]\n"
		apptest.WriteFile(t, f.Accounts, mine)
		apptest.WriteFile(t, pending+".previous", before)
		apptest.WriteFile(t, pending, after)
		apptest.CheckParts(t, mustRun(t, exitConfig, with(f, "check")...), "was changed after a save had been cut off", pending)
		if apptest.ReadAll(t, f.Accounts) != mine || apptest.ReadAll(t, pending) != after {
			t.Error("one of the two files was changed")
		}
	})
}

// TestConsentIsKept has the disk fill up while a person consents: the refresh
// token is kept elsewhere, and accounts import brings it into the file.
func TestConsentIsKept(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed %v", sealed), func(t *testing.T) {
			const email = "user@outlook.com"
			provider, f := apptest.NewSandbox(t, email)
			c := newConsentServer(t, provider, email)
			key := filepath.Join(t.TempDir(), "key")
			settings := fmt.Sprintf(`{"upstream": {"ca_file": %q}}`, filepath.Join(t.TempDir(), "ca.pem"))
			if sealed {
				mustRun(t, 0, with(f, "accounts", "seal", "--new-key", key)...)
				settings = fmt.Sprintf(`{"secrets": {"key": "file:%s"}, %s`, key, settings[1:])
			}
			if _, err := provider.WriteCA(filepath.Dir(settingsCA(settings))); err != nil {
				t.Fatal(err)
			}
			dir, home := filepath.Dir(f.Accounts), t.TempDir()
			t.Setenv("HOME", home)
			testmount.Disk(t, dir, "1m")
			apptest.WriteFile(t, f.Accounts, "[]")
			apptest.WriteFile(t, f.Config, settings)
			var empty func()
			text, err := authorize(t, c.command(f, "browser"), func(address string, _ io.Writer) {
				empty = testmount.Fill(t, dir)
				browse(t, address, true)
			})
			if err == nil || !strings.Contains(err.Error(), "no space left") {
				t.Fatalf("%v\n%s", err, text)
			}
			kept, _ := filepath.Glob(filepath.Join(home, "unsaved-accounts-*.json"))
			if len(kept) != 1 {
				t.Fatalf("kept are %q, after %v", kept, err)
			}
			apptest.CheckParts(t, err.Error(), "accounts import --overwrite --accounts "+f.Accounts+" --config "+f.Config+" "+kept[0])
			if info, err := os.Stat(kept[0]); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			if sealed {
				apptest.CheckCanaries(t, "the kept file", apptest.ReadAll(t, kept[0]))
			}
			empty()
			apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "import", "--overwrite", kept[0])...), "1 added, 0 replaced, 0 wrong")
			apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "1 of 1 accounts work")
		})
	}
}

// settingsCA is the ca_file in a text of settings.
func settingsCA(text string) string {
	_, rest, _ := strings.Cut(text, `"ca_file": "`)
	path, _, _ := strings.Cut(rest, `"`)
	return path
}

// TestImportCompletesWhatIsThere imports an account that lacks what the file has.
func TestImportCompletesWhatIsThere(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@gmail.com")
	list := filepath.Join(t.TempDir(), "list.json")
	apptest.WriteFile(t, list, `[{"email": "user@gmail.com", "refresh_token": "canary-new"}]`)
	mustRun(t, exitFailure, with(f, "accounts", "import", list)...)
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "import", "--overwrite", list)...), "0 added, 1 replaced, 0 wrong")
	text := apptest.ReadAll(t, f.Accounts)
	apptest.CheckParts(t, text, `"canary-new"`, `"canary-secret-gmail"`)
	if _, _, _, err := config.Load(f.Config, f.Accounts, nil); err != nil {
		t.Error(err)
	}
}
