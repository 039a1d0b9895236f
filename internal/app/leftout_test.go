package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/apptest"
)

// spoil makes the entry of an account wrong in the file, by a provider that there is not.
func (s *stack) spoil(email string) {
	s.T.Helper()
	text := apptest.ReadAll(s.T, s.Files.Accounts)
	at := strings.Index(text, `"`+email+`"`)
	provider := strings.Index(text[at:], `"provider": "`) + at + len(`"provider": "`)
	apptest.WriteFile(s.T, s.Files.Accounts, text[:provider]+"wrong-"+text[provider:])
}

// TestWrongEntryBesideOthers starts with one wrong entry of three, mends it and makes
// another wrong: each account that was right once goes on, and the others are told to
// come back.
func TestWrongEntryBesideOthers(t *testing.T) {
	const late, early, other = "late@gmail.com", "early@outlook.com", "other@outlook.com"
	provider, f := apptest.NewSandbox(t, late, early, other)
	s := &stack{Stack: &apptest.Stack{T: t, Files: f}}
	right := apptest.ReadAll(t, f.Accounts)
	s.spoil(late)
	wrong := apptest.ReadAll(t, f.Accounts)
	s = startStack(t, provider, f)
	s.WaitLog(1, leftOutMessage, `"entries":1`, `wrong-gmail`)
	login := func(email, want string) {
		t.Helper()
		c, err := s.Client(email)
		if err == nil {
			err = apptest.Send(c, "a message")
			_ = c.Close()
		}
		if got := fmt.Sprint(err); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", email, got, want)
		}
	}
	login(late, "454")
	login(early, "<nil>")
	login("nobody@gmail.com", "535")
	s.Want(200, []string{`"status":"ready"`, "accounts[0] on line", "not in force"}, "GET", "/ready", "")
	s.Want(200, []string{"accounts_left_out 1\n"}, "GET", "/metrics", "")
	// What the API writes leaves the wrong entry as it is.
	s.Want(200, nil, "DELETE", "/admin/accounts/"+other, "")
	entry := wrong[strings.Index(wrong, "{\n      "):]
	entry = entry[:strings.IndexByte(entry, '}')+1]
	if text := apptest.ReadAll(t, f.Accounts); !strings.Contains(entry, "wrong-gmail") || !strings.Contains(text, entry) {
		t.Errorf("%s\nis not in\n%s", entry, text)
	}
	login(late, "454")
	// The file is mended, and another entry is wrong: it stays as it was.
	apptest.WriteFile(t, f.Accounts, right)
	s.spoil(early)
	s.WaitLog(1, leftOutMessage, `"kept_as_before":1`)
	login(late, "<nil>")
	login(early, "<nil>")
	s.Want(200, []string{"in force as it was before"}, "GET", "/ready", "")
	// Twins: nothing tells which is meant, so the account stays as it was.
	apptest.WriteFile(t, f.Accounts, strings.Replace(right, late, early, 1))
	s.WaitLog(1, leftOutMessage, `"kept_as_before":2`, "is in use again")
	login(early, "<nil>")
}

