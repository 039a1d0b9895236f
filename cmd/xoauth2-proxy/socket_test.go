package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// TestVerifyBesideARunningProxy verifies accounts without a proxy and then beside
// one, which is asked: the results and the exit codes are the same.
func TestVerifyBesideARunningProxy(t *testing.T) {
	provider, f := apptest.NewSandbox(t, "dead@gmail.com", "refused@outlook.com", "good@outlook.com")
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
	s.WaitLog(1, `"msg":"account verified by the admin API"`, `"email":"good@outlook.com"`, fmt.Sprintf(`"by":"uid %d"`, os.Geteuid()), `"works":true`)

	// The socket that is named is asked, or none.
	apptest.CheckParts(t, mustRun(t, 0, append(with(f, "accounts", "verify", "good@outlook.com"), "--socket", s.AdminSocket())...), "asking the running proxy")
	nowhere := filepath.Join(t.TempDir(), "none.sock")
	apptest.CheckParts(t, mustRun(t, 1, append(with(f, "accounts", "verify", "good@outlook.com"), "--socket", nowhere)...), "no running proxy was found", nowhere)

	// A proxy with other accounts is not asked about these.
	_, other := apptest.NewSandbox(t, "good@outlook.com")
	apptest.CheckParts(t, mustRun(t, 1, append(with(other, "accounts", "verify"), "--socket", s.AdminSocket())...), "has other accounts", s.Files.Accounts)
}

// TestCheckTellsHowChangesAreTaken has check name the socket, and say what there
// is without a token.
func TestCheckTellsHowChangesAreTaken(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@gmail.com")
	t.Setenv("RUNTIME_DIRECTORY", "")
	const without = "admin.token is not set: the admin API takes changes, dry runs and verification on the admin socket only"
	apptest.CheckParts(t, mustRun(t, 0, with(f, "check")...), "admin socket on "+filepath.Dir(f.Accounts)+"/admin.sock\n", without)
	apptest.WriteFile(t, f.Config, `{"admin": {"token": "canary-0123456789", "socket": "/run/there.sock"}}`)
	text := mustRun(t, 0, with(f, "check")...)
	if apptest.CheckParts(t, text, "admin socket on /run/there.sock\n"); strings.Contains(text, without) {
		t.Error(text)
	}
	for _, bad := range []string{"admin.sock", "@abstract", "/" + strings.Repeat("n", 107)} {
		apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"admin": {"socket": %q}}`, bad))
		apptest.CheckParts(t, mustRun(t, exitConfig, with(f, "check")...), "admin.socket: ")
	}
}
