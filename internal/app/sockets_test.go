package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/sandbox"
)

func TestAdminSockets(t *testing.T) {
	for _, tt := range []struct {
		runtime, named, state, accounts string
		want                            []string
		needed                          bool
	}{
		{"", "", "", "/etc/x/accounts.json", []string{"/etc/x/admin.sock"}, false},
		{"", "", "/var/lib/x", "/etc/x/accounts.json", []string{"/var/lib/x/admin.sock", "/etc/x/admin.sock"}, false},
		{"/run/x:/run/y", "", "/var/lib/x", "/etc/x/accounts.json", []string{"/run/x/admin.sock", "/var/lib/x/admin.sock", "/etc/x/admin.sock"}, false},
		{"/run/x", "/srv/a.sock", "/var/lib/x", "/etc/x/accounts.json", []string{"/srv/a.sock"}, true},
		{"", "", "", "", nil, false},
	} {
		t.Setenv("RUNTIME_DIRECTORY", tt.runtime)
		s := &config.Settings{AccountsFile: tt.accounts, StateDir: tt.state, Admin: config.Admin{Socket: tt.named}}
		if got, needed := AdminSockets(s); !slices.Equal(got, tt.want) || needed != tt.needed {
			t.Errorf("%+v: %q, %t", tt, got, needed)
		}
	}
}

// tryStart starts one more proxy with those files, and expects it to fail.
func tryStart(t *testing.T, f sandbox.ProxyFiles) error {
	t.Helper()
	p, err := Start(optionsFor(t, f, zap.NewNop(), zap.NewAtomicLevel()))
	if err == nil {
		ctx, cancel := apptest.Timeout(t)
		defer cancel()
		p.Stop(ctx)
	}
	return err
}

// TestTwoProxies has a second proxy begin with the files of the first, which goes
// on, and one with a socket of its own.
func TestTwoProxies(t *testing.T) {
	for _, kept := range []string{"", `, "state_dir": %q`} {
		provider, f := apptest.NewSandbox(t, "user@gmail.com")
		if kept != "" {
			kept = fmt.Sprintf(kept, filepath.Join(filepath.Dir(f.Accounts), "state"))
		}
		conf := `{"upstream": {"ca_file": %q}` + kept + `%s}`
		apptest.WriteFile(t, f.Config, fmt.Sprintf(conf, f.CA, ""))
		s := startStack(t, provider, f)
		err := tryStart(t, f)
		if err == nil || kept == "" && !strings.Contains(err.Error(), "another process writes to "+accountingDir(f)) {
			t.Errorf("%q: the second one with the same accounting log: %v", kept, err)
		}
		accounting := fmt.Sprintf(`, "accounting": {"directory": %q}`, t.TempDir())
		apptest.WriteFile(t, f.Config, fmt.Sprintf(conf, f.CA, accounting))
		err = tryStart(t, f)
		if err == nil || kept == "" && (!errors.Is(err, admin.ErrSocketInUse) || !strings.Contains(err.Error(), s.AdminSocket())) {
			t.Errorf("%q: the second one: %v", kept, err)
		}
		s.Want(200, nil, "POST", "/admin/reload", "")
		if kept == "" { // files that two may share
			own := filepath.Join(t.TempDir(), "own.sock")
			apptest.WriteFile(t, f.Config, fmt.Sprintf(conf, f.CA, accounting+fmt.Sprintf(`, "admin": {"socket": %q}`, own)))
			if err := tryStart(t, f); err != nil {
				t.Errorf("with a socket of its own: %v", err)
			}
			s.Want(200, nil, "POST", "/admin/reload", "")
		}
		s.End()
		if _, err := os.Lstat(s.AdminSocket()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket stays behind: %v", err)
		}
	}
}

// TestChangesOverTheAddress has a proxy without a token: the address tells where
// changes are taken, makes none, and does not verify.
func TestChangesOverTheAddress(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	before := apptest.ReadAll(t, s.Files.Accounts)
	for _, r := range [][3]string{
		{"POST", "/admin/accounts?dry_run=true", s.Request("user@gmail.com", `, "overwrite": true`)},
		{"POST", "/admin/accounts", s.Request("user@gmail.com", `, "overwrite": true`)},
		{"POST", "/admin/accounts/batch", "[" + s.Request("new@gmail.com", "") + "]"},
		{"POST", "/admin/accounts/verify", `{"email": "user@gmail.com"}`},
		{"POST", "/admin/accounts/user@gmail.com/pause", ""},
		{"POST", "/admin/accounts/user@gmail.com/drain", ""},
		{"POST", "/admin/accounts/user@gmail.com/resume", ""},
		{"DELETE", "/admin/accounts/user@gmail.com", ""},
		{"DELETE", "/admin/accounts/invalid?dry_run=true", ""},
		{"DELETE", "/admin/accounts?confirm=true", ""},
		{"POST", "/admin/reload", ""},
		{"PUT", "/admin/log/level", `{"level": "error"}`},
	} {
		status, text := s.CallBy(&http.Transport{}, r[0], r[1], r[2])
		if status != 401 || !strings.Contains(text, "--unix-socket "+s.AdminSocket()) || !strings.Contains(text, "set admin.token") {
			t.Errorf("%s %s: %d %s", r[0], r[1], status, text)
		}
	}
	s.Want(200, []string{`"total_accounts":1`}, "GET", "/admin/accounts", "")
	s.Want(200, []string{`"hold":{"state":"active"}`}, "GET", "/admin/accounts/user@gmail.com", "")
	s.Want(200, []string{`"level":"debug"`}, "GET", "/admin/log/level", "")
	if st := s.Provider.AccountStats("user@gmail.com"); st.TokensIssued != 0 || st.Logins != 0 || apptest.ReadAll(t, s.Files.Accounts) != before {
		t.Errorf("something had an effect: %+v", st)
	}
	var info admin.Info
	if err := json.Unmarshal([]byte(s.Want(200, nil, "GET", "/admin/info", "")), &info); err != nil || info.PID != os.Getpid() || info.AccountsFile != s.Files.Accounts {
		t.Errorf("%+v, %v", info, err)
	}
}
