package app

import (
	"errors"
	"fmt"
	"io"
	"net/smtp"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/sandbox"
)

// TestRemovedAccountEndsItsSessions takes an account out while one of its sessions
// is idle, one is in the middle of its content and one waits for the provider. The
// first is told and closed at once, the others after their message, which arrives.
func TestRemovedAccountEndsItsSessions(t *testing.T) {
	const removed = "user@outlook.com"
	s := newStack(t, removed, "user@gmail.com")
	if err := s.Provider.SetFaults(sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
		For: sandbox.Duration(300 * time.Millisecond), Times: 1}); err != nil {
		t.Fatal(err)
	}
	var sessions [4]*smtp.Client
	for i, email := range []string{removed, removed, removed, "user@gmail.com"} {
		c, err := s.Client(email)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sessions[i] = c
	}
	idle, within, waits, other := sessions[0], sessions[1], sessions[2], sessions[3]
	for _, c := range []*smtp.Client{within, waits} {
		if err := errors.Join(c.Mail("from@example.com"), c.Rcpt("to@example.com")); err != nil {
			t.Fatal(err)
		}
	}
	content, err := within.Data()
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	w, err := waits.Data()
	if err != nil {
		t.Fatal(err)
	}
	go func() { sent <- w.Close() }()
	ctx, cancel := apptest.Timeout(t)
	defer cancel()
	if err := s.Provider.WaitFired(ctx, "think", 1); err != nil {
		t.Fatal(err)
	}
	s.Want(200, []string{`"total_accounts":1`}, "DELETE", "/admin/accounts/"+removed, "")
	told := func(what string, c *smtp.Client) {
		t.Helper()
		if _, text, err := c.Text.ReadResponse(421); err != nil || !strings.Contains(text, "removed") {
			t.Errorf("%s is told %q, %v", what, text, err)
		}
		if line, err := c.Text.ReadLine(); !errors.Is(err, io.EOF) {
			t.Errorf("%s is not closed: %q, %v", what, line, err)
		}
	}
	told("the idle one", idle)
	if err := <-sent; err != nil {
		t.Errorf("the message that waited: %v", err)
	}
	told("the one that waited", waits)
	if _, err := content.Write([]byte("Subject: x\r\n\r\nbody\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := content.Close(); err != nil {
		t.Errorf("the message that was begun: %v", err)
	}
	told("the one within a message", within)
	if err := apptest.Send(other, "other"); err != nil {
		t.Error(err)
	}
	if n := s.Provider.Stats().Messages; n != 3 {
		t.Errorf("%d messages arrived, want 3", n)
	}
}

