package flow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// shellAccount is an account whose token command is a script for /bin/sh; $0 is arg.
func shellAccount(script, arg string) *account.Account {
	return &account.Account{ID: "acct", Email: tokentest.OutlookUser, Flow: account.FlowExternal, TokenCommand: []string{"/bin/sh", "-c", script, arg}}
}

// TestBareToken has commands print a token by itself, and other things.
func TestBareToken(t *testing.T) {
	const token = "ya29.a0AfB_by-C/x~y+z=="
	tests := []struct {
		printed string
		good    bool
	}{
		{token, true},
		{token + "\n", true},
		{"\ufeff " + token + "\r\n\n", true},
		{`"` + token + `"`, true},
		{`{"access_token":"` + token + `"}`, true},
		{"access_token=ya29.a0AfB_by-C/x~y%2Bz%3D%3D", true},
		{"", false},
		{"null", false},
		{"error", false},
		{"not logged in", false},
		{token + " " + token, false},
		{token + "\n" + token, false},
		{"'" + token + "'", false},
		{"<html></html><body></body>", false},
		{`["` + token + `"]`, false},
		{`{"token":"` + token + `"}`, false},
		{"caf\u00e9-caf\u00e9-caf\u00e9", false},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "printed")
		if err := os.WriteFile(path, []byte(tt.printed), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := fetch(t, testFlows(t), shellAccount(`cat "$0"`, path), time.Minute)
		switch e, _ := errors.AsType[*Error](err); {
		case tt.good && (err != nil || got.Access != token || time.Until(got.Expiry) < 50*time.Minute):
			t.Errorf("%q: %q, %v", tt.printed, got.Access, err)
		case !tt.good && (!errors.Is(err, errCommandReply) || strings.Contains(e.Hint.Remedy(), "token URL") || !strings.Contains(e.Hint.Remedy(), "alone")):
			t.Errorf("%q: %q, %v", tt.printed, got.Access, err)
		}
		if got, err := fetch(t, testFlows(t), shellAccount(`cat "$0"; exit 3`, path), time.Minute); !errors.Is(err, errCommand) || got.Access != "" {
			t.Errorf("%q and failure: %v", tt.printed, err)
		}
	}
}

// TestChildKeepsOutputOpen has a token command leave a child that holds its output: the
// token comes when the command exits, whole.
func TestChildKeepsOutputOpen(t *testing.T) {
	long := strings.Repeat("x", 50<<10)
	for _, script := range []string{
		`sleep 1000 & echo $! >"$0"; echo TOKEN`,
		`sleep 1000 2>/dev/null & echo $! >"$0"; echo complaint >&2; echo TOKEN`,
		`sleep 1000 >/dev/null & echo $! >"$0"; echo TOKEN`,
		`(yes >&2 & echo $! >"$0"); echo TOKEN`,
	} {
		path := filepath.Join(t.TempDir(), "pid")
		got, err := fetch(t, testFlows(t), shellAccount(strings.Replace(script, "TOKEN", long, 1), path), time.Minute)
		if err != nil || got.Access != long {
			t.Errorf("%s: %d octets, %v", script, len(got.Access), err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !strings.Contains(script, "yes") { // yes ends by SIGPIPE
			t.Errorf("%s: the child does not run any more: %v", script, err)
		}
	}
}

// TestOutputAtItsLimit prints as much as is taken, and more.
func TestOutputAtItsLimit(t *testing.T) {
	for n, want := range map[int]error{maxOutput: nil, maxOutput + 1: errCommandOutput, 10 * maxOutput: errCommandOutput} {
		script := fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x", n)
		if got, err := fetch(t, testFlows(t), shellAccount(script, ""), time.Minute); !errors.Is(err, want) || want == nil && len(got.Access) != n {
			t.Errorf("%d octets: %d, %v", n, len(got.Access), err)
		}
	}
}
