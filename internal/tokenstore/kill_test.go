package tokenstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/oauth"
)

// The environment of a process that rotates tokens until it is killed.
const (
	childURL  = "TOKENSTORE_TEST_URL"
	childPath = "TOKENSTORE_TEST_PATH"
	childKey  = "TOKENSTORE_TEST_KEY"
)

const killAccounts = 20

func killAccount(i int, tokenURL string) *account.Account {
	email := fmt.Sprintf("user%d@outlook.com", i)
	return &account.Account{ID: fmt.Sprint("acct", i), Email: email, Provider: "outlook", ClientID: "sandbox-client-outlook",
		TokenURL: tokenURL, RefreshToken: account.NewSecret("configured-" + email)}
}

// rotate is what the process does: every account is refreshed, again and again,
// and each rotation that is done is told by a line on standard output.
func rotate() int {
	keys, err := seal.LoadKeyring("env:" + childKey)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	store, err := Open(Config{Path: os.Getenv(childPath), Keys: keys, LockTimeout: 10 * time.Second})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cfg := oauth.DefaultConfig()
	cfg.Store = store
	m := oauth.New(cfg, nil, nil)
	var wg sync.WaitGroup
	for i := range killAccounts {
		a := killAccount(i, os.Getenv(childURL))
		wg.Go(func() {
			for {
				if err := m.ForceRefresh(context.Background(), a); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				if _, err := os.Stdout.WriteString(strconv.Itoa(i) + "\n"); err != nil {
					os.Exit(1) // whom are we to tell
				}
			}
		})
	}
	wg.Wait()
	return 0
}

// TestKill kills a process that rotates refresh tokens, at random moments, until
// a thousand were rotated. Each time, every account's store must have the newest
// refresh token that the provider issued: at most a token that was still on its
// way may be missing. The newest one is used after the restart.
func TestKill(t *testing.T) {
	var accounts []sandbox.Account
	for i := range killAccounts {
		a := killAccount(i, "")
		accounts = append(accounts, sandbox.Account{ID: a.ID, Email: a.Email, ClientID: a.ClientID, RefreshToken: a.RefreshToken.Reveal()})
	}
	box, err := sandbox.New(sandbox.Config{Accounts: accounts})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	path, key := filepath.Join(t.TempDir(), "tokens.db"), seal.GenerateKey()
	acked := make([]int64, killAccounts)
	kills, rotations := 0, 0
	for rotations < 1000 {
		rotations += rotateAndKill(t, box.TokenURL(), path, key, 1+rand.N(80), acked)
		kills++
		verifyAfterKill(t, box, path, keyring(t, key), acked)
		if t.Failed() {
			t.Fatalf("after %d kills and %d rotations", kills, rotations)
		}
	}
	t.Logf("%d kills, %d rotations", kills, rotations)
}

// rotateAndKill runs the process until it has done n rotations, and counts all
// that it told of.
func rotateAndKill(t *testing.T, tokenURL, path, key string, n int, acked []int64) (done int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childURL+"="+tokenURL, childPath+"="+path, childKey+"="+key)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		i, err := strconv.Atoi(lines.Text())
		if err != nil || i >= killAccounts {
			break // a line that was cut
		}
		acked[i]++
		if done++; done == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); done < n || !ok || exit.ExitCode() != -1 {
		t.Fatalf("the process ended by itself after %d rotations: %v\n%s", done, err, complaint.String())
	}
	return done
}

// verifyAfterKill looks into the store, and lets a manager use it.
func verifyAfterKill(t *testing.T, box *sandbox.Server, path string, keys *seal.Keyring, acked []int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := box.WaitHTTPQuiet(ctx); err != nil { // the provider may yet be reading what the process asked for
		t.Fatal(err)
	}
	store := mustOpen(t, path, keys)
	defer store.Close()
	cfg := oauth.DefaultConfig()
	cfg.Store = store
	m := oauth.New(cfg, nil, nil)
	defer m.Close()
	for i := range killAccounts {
		a := killAccount(i, box.TokenURL())
		issued := box.AccountStats(a.Email).TokenRotations
		r, _, err := store.Load(oauth.ChainOf(a))
		if err != nil {
			t.Fatal(err)
		}
		newest := r.Refresh.Reveal()
		if r.Refresh.IsZero() {
			newest = a.RefreshToken.Reveal()
		}
		valid := box.RefreshTokens(a.Email)
		stored := issued - int64(len(valid)-1-slices.Index(valid, newest))
		if !slices.Contains(valid, newest) || stored < acked[i] || issued-stored > 1 {
			t.Errorf("%s: rotation %d is stored; %d were issued and %d known to be done", a.ID, stored, issued, acked[i])
			continue
		}
		if err := m.ForceRefresh(t.Context(), a); err != nil || box.UsedRefreshToken(a.Email) != newest {
			t.Errorf("%s: another refresh token than the stored one was used (%v)", a.ID, err)
		}
		acked[i] = box.AccountStats(a.Email).TokenRotations
	}
}
