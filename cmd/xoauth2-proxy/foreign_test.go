package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// snapshotOf describes all that is in a directory: names, kinds, modes, contents.
func snapshotOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v", path, info.Mode())
		switch {
		case info.Mode()&os.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			b.WriteString(" to " + to)
		case info.Mode().IsRegular():
			b.WriteString(" " + apptest.ReadAll(t, path))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestForeignFilesStay has files of others, of all kinds, where the commands that
// write files want to write: they stay, no other file is written, the command
// names the file and fails.
func TestForeignFilesStay(t *testing.T) {
	kinds := map[string]func(path string) error{
		"text":          func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
		"accounts":      func(path string) error { return os.WriteFile(path, []byte(`{"accounts": []}`), 0o600) },
		"empty":         func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"read-only":     func(path string) error { return os.WriteFile(path, []byte("mine"), 0o400) },
		"directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"dangling link": func(path string) error { return os.Symlink("none", path) },
		"link to a file": func(path string) error {
			return errors.Join(os.WriteFile(path+".real", []byte("mine"), 0o600), os.Symlink(path+".real", path))
		},
	}
	_, f := apptest.NewSandbox(t, "user@gmail.com")
	for _, c := range []struct {
		name  string
		files []string
		args  func(dir string) []string
	}{
		{"sandbox", []string{"accounts.json", "config.json", "ca.pem"}, func(dir string) []string { return []string{"sandbox", "--dir", dir} }},
		{"demo", []string{"accounts.json", "config.json", "ca.pem"}, func(dir string) []string {
			return []string{"demo", "--dir", dir, "--port", "0", "--admin-port", "0", "--sandbox-port", "0"}
		}},
		{"accounts seal", []string{"new.key"}, func(dir string) []string {
			return with(f, "accounts", "seal", "--new-key", filepath.Join(dir, "new.key"))
		}},
	} {
		for _, file := range c.files {
			for kind, put := range kinds {
				t.Run(c.name+", "+file+", "+kind, func(t *testing.T) {
					dir := t.TempDir()
					if err := put(filepath.Join(dir, file)); err != nil {
						t.Fatal(err)
					}
					before := snapshotOf(t, dir)
					apptest.CheckParts(t, mustRun(t, exitFailure, c.args(dir)...), file)
					if after := snapshotOf(t, dir); after != before {
						t.Errorf("before:\n%safter:\n%s", before, after)
					}
				})
			}
		}
	}
}

// TestSandboxWritesItsFilesAgain starts sandboxes in one folder, one after the
// other, until an operator changes a file there.
func TestSandboxWritesItsFilesAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	start := func() (sandbox.ProxyFiles, error) {
		s, files, err := startSandbox(sandbox.Config{Accounts: sandbox.SampleAccounts(2)}, dir)
		if err == nil {
			err = s.Close()
		}
		return files, err
	}
	var last string
	for range 3 {
		files, err := start()
		if err != nil {
			t.Fatal(err)
		}
		apptest.CheckParts(t, mustRun(t, 0, with(files, "check")...), "2 accounts: the files are fine")
		if text := apptest.ReadAll(t, files.Accounts); text == last {
			t.Error("the accounts are those of the sandbox before")
		} else {
			last = text
		}
	}
	for _, name := range []string{"accounts.json", "config.json", "ca.pem"} {
		path := filepath.Join(dir, name)
		ours := apptest.ReadAll(t, path)
		apptest.WriteFile(t, path, ours+"\n")
		before := snapshotOf(t, dir)
		if _, err := start(); !errors.Is(err, sandbox.ErrInTheWay) || !strings.Contains(err.Error(), path+" is in the way: it was changed since") {
			t.Errorf("%s was edited: %v", name, err)
		}
		if after := snapshotOf(t, dir); after != before {
			t.Errorf("%s was edited: before:\n%safter:\n%s", name, before, after)
		}
		apptest.WriteFile(t, path, ours)
	}
	if _, err := start(); err != nil {
		t.Errorf("with all edits undone: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }) {
		t.Errorf("left over: %v, %v", entries, err)
	}
}
