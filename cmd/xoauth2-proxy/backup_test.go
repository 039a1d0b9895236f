package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// newHost writes a config.json for a proxy with other paths, whose files are not there yet.
func newHost(t *testing.T, f sandbox.ProxyFiles) (next sandbox.ProxyFiles) {
	t.Helper()
	dir := t.TempDir()
	next = sandbox.ProxyFiles{Config: filepath.Join(dir, "config.json"), Accounts: filepath.Join(dir, "var", "a.json"), CA: f.CA}
	apptest.WriteFile(t, next.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "state_dir": "%s/state", "secrets": {"key": "file:%s/key"}, "oauth": {"token_store": "%s/state/t.db"}}`,
		f.CA, dir, dir, dir))
	return next
}

// withState gives the proxy a state directory.
func withState(t *testing.T, f sandbox.ProxyFiles) {
	t.Helper()
	replaceIn(t, f.Config, `{"upstream"`, fmt.Sprintf(`{"state_dir": "%s/state", "upstream"`, filepath.Dir(f.Config)))
}

// TestBackupOfARunningProxy makes a backup beside a proxy whose refresh tokens are good for
// one use, and restores it on another host, where the proxy then sends.
func TestBackupOfARunningProxy(t *testing.T) {
	_, f, key := sealedFiles(t)
	withState(t, f)
	p := startCommand(t, f)
	send := func(p *command, subject string) {
		t.Helper()
		if err := apptest.Deliver(p.addr, rotated, "x", subject); err != nil {
			t.Error(err)
		}
	}
	send(p, "before")
	archive := filepath.Join(t.TempDir(), "archive")
	apptest.CheckParts(t, mustRun(t, 0, with(f, "backup", archive)...), "accounts:    "+f.Accounts, "token store: ", "counts:      ",
		"orders:      none", keysIn(t, key)[0]+" is not in the archive", archive+" is whole", "dead in it")
	apptest.CheckParts(t, mustRun(t, exitFailure, with(f, "backup", archive)...), "is there already", "not overwritten")
	if said := mustRun(t, 0, with(f, "backup", "--overwrite", archive)...); strings.Contains(said, "clear text") {
		t.Error(said)
	}
	for _, args := range [][]string{{"restore", archive}, {"restore", "--overwrite", archive}, {"move", "--to-config", f.Config, "--to-accounts", f.Accounts + ".new"}} {
		apptest.CheckParts(t, mustRun(t, exitFailure, with(f, args...)...), "runs: stop it first", fmt.Sprint(p.Cmd.Process.Pid))
	}
	p.end(syscall.SIGTERM)

	next := newHost(t, f)
	apptest.CheckParts(t, mustRun(t, exitConfig, with(next, "restore", archive)...), "secrets.key", "no such file")
	apptest.CheckParts(t, mustRun(t, exitConfig, with(next, "restore", "--with-key", archive)...), "no such file")
	apptest.CheckParts(t, mustRun(t, 0, with(f, "backup", "--overwrite", "--with-key", archive)...), "key:         "+key, "clear text")
	apptest.CheckParts(t, mustRun(t, 0, with(next, "restore", "--with-key", archive)...), "accounts:    "+next.Accounts, "must be authorized again")
	apptest.CheckParts(t, mustRun(t, 0, with(next, "restore", "--with-key", archive)...), next.Accounts+" is right already")
	mustRun(t, 0, with(next, "check")...)
	p = startCommand(t, next)
	send(p, "after")
	p.end(syscall.SIGTERM)
	apptest.CheckParts(t, mustRun(t, exitFailure, with(next, "restore", archive)...), "cannot restore: nothing was changed", "token store: ", "--overwrite")
}

// TestMoveOfAProxy moves all files of a stopped proxy to other paths, where it then sends.
func TestMoveOfAProxy(t *testing.T) {
	_, f, key := sealedFiles(t)
	withState(t, f)
	next := newHost(t, f)
	args := with(f, "move", "--to-config", next.Config, "--to-accounts", next.Accounts)
	apptest.CheckParts(t, mustRun(t, 0, args...), "accounts:    "+next.Accounts, "key:         ", "Start the proxy with --config "+next.Config)
	for _, path := range []string{key, f.Accounts, filepath.Join(filepath.Dir(f.Config), "state", "tokens.db")} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	apptest.CheckParts(t, mustRun(t, 0, args...), "nothing is left to move")
	var odd []string
	err := filepath.WalkDir(filepath.Dir(next.Config), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != next.Config {
			info, err := d.Info()
			if err != nil || info.Mode().Perm() != 0o600 {
				odd = append(odd, path)
			}
		}
		return err
	})
	if err != nil || len(odd) > 0 {
		t.Errorf("%q have another mode, %v", odd, err)
	}
	apptest.CheckParts(t, mustRun(t, 0, with(next, "accounts", "verify")...), "1 of 1 accounts work")
	p := startCommand(t, next)
	if err := apptest.Deliver(p.addr, rotated, "x", "moved"); err != nil {
		t.Error(err)
	}
}

// TestRestoreOfWhatIsNone gives the command files that are no archives, as root would by
// mistake.
func TestRestoreOfWhatIsNone(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@gmail.com")
	before := apptest.ReadAll(t, f.Accounts)
	for _, path := range []string{f.Accounts, f.Config, "/dev/null"} {
		apptest.CheckParts(t, mustRun(t, exitFailure, with(f, "restore", "--overwrite", path)...), path+": the archive is damaged")
	}
	apptest.CheckParts(t, mustRun(t, exitFailure, with(f, "restore", filepath.Join(t.TempDir(), "none"))...), "no such file")
	if apptest.ReadAll(t, f.Accounts) != before {
		t.Error("the accounts have changed")
	}
}
