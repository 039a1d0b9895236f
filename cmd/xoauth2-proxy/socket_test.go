package main

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
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/sandbox"
)

func TestSocketPaths(t *testing.T) {
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
		if got, needed := socketPaths(s); !slices.Equal(got, tt.want) || needed != tt.needed {
			t.Errorf("%+v: %q, %t", tt, got, needed)
		}
	}
}

// tryStart starts one more proxy with those files, and expects it to fail.
func tryStart(t *testing.T, f sandbox.ProxyFiles) error {
	t.Helper()
	c := serveCmd{files: files{Config: f.Config, Accounts: f.Accounts}, Port: new(int), AdminPort: new(int)}
	settings, accounts, _, err := c.load()
	if err != nil {
		t.Fatal(err)
	}
	from := origin{load: c.load, memory: &c.memory, level: zap.NewAtomicLevelAt(zap.DebugLevel), since: time.Now()}
	p, err := startProxy(settings, accounts, from, zap.NewNop())
	if err == nil {
		ctx, cancel := timeout(t)
		defer cancel()
		p.stop(ctx)
	}
	return err
}

// TestTwoProxies has a second proxy begin with the files of the first, which goes
// on, and one with a socket of its own.
func TestTwoProxies(t *testing.T) {
	for _, kept := range []string{"", `, "state_dir": %q`} {
		provider, f := newSandbox(t, "user@gmail.com")
		if kept != "" {
			kept = fmt.Sprintf(kept, filepath.Join(filepath.Dir(f.Accounts), "state"))
		}
		conf := `{"upstream": {"ca_file": %q}` + kept + `%s}`
		writeFile(t, f.Config, fmt.Sprintf(conf, f.CA, ""))
		s := startStack(t, provider, f)
		err := tryStart(t, f)
		if err == nil || kept == "" && (!errors.Is(err, admin.ErrSocketInUse) || !strings.Contains(err.Error(), s.admin.SocketPath())) {
			t.Errorf("%q: the second one: %v", kept, err)
		}
		s.want(200, nil, "POST", "/admin/reload", "")
		if kept == "" { // files that two may share
			own := filepath.Join(t.TempDir(), "own.sock")
			writeFile(t, f.Config, fmt.Sprintf(conf, f.CA, fmt.Sprintf(`, "admin": {"socket": %q}`, own)))
			if err := tryStart(t, f); err != nil {
				t.Errorf("with a socket of its own: %v", err)
			}
			s.want(200, nil, "POST", "/admin/reload", "")
		}
		s.end()
		if _, err := os.Lstat(s.admin.SocketPath()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket stays behind: %v", err)
		}
	}
}

