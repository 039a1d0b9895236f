package main

import (
	"fmt"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
)

// TestWrongAccountsAtTheStart has files of which some, all or none of the accounts are
// right: the proxy starts with what is right, check fails for what is not, and --strict
// and a file without a right account end the start.
func TestWrongAccountsAtTheStart(t *testing.T) {
	const right = `{"email": "a@outlook.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary"}`
	const wrong = `{"email": "w@outlook.com", "provider": "outlook", "client_id": "c"}`
	for _, tt := range []struct {
		name, text   string
		starts       bool
		startsStrict bool
		says         string
	}{
		{"right", "[" + right + "]", true, true, ""},
		{"none at all", "[]", true, true, ""},
		{"one of two", "[" + right + ",\n" + wrong + "]", true, false, ":2: accounts[1].refresh_token: is needed"},
		{"none of one", "[" + wrong + "]", false, false, ":1: accounts[0].refresh_token: is needed"},
		{"twins", "[" + right + "," + right + "]", false, false, `accounts[0].email: "a@outlook.com" is in use again`},
		{"twins and another", "[" + right + "," + right + "," + strings.Replace(right, "a@", "b@", 1) + "]", true, false, `accounts[1].email: "a@outlook.com" is in use already`},
		{"not to be read", "[" + right, false, false, "not valid JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, f := apptest.NewSandbox(t)
			apptest.WriteFile(t, f.Accounts, tt.text)
			for _, strict := range []bool{false, true} {
				c := serveCmd{files: files{Config: f.Config, Accounts: f.Accounts}, Strict: strict}
				_, _, _, err := c.load()
				if want := tt.starts && !strict || tt.startsStrict; want != (err == nil) {
					t.Errorf("strict %v: %v", strict, err)
				}
				if err != nil {
					apptest.CheckParts(t, err.Error(), tt.says)
				}
			}
			if !tt.starts {
				apptest.CheckParts(t, mustRun(t, exitConfig, with(f, "serve")...), tt.says)
			}
			code := exitConfig
			if tt.startsStrict {
				code = 0
			}
			apptest.CheckParts(t, mustRun(t, code, with(f, "check")...), tt.says)
		})
	}
}

// TestRemoveManyBesideARunningProxy takes so many accounts out by command that the proxy
// would refuse the file: the command has it take it.
func TestRemoveManyBesideARunningProxy(t *testing.T) {
	provider, f := apptest.NewSandbox(t)
	var list, names []string
	for i := range 13 {
		list = append(list, fmt.Sprintf(`{"email": "u%d@outlook.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary"}`, i))
		names = append(names, fmt.Sprintf("u%d@outlook.com", i))
	}
	apptest.WriteFile(t, f.Accounts, "["+strings.Join(list, ",")+"]")
	s := startStack(t, provider, f)
	mustRun(t, 0, append(with(f, "accounts", "remove"), names[:12]...)...)
	s.Want(200, []string{`"total_accounts":1,`}, "GET", "/admin/accounts", "")
	mustRun(t, 0, with(f, "accounts", "remove", "--all", "--yes")...)
	s.Want(200, []string{`"total_accounts":0,`}, "GET", "/admin/accounts", "")
}

// TestCheckIsStrict has files with a warning and without an error: check fails only if it
// is to be strict, and says how many there are of each kind, the worst first.
func TestCheckIsStrict(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@outlook.com")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"state_dir": %q, "providers": {"gmial": {"max_concurrent_messages": 2}, "outlook": {"connection_pool": {"max_connections_per_account": 50}}}}`, t.TempDir()))
	for code, args := range map[int][]string{0: {"check"}, exitConfig: {"check", "--strict"}} {
		said := mustRun(t, code, with(f, args...)...)
		apptest.CheckParts(t, said, "warning: providers.gmial: no account uses it", "note: "+f.Config+":1: ", "0 errors, ", " warnings, ")
		if strings.Index(said, "note: ") < strings.Index(said, "warning: providers.gmial") {
			t.Errorf("not the worst first:\n%s", said)
		}
	}
	apptest.WriteFile(t, f.Accounts, `[{"email": "a@outlook.com", "provider": "outlook", "client_id": "REPLACE-ME", "refresh_token": "canary"}]`)
	said := mustRun(t, exitConfig, with(f, "check")...)
	if !strings.HasPrefix(said, "error: a@outlook.com: client_id: is still REPLACE-ME\n") || !strings.Contains(said, "1 errors, ") || strings.Contains(said, "fine") {
		t.Error(said)
	}
}
