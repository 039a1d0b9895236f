package accountfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/seal"
)

// TestRescue has each place for rescued accounts in turn not take them: the next one
// does. The list is private, sealed with a key, and an import reads it.
func TestRescue(t *testing.T) {
	keys, err := seal.ParseKeyring(seal.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, sealed := range []bool{false, true} {
		dir := t.TempDir()
		blocked := filepath.Join(dir, "file") // no directory can be there
		if err := os.WriteFile(blocked, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		in := func(name string) string {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			return path
		}
		state, beside, home, tmp := in("state"), in("beside"), in("home"), in("tmp")
		for _, tt := range []struct{ state, beside, home, want string }{
			{state, beside, home, state},
			{"", beside, home, beside},
			{blocked, beside, home, beside},
			{blocked, blocked, home, home},
			{blocked, blocked, blocked, tmp},
		} {
			t.Setenv("HOME", tt.home)
			t.Setenv("TMPDIR", tmp)
			b := testBasis()
			b.Path = filepath.Join(tt.beside, "accounts.json")
			b.StateDir = tt.state
			if sealed {
				b.Keys = keys
			}
			e := new(Entry)
			for _, kv := range [][2]string{{"email", "user@outlook.com"}, {"provider", "outlook"}, {"client_id", "c"}, {"refresh_token", "canary-new"}} {
				e.Set(kv[0], kv[1])
			}
			path, err := Rescue(b, []*Entry{e, e})
			if err != nil || filepath.Dir(path) != tt.want {
				t.Fatalf("%+v: %q, %v", tt, path, err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			text, err := os.ReadFile(path)
			if err != nil || strings.Contains(string(text), "canary") == sealed {
				t.Errorf("sealed %t: %s, %v", sealed, text, err)
			}
			list, err := ReadImport(b, text, ImportOptions{})
			if err != nil || len(list) != 2 || list[0].Err != nil || list[0].Entry.Email() != "user@outlook.com" {
				t.Errorf("imported are %+v, %v", list, err)
			}
		}
	}
}