// TestReloadThatRemovesMost has files that lack accounts which are in force.
func TestReloadThatRemovesMost(t *testing.T) {
	for _, tt := range []struct {
		name         string
		had, have    int
		refused      bool
		acceptAlways bool
	}{
		{"all of one", 1, 0, true, false},
		{"all of two", 2, 0, true, false},
		{"ten of eleven", 11, 1, false, false},
		{"eleven of twelve", 12, 1, true, false},
		{"eleven of 22, which is half", 22, 11, false, false},
		{"twelve of 23", 23, 11, true, false},
		{"all, accepted by a flag", 12, 0, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			provider, f := apptest.NewSandbox(t)
			write := func(n int) {
				var list []string
				for i := range n {
					list = append(list, fmt.Sprintf(`{"email": "u%d@outlook.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary"}`, i))
				}
				apptest.WriteFile(t, f.Accounts, "["+strings.Join(list, ",\n")+"]")
			}
			write(tt.had)
			s := new(stack)
			s.Stack = apptest.Start(t, provider, f, func(log *zap.Logger, level zap.AtomicLevel) (_ apptest.Proxy, err error) {
				o := optionsFor(t, f, log, level)
				o.AcceptRemovals = tt.acceptAlways
				s.Proxy, err = Start(o)
				return s.Proxy, err
			})
			write(tt.have)
			_, err := s.live.reload("test", s.live.accept)
			if tt.refused != (err != nil) {
				t.Fatalf("reload: %v", err)
			}
			want := tt.have
			if tt.refused {
				want = tt.had
			}
			if n := s.live.store.Load().Len(); n != want {
				t.Errorf("%d accounts are in force, want %d", n, want)
			}
			if !tt.refused {
				return
			}
			s.Want(422, []string{"accept_removals"}, "POST", "/admin/reload", "")
			s.Want(200, []string{fmt.Sprintf(`"total_accounts":%d`, tt.have)}, "POST", "/admin/reload?accept_removals=true", "")
		})
	}
}

// TestRenamedAccountsAreNotRemoved gives all accounts another account_id, and then
// another email. A change by the API takes or refuses each file as a reload does.
func TestRenamedAccountsAreNotRemoved(t *testing.T) {
	provider, f := apptest.NewSandbox(t)
	write := func(id, email string) {
		var list []string
		for i := range 20 {
			list = append(list, fmt.Sprintf(`{"account_id": "%s%d", "email": "%s%d@outlook.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary"}`, id, i, email, i))
		}
		if err := os.WriteFile(f.Accounts, []byte("["+strings.Join(list, ",\n")+"]"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "u")
	s := startStack(t, provider, f)
	for _, names := range [][2]string{{"b", "u"}, {"b", "v"}} {
		write(names[0], names[1])
		if _, err := s.live.edit(accountfile.EditOptions{DryRun: true}, func(*accountfile.List) error { return nil }); err != nil {
			t.Errorf("a change of %v: %v", names, err)
		}
		if _, err := s.live.reload("test", false); err != nil {
			t.Errorf("%v: %v", names, err)
		}
	}
	write("c", "w")
	if _, err := s.live.edit(accountfile.EditOptions{DryRun: true}, func(*accountfile.List) error { return nil }); err == nil {
		t.Error("a change of other accounts altogether is taken")
	}
	if _, err := s.live.reload("test", false); err == nil {
		t.Error("other accounts altogether are taken")
	}
}

// TestOrderOutlivesWrongEntry pauses an account whose entry then is wrong over a
// restart: it is paused when the entry is right again.
func TestOrderOutlivesWrongEntry(t *testing.T) {
	const email = "user@outlook.com"
	provider, f := apptest.NewSandbox(t, email, "other@gmail.com")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"state_dir": %q, "upstream": {"ca_file": %q}, "oauth": {"ca_file": %[2]q, "token_store": %q}}`, t.TempDir(), f.CA,
		filepath.Join(t.TempDir(), "tokens.db")))
	s := startStack(t, provider, f)
	right := apptest.ReadAll(t, f.Accounts)
	s.Want(200, nil, "POST", "/admin/accounts/"+email+"/pause", "")
	s.End()
	s.spoil(email)
	s = startStack(t, provider, f)
	apptest.WriteFile(t, f.Accounts, apptest.ReadAll(t, f.Accounts)+"\n")
	s.WaitLog(1, `"msg":"reloaded"`)
	apptest.WriteFile(t, f.Accounts, right)
	s.WaitLog(2, `"msg":"reloaded"`)
	if c, err := s.Client(email); err == nil || !strings.HasPrefix(err.Error(), "4") {
		t.Errorf("a paused account logs in: %v, %v", c, err)
	}
}
