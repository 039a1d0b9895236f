package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/seal"
)

const rotated = "user@outlook.com"

// sealedFiles starts a provider with one-time refresh tokens, and writes files for a
// proxy whose accounts and token store are sealed with the key in a file. The store
// has the account's newest refresh token.
func sealedFiles(t *testing.T) (provider *sandbox.Server, f sandbox.ProxyFiles, key string) {
	t.Helper()
	provider, f = oneTimeTokens(t, rotated)
	dir := filepath.Dir(f.Config)
	key = filepath.Join(dir, "seal.key")
	mustRun(t, 0, with(f, "accounts", "seal", "--new-key", key)...)
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "file:%s"}, "oauth": {"token_store": %q}}`,
		f.CA, key, filepath.Join(dir, "state", "tokens.db")))
	mustRun(t, 0, with(f, "accounts", "verify")...)
	return provider, f, key
}

// keysIn returns the names of the keys in a file.
func keysIn(t *testing.T, path string) []string {
	t.Helper()
	kr, err := seal.LoadKeyring("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{kr.ID()}, kr.OldIDs()...)
}

// checkRotated wants one key in the file, other than was, and all secrets sealed with
// it: the account works with it alone.
func checkRotated(t *testing.T, f sandbox.ProxyFiles, key, was string) {
	t.Helper()
	keys := keysIn(t, key)
	if len(keys) != 1 || keys[0] == was {
		t.Errorf("the keys are %v, the old one was %s", keys, was)
	}
	if text := apptest.ReadAll(t, f.Accounts); strings.Contains(text, was) || !strings.Contains(text, "sealed:v2:"+keys[0]) {
		t.Errorf("the accounts are not sealed with %s:\n%s", keys[0], text)
	}
	mustRun(t, 0, with(f, "check")...)
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "1 of 1 accounts work")
}

// TestRotateKey replaces the key without a running proxy, whole and after it was cut
// off at each step: the next run goes on, and makes no further key.
func TestRotateKey(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, f sandbox.ProxyFiles, key string){
		"at the beginning": func(*testing.T, sandbox.ProxyFiles, string) {},
		"after the new key": func(t *testing.T, _ sandbox.ProxyFiles, key string) {
			if err := durable.Change(key, seal.WithNewKey); err != nil {
				t.Fatal(err)
			}
		},
		"after the accounts": func(t *testing.T, f sandbox.ProxyFiles, key string) {
			if err := durable.Change(key, seal.WithNewKey); err != nil {
				t.Fatal(err)
			}
			mustRun(t, 0, with(f, "accounts", "seal")...)
		},
		"before the old key is dropped": func(t *testing.T, f sandbox.ProxyFiles, key string) {
			mustRun(t, 0, with(f, "rotate-key", "--keep-old")...)
			if keys := keysIn(t, key); len(keys) != 2 {
				t.Fatalf("the keys are %v", keys)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, f, key := sealedFiles(t)
			apptest.WriteFile(t, key, "# a comment\n"+apptest.ReadAll(t, key))
			if err := os.Chmod(key, 0o440); err != nil {
				t.Fatal(err)
			}
			was := keysIn(t, key)[0]
			before(t, f, key)
			front := keysIn(t, key)[0]
			apptest.CheckParts(t, mustRun(t, 0, with(f, "rotate-key")...), "secrets sealed with key", "token store: sealed with key", was+" removed from "+key, "The key is replaced")
			checkRotated(t, f, key, was)
			if now := keysIn(t, key)[0]; front != was && now != front {
				t.Errorf("%s was made although %s was new", now, front)
			}
			if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o440 || !strings.Contains(apptest.ReadAll(t, key), "# a comment") {
				t.Errorf("%v, %v", info.Mode(), err)
			}
		})
	}
}

// TestRotateKeyOfARunningProxy replaces the key under a proxy that has the token store
// open: no restart is needed, and the store opens with the new key alone.
func TestRotateKeyOfARunningProxy(t *testing.T) {
	provider, f, key := sealedFiles(t)
	was := keysIn(t, key)[0]
	s := startStack(t, provider, f)
	send := func(s *stack, subject string) {
		t.Helper()
		c, err := s.Client(rotated)
		if err != nil {
			t.Fatal(err)
		}
		if err := apptest.Send(c, subject); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	}
	send(s, "before")
	apptest.CheckParts(t, mustRun(t, 0, with(f, "rotate-key")...), "proxy:       pid", "token store: sealed with key", "The key is replaced")
	send(s, "after")
	checkRotated(t, f, key, was) // the running proxy verifies, and so saves a token
	s.End()
	checkRotated(t, f, key, was)
	send(startStack(t, provider, f), "with the new key alone")
}

// TestRotateKeyKeepsWhatIsNeeded has values that only the old key opens: it stays, and
// the command names the file.
func TestRotateKeyKeepsWhatIsNeeded(t *testing.T) {
	_, f, key := sealedFiles(t)
	was := keysIn(t, key)[0]
	for _, path := range []string{filepath.Join(filepath.Dir(f.Accounts), "unsaved-accounts-1.json"), filepath.Join(filepath.Dir(f.Accounts), "state", "unsaved-accounts-2.json")} {
		apptest.WriteFile(t, path, `[{"email": "`+rotated+`", "refresh_token": "sealed:v2:`+was+`:AAAA"}]`)
		apptest.CheckParts(t, mustRun(t, exitFailure, with(f, "rotate-key")...), path, was, "run this command again")
		if keys := keysIn(t, key); len(keys) != 2 || keys[1] != was {
			t.Fatalf("the keys are %v", keys)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	mustRun(t, 0, with(f, "rotate-key")...)
	checkRotated(t, f, key, was)
}

// TestRotateKeyElsewhere has the key in the environment, which a command cannot change:
// it says what to do, and does the rest.
func TestRotateKeyElsewhere(t *testing.T) {
	_, f, key := sealedFiles(t)
	was := keysIn(t, key)[0]
	old := apptest.ReadAll(t, key)
	replaceIn(t, f.Config, "file:"+key, "env:TEST_SEAL_KEY")
	t.Setenv("TEST_SEAL_KEY", old)
	apptest.CheckParts(t, mustRun(t, exitFailure, with(f, "rotate-key")...), "env:TEST_SEAL_KEY", "in front of the old one")
	next := seal.WithNewKey("")
	t.Setenv("TEST_SEAL_KEY", next+old)
	apptest.CheckParts(t, mustRun(t, 0, with(f, "rotate-key")...), "nothing needs "+was+" any more: remove it from env:TEST_SEAL_KEY")
	t.Setenv("TEST_SEAL_KEY", next)
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "1 of 1 accounts work")
	apptest.WriteFile(t, f.Config, "{}")
	apptest.CheckParts(t, mustRun(t, exitUsage, with(f, "rotate-key")...), "there is no key to replace")
}

// TestCheckReadsTheTokenStore drops the old key too early: check says so, and changes
// nothing.
func TestCheckReadsTheTokenStore(t *testing.T) {
	provider, f, key := sealedFiles(t)
	mustRun(t, 0, with(f, "check")...)
	old := apptest.ReadAll(t, key)
	apptest.WriteFile(t, key, seal.WithNewKey(old))
	mustRun(t, 0, with(f, "accounts", "seal")...)
	mustRun(t, 0, with(f, "check")...)
	both := apptest.ReadAll(t, key)
	apptest.WriteFile(t, key, seal.WithoutOldKeys(both))
	apptest.CheckParts(t, mustRun(t, exitConfig, with(f, "check")...), "oauth.token_store: ", "sealed with another key")
	apptest.WriteFile(t, key, both)
	startStack(t, provider, f)
	mustRun(t, 0, with(f, "check")...) // the proxy has the store
}

// TestSealWithANewKeyBesideAnOldOne: the old key opens what is there, and the new file
// has both, so that no secret is lost.
func TestSealWithANewKeyBesideAnOldOne(t *testing.T) {
	for name, flag := range map[string]bool{"secrets.key": false, "--key": true} {
		t.Run(name, func(t *testing.T) {
			_, f, key := sealedFiles(t)
			args := with(f, "accounts", "seal", "--new-key", key+".new")
			if flag {
				apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "oauth": {"token_store": %q}}`, f.CA, filepath.Join(filepath.Dir(f.Config), "state", "tokens.db")))
				args = append(args, "--key", "file:"+key)
			}
			mustRun(t, 0, append(args, "--dry-run")...)
			apptest.CheckParts(t, mustRun(t, 0, args...), "1 secrets sealed with key")
			if keys := keysIn(t, key+".new"); len(keys) != 2 || keys[1] != keysIn(t, key)[0] {
				t.Fatalf("the keys are %v", keys)
			}
			apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "secrets": {"key": "file:%s.new"}, "oauth": {"token_store": %q}}`,
				f.CA, key, filepath.Join(filepath.Dir(f.Config), "state", "tokens.db")))
			mustRun(t, 0, with(f, "rotate-key")...)
			checkRotated(t, f, key+".new", keysIn(t, key)[0])
		})
	}
}
