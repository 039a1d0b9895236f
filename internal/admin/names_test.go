package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// oddNames are addresses of accounts that are not simply a part of a path.
var oddNames = []string{
	"a/b@example.com", "/@example.com", "a//b@example.com", "a/@example.com/x", "a/pause@example.com", "../x@example.com", "..@example.com",
	"a/../b@example.com", "a/./b@example.com", "a%b@example.com", "a%2Fb@example.com", "a%2fb@example.com", "%@example.com", "a?b@example.com",
	"a#b@example.com", "a+b@example.com", "a&b=c@example.com", "a;b@example.com", "a\\b@example.com", "a:b@example.com", "jürgen@exämple.com", "名@example.com",
}

// routesOfAnAccount are the routes with the address of an account.
var routesOfAnAccount = []struct{ method, after string }{
	{"GET", ""}, {"HEAD", ""}, {"POST", "/pause"}, {"POST", "/resume"}, {"POST", "/drain"}, {"DELETE", ""},
}

// TestOddNames: each route of an account reaches the one with that address, and only that one,
// whatever letters it has.
func TestOddNames(t *testing.T) {
	f, base := newAPI(t, "", oddNames...)
	for _, name := range oddNames {
		for _, escaped := range []string{url.PathEscape(name), strings.ReplaceAll(url.PathEscape(name), "%2F", "%2f")} {
			for _, r := range routesOfAnAccount {
				f.mu.Lock()
				f.accounts = nil
				for _, n := range oddNames {
					f.accounts = append(f.accounts, Account{AccountID: "id of " + n, Email: n})
				}
				f.mu.Unlock()
				resp, body := do(t, r.method, base+"/admin/accounts/"+escaped+r.after, "")
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s %q%s: %d %s", r.method, name, r.after, resp.StatusCode, body)
					continue
				}
				switch {
				case r.method == "DELETE":
					if _, err := f.find(name); err == nil || len(f.Accounts()) != len(oddNames)-1 {
						t.Errorf("DELETE %q left %d accounts", name, len(f.Accounts()))
					}
				case r.method == "GET":
					var state State
					if err := json.Unmarshal([]byte(body), &state); err != nil || state.Account.Email != name {
						t.Errorf("GET %q: %s", name, body)
					}
				}
			}
		}
	}
}

// TestPathsAreGuarded: no spelling of a path is served without the token that its route
// needs.
func TestPathsAreGuarded(t *testing.T) {
	_, base := newAPI(t, "canary-token-of-admin", "a@example.com", "../../metrics", "b/../../../metrics")
	for _, path := range []string{
		"/admin/accounts/..%2F..%2Fmetrics", "/admin/accounts/..%2f..%2fmetrics", "/admin/accounts/b%2F..%2F..%2F..%2Fmetrics",
		"/%61dmin/accounts/a@example.com", "/x/../admin/accounts", "//admin/accounts", "/metrics/..%2F../admin/accounts", "/metrics/%2e%2e/admin/accounts",
		"/admin%2Faccounts", "/admin/accounts%00", "/admin/%00/../accounts", "/%00/../admin/accounts", "/metrics%2F..%2Fadmin%2Faccounts",
		"/debug/pprof/..%2F..%2Fmetrics", "/health/..%2F..%2Fadmin/accounts",
	} {
		resp, body := do(t, "GET", base+path, "")
		if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}
