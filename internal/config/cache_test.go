package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/seal"
)

// TestCacheOfAccounts reloads two files as they change: an account is another one
// when its text, or what else it is made of, has changed, and only then.
func TestCacheOfAccounts(t *testing.T) {
	dir := t.TempDir()
	keys := [2]string{seal.GenerateKey(), seal.GenerateKey()}
	ring, err := seal.ParseKeyring(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ring.Seal("sealed-token", "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "key", keys[0])
	write(t, dir, "token", "token-0")
	t.Setenv("CONFIG_TEST_TOKEN", "token-0")
	const plain = `{"email": "%s@example.com", "provider": "outlook", "client_id": "id", "refresh_token": "%s"}`
	lines := []string{
		fmt.Sprintf(plain, "first", "token"), fmt.Sprintf(plain, "plain", "token"), fmt.Sprintf(plain, "sealed", sealed),
		fmt.Sprintf(plain, "file", "file:"+dir+"/token"), fmt.Sprintf(plain, "env", "env:CONFIG_TEST_TOKEN"), fmt.Sprintf(plain, "last", "token"),
	}
	accounts := func() string { return "[\n" + strings.Join(lines, ",\n") + "\n]" }
	conf := func(more string) string {
		return fmt.Sprintf(`{"secrets": {"key": "file:%s/key"}, %s}`, dir, more)
	}
	configFile, accountsFile := write(t, dir, "config.json", conf(`"_": 0`)), write(t, dir, "accounts.json", accounts())

	m := new(accountfile.Cache)
	_, before, _, err := Load(configFile, accountsFile, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		change  func()
		changed string // accounts
	}{
		{"nothing", func() {}, ""},
		{"white space and a comment", func() { lines[1] = "// x\n  " + lines[1] }, ""},
		{"an account", func() { lines[5] = fmt.Sprintf(plain, "last", "token-1") }, "last"},
		{"the order", func() { lines[1], lines[5] = lines[5], lines[1] }, ""},
		{"an account less and one more", func() { lines[1] = fmt.Sprintf(plain, "more", "token") }, "more"},
		{"a file that is referred to", func() { write(t, dir, "token", "token-1") }, "file"},
		{"the environment", func() { t.Setenv("CONFIG_TEST_TOKEN", "token-1") }, "env"},
		{"a file that is named", func() {
			write(t, dir, "ca.pem", "")
			lines[1] = fmt.Sprintf(plain, "more", `token", "oauth_ca_file": "`+dir+"/ca.pem")
		}, "more"},
		{"a provider", func() { write(t, dir, "config.json", conf(`"providers": {"outlook": {"max_recipients": 3}}`)) }, "first plain sealed file env more"},
	} {
		tt.change()
		write(t, dir, "accounts.json", accounts())
		_, after, _, err := Load(configFile, accountsFile, m)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		_, cold, _, err := Load(configFile, accountsFile, nil)
		if err != nil {
			t.Fatal(err)
		}
		var changed []string
		for i, a := range after.All() {
			if was, ok := before.ByID(a.ID); !ok || was != a {
				local, _, _ := strings.Cut(a.Email, "@")
				changed = append(changed, local)
			}
			if !a.Equal(cold.All()[i]) {
				t.Errorf("%s: account %d is %+v, want %+v", tt.name, i, a, cold.All()[i])
			}
		}
		slices.Sort(changed)
		want := strings.Fields(tt.changed)
		slices.Sort(want)
		if !slices.Equal(changed, want) {
			t.Errorf("%s: other accounts are %q, want %q", tt.name, changed, want)
		}
		if tt.name == "nothing" && after != before {
			t.Error("another snapshot, though nothing changed")
		}
		before = after
	}
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	leftOut := func(what, says string) {
		t.Helper()
		_, after, _, err := Load(configFile, accountsFile, m)
		if err != nil || len(after.LeftOut()) != 1 || !strings.Contains(after.LeftOut()[0].Err.Error(), says) {
			t.Errorf("%s: %v, %v", what, after, err)
		}
	}
	leftOut("without a file that is named", "oauth_ca_file: cannot be read")
	write(t, dir, "key", keys[1])
	write(t, dir, "ca.pem", "")
	leftOut("with another key", "accounts[2].refresh_token: the value was sealed with another key")
}

// TestCacheOfEdits edits a file that a program has loaded: what the edit gives is
// what the next reload gives.
func TestCacheOfEdits(t *testing.T) {
	dir := t.TempDir()
	accountsFile := write(t, dir, "accounts.json", `{"accounts": [
		{"email": "a@example.com", "provider": "outlook", "client_id": "id", "refresh_token": "token"},
		{"email": "b@example.com", "provider": "outlook", "client_id": "id", "refresh_token": "token"}
	]}`)
	configFile := write(t, dir, "config.json", "{}")
	m := new(accountfile.Cache)
	settings, before, _, err := Load(configFile, accountsFile, m)
	if err != nil {
		t.Fatal(err)
	}
	add := func(email string) func(*accountfile.List) error {
		e := new(accountfile.Entry)
		for _, kv := range [][2]string{{"email", email}, {"provider", "outlook"}, {"client_id", "c"}, {"refresh_token", "r"}} {
			e.Set(kv[0], kv[1])
		}
		return func(l *accountfile.List) error { return l.Add(e) }
	}
	edited, err := accountfile.Edit(settings.Accounts(), accountfile.EditOptions{Cache: m}, add("c@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if edited.Len() != 3 || edited.All()[0] != before.All()[0] || edited.All()[1] != before.All()[1] {
		t.Errorf("accounts %v, before %v", edited.All(), before.All())
	}
	if _, after, _, err := Load(configFile, accountsFile, m); err != nil || after != edited {
		t.Errorf("the next reload gives other accounts than the edit, %v", err)
	}
	if _, err := accountfile.Edit(settings.Accounts(), accountfile.EditOptions{Cache: m}, add("nobody")); err == nil {
		t.Error("a bad edit is made")
	}
}
