package main

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
)

// TestOneKeyForNames spells a mailbox in other ways at the login, in the API and in
// commands: all find it, and a look-alike finds it nowhere. The provider is told the
// address as it stands in the file.
func TestOneKeyForNames(t *testing.T) {
	const written = "J\u00fcrgen.Sk@gmail.com"
	t.Setenv("XOAUTH2_CLIENT_SECRET", "canary-secret")
	s := newStack(t, written, "other@gmail.com")
	text := apptest.ReadAll(t, s.Files.Accounts)
	for _, tt := range []struct {
		spelled string
		found   bool
	}{
		{written, true},
		{"J\u00dcRGEN.SK@GMAIL.COM", true},
		{"Ju\u0308rgen.sk@gmail.com", true},
		{"J\u00fcrgen.\u017fk@gmail.com", false},
		{"J\u00fcrgen.S\u212a@gmail.com", false},
		{"Jurgen.sk@gmail.com", false},
	} {
		c, err := s.Client(tt.spelled)
		if err == nil {
			if err := apptest.Send(c, "hello"); err != nil {
				t.Errorf("%+q: %v", tt.spelled, err)
			}
			_ = c.Close()
		}
		if tt.found != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), "535") {
			t.Errorf("login as %+q: %v", tt.spelled, err)
		}
		status, code := 404, exitFailure
		if tt.found {
			status, code = 200, 0
		}
		s.Want(status, nil, "GET", "/admin/accounts/"+url.PathEscape(tt.spelled), "")
		mustRun(t, code, with(s.Files, "accounts", "show", tt.spelled)...)
		list := filepath.Join(t.TempDir(), "list")
		apptest.WriteFile(t, list, tt.spelled+",new-id,canary-token,client,,\n"+written+",id,canary-token,client,,\n")
		said := mustRun(t, 1, with(s.Files, "accounts", "import", list, "--dry-run", "--partial")...)
		if twice := strings.Contains(said, "is on line 1 already"); twice != tt.found {
			t.Errorf("import of %+q: %s", tt.spelled, said)
		}
		if tt.found {
			s.Want(409, nil, "POST", "/admin/accounts", s.Request("x@gmail.com", `, "verify": false, "email": "`+tt.spelled+`"`))
			s.Want(409, nil, "POST", "/admin/accounts/batch", "["+s.Request("x@gmail.com", `, "verify": false, "email": "`+tt.spelled+`"`)+"]")
		}
	}
	if now := apptest.ReadAll(t, s.Files.Accounts); now != text {
		t.Errorf("the file changed:\n%s", now)
	}
	if n := s.Provider.Stats().Messages; n != 3 {
		t.Errorf("%d messages arrived", n)
	}
}