// TestVerifyBesideARunningProxy verifies accounts without a proxy and then beside
// one, which is asked: the results and the exit codes are the same.
func TestVerifyBesideARunningProxy(t *testing.T) {
	provider, f := newSandbox(t, "dead@gmail.com", "refused@outlook.com", "good@outlook.com")
	provider.RevokeGrant("dead@gmail.com")
	if err := provider.SetFaults(sandbox.Rule{Account: "refused@outlook.com", Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply,
		Reply: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."}); err != nil {
		t.Fatal(err)
	}
	type result struct {
		code int
		out  string
	}
	run := func(args ...string) result {
		t.Helper()
		code, out, _ := runCLI(t, append(with(f, "accounts", "verify"), args...)...)
		return result{code, out}
	}
	all := [][]string{{"--json"}, {"--csv"}, {"--failed"}, {"good@outlook.com"}, {"dead@gmail.com", "gmail_dead_gmail_com", "--parallel", "1", "--json"}, {"nobody@gmail.com"}}
	alone := make([]result, len(all))
	for i, args := range all {
		alone[i] = run(args...)
	}
	s := startStack(t, provider, f)
	for i, args := range all {
		if beside := run(args...); beside != alone[i] {
			t.Errorf("%q: exit code %d, alone %d\n%s\nalone:\n%s", args, beside.code, alone[i].code, beside.out, alone[i].out)
		}
	}
	s.waitLog(1, `"msg":"account verified by the admin API"`, `"account":"good@outlook.com"`, fmt.Sprintf(`"by":"uid %d"`, os.Geteuid()), `"works":true`)

	// The socket that is named is asked, or none.
	checkParts(t, mustRun(t, 0, append(with(f, "accounts", "verify", "good@outlook.com"), "--socket", s.admin.SocketPath())...), "asking the running proxy")
	nowhere := filepath.Join(t.TempDir(), "none.sock")
	checkParts(t, mustRun(t, 1, append(with(f, "accounts", "verify", "good@outlook.com"), "--socket", nowhere)...), "no running proxy was found", nowhere)

	// A proxy with other accounts is not asked about these.
	_, other := newSandbox(t, "good@outlook.com")
	checkParts(t, mustRun(t, 1, append(with(other, "accounts", "verify"), "--socket", s.admin.SocketPath())...), "has other accounts", s.files.Accounts)
}

// TestChangesOverTheAddress has a proxy without a token: the address tells where
// changes are taken, makes none, and does not verify.
func TestChangesOverTheAddress(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	before := readAll(t, s.files.Accounts)
	for _, r := range [][3]string{
		{"POST", "/admin/accounts?dry_run=true", s.request("user@gmail.com", `, "overwrite": true`)},
		{"POST", "/admin/accounts", s.request("user@gmail.com", `, "overwrite": true`)},
		{"POST", "/admin/accounts/batch", "[" + s.request("new@gmail.com", "") + "]"},
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
		status, text := s.callBy(&http.Transport{}, r[0], r[1], r[2])
		if status != 401 || !strings.Contains(text, "--unix-socket "+s.admin.SocketPath()) || !strings.Contains(text, "set admin.token") {
			t.Errorf("%s %s: %d %s", r[0], r[1], status, text)
		}
	}
	s.want(200, []string{`"total_accounts":1`}, "GET", "/admin/accounts", "")
	s.want(200, []string{`"hold":{"state":"active"}`}, "GET", "/admin/accounts/user@gmail.com", "")
	s.want(200, []string{`"level":"debug"`}, "GET", "/admin/log/level", "")
	if st := s.provider.AccountStats("user@gmail.com"); st.TokensIssued != 0 || st.Logins != 0 || readAll(t, s.files.Accounts) != before {
		t.Errorf("something had an effect: %+v", st)
	}
	var info admin.Info
	if err := json.Unmarshal([]byte(s.want(200, nil, "GET", "/admin/info", "")), &info); err != nil || info.PID != os.Getpid() || info.AccountsFile != s.files.Accounts {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestCheckTellsHowChangesAreTaken has check name the socket, and say what there
// is without a token.
func TestCheckTellsHowChangesAreTaken(t *testing.T) {
	_, f := newSandbox(t, "user@gmail.com")
	t.Setenv("RUNTIME_DIRECTORY", "")
	const without = "admin.token is not set: the admin API takes changes, dry runs and verification on the admin socket only"
	checkParts(t, mustRun(t, 0, with(f, "check")...), "admin socket on "+filepath.Dir(f.Accounts)+"/admin.sock\n", without)
	writeFile(t, f.Config, `{"admin": {"token": "canary-0123456789", "socket": "/run/there.sock"}}`)
	text := mustRun(t, 0, with(f, "check")...)
	if checkParts(t, text, "admin socket on /run/there.sock\n"); strings.Contains(text, without) {
		t.Error(text)
	}
	for _, bad := range []string{"admin.sock", "@abstract", "/" + strings.Repeat("n", 107)} {
		writeFile(t, f.Config, fmt.Sprintf(`{"admin": {"socket": %q}}`, bad))
		checkParts(t, mustRun(t, exitConfig, with(f, "check")...), "admin.socket: ")
	}
}