func TestReloadByWatchAndSignal(t *testing.T) {
	s := newStack(t, "user@gmail.com", "user@outlook.com")
	if err := s.Provider.AddAccount(apptest.Account("new@outlook.com")); err != nil {
		t.Fatal(err)
	}
	leaving, err := s.Client("user@outlook.com")
	if err != nil {
		t.Fatal(err)
	}
	defer leaving.Close()
	if err := apptest.Send(leaving, "one"); err != nil {
		t.Fatal(err)
	}
	s.Edit(func(l *accountfile.List) error {
		if err := l.Remove("user@outlook.com"); err != nil {
			return err
		}
		return l.Add(s.Entry("new@outlook.com"))
	})
	s.WaitLog(1, `"msg":"reloaded"`, `"added":1`, `"removed":1`)
	if err := leaving.Mail("from@example.com"); err == nil {
		t.Error("a session of a removed account goes on")
	}
	if _, err := s.Client("user@outlook.com"); err == nil || !strings.HasPrefix(err.Error(), "535") {
		t.Errorf("a removed account logs in: %v", err)
	}
	added, err := s.Client("new@outlook.com")
	if err != nil {
		t.Fatal(err)
	}
	defer added.Close()
	if err := apptest.Send(added, "two"); err != nil {
		t.Error(err)
	}
	// The connection of the removed account is closed.
	ctx, cancel := apptest.Timeout(t)
	defer cancel()
	if err := s.Provider.WaitAccount(ctx, "user@outlook.com", noneOpen); err != nil {
		t.Error(err)
	}

	if err := os.WriteFile(s.Files.Accounts, []byte(`{"accounts": [{"email": "canary"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(1, `"msg":"reload refused, nothing was changed"`, "accounts[0].email", "accounts[0].client_id: is needed")
	if err := apptest.Send(added, "three"); err != nil {
		t.Errorf("after a bad file: %v", err)
	}
	if n := s.live.store.Load().Len(); n != 2 {
		t.Errorf("%d accounts after a bad file", n)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(1, `"msg":"reload refused, nothing was changed"`, "SIGHUP")
}

// TestReloadsOfOnesOwn: that the watcher looks once more, after the start and after a change
// by the admin API, is no news; that an operator touches a file is.
func TestReloadsOfOnesOwn(t *testing.T) {
	provider, f := apptest.NewSandbox(t, "user@gmail.com")
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(f.Accounts, later, later); err != nil { // maybe it changed after it was read
		t.Fatal(err)
	}
	s := startStack(t, provider, f)
	quiet := []string{`"level":"debug"`, `"msg":"reloaded"`, `"cause":"file"`}
	s.WaitLog(1, quiet...)
	if err := s.Provider.AddAccount(apptest.Account("new@outlook.com")); err != nil {
		t.Fatal(err)
	}
	s.Want(200, nil, "POST", "/admin/accounts", s.Request("new@outlook.com", ""))
	s.WaitLog(1, `"level":"info"`, "accounts changed by the admin API")
	s.WaitLog(2, quiet...)
	if text := s.Log.Text(); strings.Count(text, `"msg":"reloaded"`) != 2 {
		t.Errorf("a reload is told:\n%s", text)
	}
	if err := os.Chtimes(f.Accounts, later, later); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(1, `"level":"info"`, `"msg":"reloaded"`, `"cause":"file"`)
}

func TestReloadOfSettings(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	conf := fmt.Sprintf(`{"upstream": {"ca_file": %q, "shards": 7}, "server": {"max_errors": 3}, "log": {"level": "warn"},
		"listeners": [{"address": "127.0.0.1:2599"}], "admin": {"token": "canary-admin-token"},
		"providers": {"gmail": {"max_recipients": 9}}}`, s.Files.CA)
	if err := os.WriteFile(s.Files.Config, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.WaitLog(1, `"settings":["server.max_errors","upstream.shards"]`)
	if got := s.live.level.String(); got != "warn" {
		t.Errorf("level %s", got)
	}
	if n := s.live.store.Load().All()[0].Limits.MaxRecipients; n != 9 {
		t.Errorf("%d recipients", n)
	}
	s.Want(401, nil, "GET", "/admin/accounts", "")
}

// TestReloadUnderTraffic reloads again and again, with accounts that come, go
// and change, while others send: no message is lost, none is refused.
func TestReloadUnderTraffic(t *testing.T) {
	// All with Gmail: Microsoft takes fewer messages a minute.
	senders := []string{"user@gmail.com", "user2@gmail.com", "user3@gmail.com", "user4@gmail.com"}
	s := newStack(t, append(senders, "coming@outlook.com")...)
	var stop atomic.Bool
	var sent atomic.Int64
	var wg sync.WaitGroup
	for _, email := range senders {
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				c, err := s.Client(email)
				if err != nil {
					t.Errorf("%s: %v", email, err)
					return
				}
				for range 10 {
					if err := apptest.Send(c, fmt.Sprintf("%s %d", email, n)); err != nil {
						t.Errorf("%s: %v", email, err)
						break
					}
					sent.Add(1)
				}
				_ = c.Quit()
			}
		})
	}
	const reloads = 30
	for i := range reloads {
		s.Edit(func(l *accountfile.List) error {
			e := new(accountfile.Entry) // other limits, and now and then another way in
			e.Set("email", "user@gmail.com")
			if err := e.SetJSON("max_concurrent_messages", fmt.Sprint(i%5+1)); err != nil {
				return err
			}
			e.Set("auth_identity", []string{"user@gmail.com", "USER@gmail.com"}[i/5%2])
			l.Put(e)
			if i%2 == 0 {
				return l.Remove("coming@outlook.com")
			}
			return l.Add(s.Entry("coming@outlook.com"))
		})
		if _, err := s.live.reload("test", false); err != nil {
			t.Fatal(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if got := int64(len(s.Provider.Messages())); got != sent.Load() || got == 0 {
		t.Errorf("%d messages with the provider, %d were acknowledged", got, sent.Load())
	}
	t.Logf("%d messages during %d reloads", sent.Load(), reloads)
}

// TestReloadKeepsAccounts reloads files in which nothing, one account and a
// setting has changed, and removes one by the admin API: what has not changed is the
// same account as before.
func TestReloadKeepsAccounts(t *testing.T) {
	emails := []string{"user@gmail.com", "user2@gmail.com", "user3@gmail.com"}
	s := newStack(t, emails...)
	before := s.live.store.Load()
	reload := func() {
		t.Helper()
		if _, err := s.live.reload("test", false); err != nil {
			t.Fatal(err)
		}
	}
	// other says which accounts are others than before.
	other := func() (names []string) {
		after := s.live.store.Load()
		for _, email := range emails {
			was, _ := before.ByLogin([]byte(email))
			if is, ok := after.ByLogin([]byte(email)); !ok || is != was {
				names = append(names, email)
			}
		}
		before = after
		return names
	}
	all := before
	reload()
	if s.live.store.Load() != all {
		t.Error("nothing changed, and there is another snapshot")
	}
	s.Edit(func(l *accountfile.List) error {
		e := new(accountfile.Entry)
		e.Set("email", emails[1])
		e.Set("vmta_name", "other")
		l.Put(e)
		return nil
	})
	reload()
	if got := other(); !slices.Equal(got, emails[1:2]) {
		t.Errorf("other accounts are %q", got)
	}
	s.Want(200, nil, "DELETE", "/admin/accounts/"+emails[2], "")
	reload()
	if got := other(); !slices.Equal(got, emails[2:]) {
		t.Errorf("other accounts are %q", got)
	}
	apptest.WriteFile(t, s.Files.Config, strings.Replace(apptest.ReadAll(t, s.Files.Config), "{", `{"providers": {"gmail": {"max_recipients": 9}},`, 1))
	reload()
	if got := other(); !slices.Equal(got, emails) {
		t.Errorf("other accounts are %q", got)
	}
}

// TestRestartKeys names every setting, and keeps those that reload apart.
func TestRestartKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	apptest.WriteFile(t, path, "{}")
	load := func() *config.Settings {
		s, err := config.LoadSettings(path, "accounts.json")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	running, read := load(), load()
	if keys := running.Differing(read); keys != nil {
		t.Errorf("nothing differs: %v", keys)
	}
	read.Server.Loops, read.Upstream.CAFile, read.OAuth.Timeout = 3, "x", 7
	read.Runtime.GOMAXPROCS, read.Server.Listeners = 4, nil
	want := []string{"listeners", "server.loops", "upstream.ca_file", "oauth.request_timeout", "runtime.gomaxprocs"}
	if keys := running.Differing(read); !slices.Equal(keys, want) {
		t.Errorf("%v, want %v", keys, want)
	}
	read = load()
	read.Log.Level, read.Upstream.IPv6, read.Upstream.BindSourceIP = "debug", true, false
	read.Providers = nil
	for _, f := range reloadable {
		f(running, read)
	}
	if !reflect.DeepEqual(running, read) {
		t.Errorf("%+v, want %+v", running, read)
	}
}
