package app

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/apptest"
)

// TestReloadByChangedSecret changes the file that a refresh token is in, as a
// program that hands out secrets does: in place, by renaming, and by another
// target of a symbolic link. Each time the new secret gets the tokens.
func TestReloadByChangedSecret(t *testing.T) {
	const email = "user@outlook.com"
	provider, f := apptest.NewSandbox(t, email)
	dir := t.TempDir()
	first, second := filepath.Join(dir, "v1"), filepath.Join(dir, "v2")
	for _, d := range []string{first, second} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	if err := os.Symlink(first, data); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(data, "token")
	apptest.WriteFile(t, secret, "canary-wrong-0")
	text := apptest.ReadAll(t, f.Accounts)
	token := provider.RefreshToken(email)
	if !strings.Contains(text, token) {
		t.Fatalf("no %q in the file", token)
	}
	apptest.WriteFile(t, f.Accounts, strings.Replace(text, token, "file:"+secret, 1))

	s := startStack(t, provider, f)
	s.Edit(func(*accountfile.List) error { return nil }) // changes nothing
	if _, err := s.Client(email); err == nil {
		t.Fatal("a wrong refresh token works")
	}
	apptest.WriteFile(t, secret, "canary-wrong-1")
	s.WaitLog(1, `"msg":"reloaded"`, `"cause":"file"`, `"changed":1`)
	if _, err := s.Client(email); err == nil {
		t.Fatal("another wrong refresh token works")
	}
	next := filepath.Join(first, "token.new")
	apptest.WriteFile(t, next, token+"\n")
	if err := os.Rename(next, secret); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(2, `"msg":"reloaded"`, `"cause":"file"`, `"changed":1`)
	c, err := s.Client(email)
	if err != nil {
		t.Fatalf("the new refresh token is not used: %v", err)
	}
	defer c.Close()
	if err := apptest.Send(c, "hello"); err != nil {
		t.Error(err)
	}

	apptest.WriteFile(t, filepath.Join(second, "token"), "canary-wrong-2")
	if err := os.Symlink(second, data+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(data+".new", data); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(3, `"msg":"reloaded"`, `"cause":"file"`, `"changed":1`)
	if _, err := s.Client(email); err == nil {
		t.Error("the refresh token behind the changed link is not used")
	}
	// A file that cannot be read changes nothing.
	if err := os.Remove(filepath.Join(second, "token")); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(1, `"msg":"reload refused, nothing was changed"`, "refresh_token")
}

func TestReferredIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts.json")
	apptest.WriteFile(t, path, `{"a": "file:/one", // "file:/in a comment"
		"b": ["file:relative", "env:X", "file:/with \"quotes\" and \u00e4", "profile:/x"], "c": "file:/unfinished
		"d": "file:/last"}`)
	want := []string{"/one", "/in a comment", `/with "quotes" and ä`, "/last"}
	if got := referredIn(path); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// Wherever the file is cut, and after a reference that is too long.
	var far []string
	text := `"file:/` + strings.Repeat("x", 2*referenceWindow)
	for i := range 2000 {
		far = append(far, fmt.Sprintf("/far/%d", i))
		text += `"file:` + far[i] + `"` + strings.Repeat(" ", i%97)
	}
	apptest.WriteFile(t, path, text+"\n")
	if got := referredIn(path); !slices.Equal(got, far) {
		t.Errorf("%d files, want %d: %.300q", len(got), len(far), got)
	}
	apptest.WriteFile(t, path, `"file:/without an end`)
	if got := append(referredIn(path), referredIn(path+".missing")...); got != nil {
		t.Errorf("%q", got)
	}
}

func TestAddDirs(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for _, d := range []string{in("a", "b"), in("c")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	apptest.WriteFile(t, in("a", "b", "file"), "x")
	for link, target := range map[string]string{in("c", "rel"): "../a/b/file", in("abs"): in("a"), in("loop"): "loop"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string][]string{
		in("a", "b", "file"):   {in("a", "b")},
		in("c", "rel"):         {in("a", "b"), in("c")},
		in("abs", "b", "file"): {dir, in("a", "b")},
		in("c", "missing"):     {in("c")},
		in("loop"):             {dir}, // it leads nowhere, and it ends
	} {
		dirs := make(map[string]bool)
		addDirs(dirs, path)
		if got := slices.Sorted(maps.Keys(dirs)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
