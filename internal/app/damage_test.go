package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/testmount"
)

// TestStoresBreakWhileInUse cuts both files of a running proxy, as a failing disk or another
// program would. Tokens go on in memory, mail flows, and /ready says so; counts begin in a
// new file.
func TestStoresBreakWhileInUse(t *testing.T) {
	const user = "user@outlook.com"
	provider, f := apptest.NewSandbox(t, user)
	dir := t.TempDir()
	store := filepath.Join(dir, "tokens.db")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "state_dir": %q, "oauth": {"token_store": %q}}`, f.CA, dir, store))
	s := startStack(t, provider, f)
	c, err := s.Client(user)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.Want(200, []string{`"ready"`}, "GET", "/ready", "")
	for _, file := range []string{store, filepath.Join(dir, "quota.db")} {
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
	}
	account, ok := s.live.store.Load().ByLogin([]byte(user))
	if !ok {
		t.Fatal("no account")
	}
	if err := s.tokens.ForceRefresh(t.Context(), account); err != nil {
		t.Errorf("no token: %v", err)
	}
	if err := apptest.Send(c, "after the fault"); err != nil {
		t.Error(err)
	}
	s.Want(503, []string{"tokens are in memory only: ", "the file broke while it was in use"}, "GET", "/ready", "")
	s.End()
	s.WaitLog(1, "the counts of the day broke", "quota.db.damaged")
	counts, damaged, err := quota.Open(dir)
	if err != nil || damaged != "" {
		t.Fatal(damaged, err)
	}
	defer counts.Close()
	sent := uint32(0)
	counts.Load(account.MailboxKey(), func(_ int64, messages, _ uint32) { sent += messages })
	if sent != 1 {
		t.Errorf("%d messages are counted", sent)
	}
}

// TestFullDisk fills the disk with the state of a running proxy: mail flows, /ready and the
// account say what is in memory only, until there is room.
func TestFullDisk(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	const user = "user@outlook.com"
	provider, f := apptest.NewSandbox(t, user)
	dir := t.TempDir()
	testmount.Disk(t, dir, "1m")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "oauth": {"token_store": %q}}`, f.CA, filepath.Join(dir, "tokens.db")))
	s := startStack(t, provider, f)
	defer s.End() // before the disk goes
	account, ok := s.live.store.Load().ByLogin([]byte(user))
	if !ok {
		t.Fatal("no account")
	}
	refresh := func() {
		t.Helper()
		if err := s.tokens.ForceRefresh(t.Context(), account); err != nil {
			t.Errorf("no token: %v", err)
		}
	}
	// Rotated refresh tokens need more room each time, since old pages are not free at once.
	makeRoom := testmount.Fill(t, dir)
	for range 20 {
		refresh()
		if s.kept.Failing() != nil {
			break
		}
	}
	s.Want(503, []string{"tokens are in memory only: ", "no space left on device"}, "GET", "/ready", "")
	s.Want(200, []string{`"unsaved":true`}, "GET", "/admin/accounts/"+user, "")
	c, err := s.Client(user)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := apptest.Send(c, "with a full disk"); err != nil {
		t.Error(err)
	}
	makeRoom()
	refresh()
	s.Want(200, []string{`"ready"`}, "GET", "/ready", "")
	if text := s.Want(200, nil, "GET", "/admin/accounts/"+user, ""); strings.Contains(text, "unsaved") {
		t.Errorf("with room again: %s", text)
	}
}
