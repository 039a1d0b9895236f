package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// told returns the lines at level info or above, each as "level message", in order; without
// those about the start.
func (s *stack) told() (lines []string) {
	s.T.Helper()
	for text := range strings.Lines(s.Log.Text()) {
		var line struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			s.T.Fatal(err)
		}
		if line.Level != "debug" && !strings.HasPrefix(line.Msg, "listening for") {
			lines = append(lines, line.Level+" "+line.Msg)
		}
	}
	slices.Sort(lines)
	return lines
}

// TestOneLineForOneFault: a fault has one line for what it means to the account, if it means
// something to it, and one for each message or login that fails.
func TestOneLineForOneFault(t *testing.T) {
	const failed = "info message not accepted"
	reply := func(phase sandbox.Phase, text string) sandbox.Rule {
		return sandbox.Rule{Phase: phase, Action: sandbox.ActionReply, Reply: text}
	}
	for _, tt := range []struct {
		name, email string
		rule        sandbox.Rule
		want        []string
		parts       []string // of the line about the message, or of the only line
	}{
		{"a refused message", "x@outlook.com", reply(sandbox.PhaseAfterEOD, "550 5.7.1 spam"), []string{failed},
			[]string{`"phase":"final reply"`, `"upstream":"localhost:`, `"reply":"550 5.7.1 spam"`, `"maybe_accepted":false`}},
		{"a refused recipient", "x@outlook.com", reply(sandbox.PhaseRcpt, "550 5.1.1 no such user"), []string{failed}, []string{`"phase":"RCPT"`}},
		{"no final reply", "x@outlook.com", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionClose}, []string{failed},
			[]string{`"maybe_accepted":true`, `"error":"final reply: EOF"`}},
		{"a hold", "x@outlook.com", reply(sandbox.PhaseAfterEOD, "550 5.1.8 Access denied, bad outbound sender"),
			[]string{"error account held until an operator acts", failed}, []string{`"reply":"550 5.1.8`}},
		{"a used-up quota", "x@gmail.com", reply(sandbox.PhaseAfterEOD, "550 5.4.5 Daily user sending limit exceeded."),
			[]string{failed, "warn account paused, the provider's quota is used up"}, []string{`"code":452`, `550 5.4.5 Daily`}},
		{"a busy provider", "x@outlook.com", reply(sandbox.PhaseAfterEOD, "451 4.7.500 Server busy. Please try again later"),
			[]string{"info account throttled", failed}, []string{`"code":451`}},
		{"a login that holds", "x@outlook.com", reply(sandbox.PhaseAuth, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."),
			[]string{"error account held until an operator acts", failed}, []string{`"phase":"AUTH"`, "Set-CASMailbox"}},
		{"a login that fails for now", "x@outlook.com", reply(sandbox.PhaseAuth, "454 4.7.0 Temporary authentication failure"),
			[]string{failed, "warn upstream login failed"}, []string{`"phase":"AUTH"`}},
		{"no greeting", "x@outlook.com", sandbox.Rule{Phase: sandbox.PhaseConnect, Action: sandbox.ActionClose},
			[]string{failed, "warn upstream login failed"}, []string{`"phase":"greeting"`}},
		{"a refused refresh", "x@outlook.com", sandbox.Rule{}, []string{"error token refresh failed"}, []string{`"class":"invalid_grant"`, `"hint":"`, `"email":"x@outlook.com"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t, tt.email)
			if tt.rule.Phase == "" {
				s.Provider.RevokeGrant(tt.email)
			} else if err := s.Provider.SetFaults(tt.rule); err != nil {
				t.Fatal(err)
			}
			if err := apptest.Deliver(s.ClientAddrs()[0].String(), tt.email, "x", "fails"); err == nil {
				t.Fatal("the message was taken")
			}
			s.End()
			if got := s.told(); !slices.Equal(got, tt.want) {
				t.Errorf("lines %q, want %q", got, tt.want)
			}
			s.WaitLog(1, append(tt.parts, `"account":"`, `"email":"`)...)
		})
	}
}

// TestRememberedRefusalIsTold: the line about a refused refresh tells it for the login that
// waited; one that meets what is remembered has a line of its own.
func TestRememberedRefusalIsTold(t *testing.T) {
	s := newStack(t, "x@outlook.com")
	s.Provider.RevokeGrant("x@outlook.com")
	for range 2 {
		if _, err := s.Client("x@outlook.com"); err == nil {
			t.Fatal("logged in")
		}
	}
	s.End()
	if got, want := s.told(), []string{"error token refresh failed", "info login refused: no access token"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	s.WaitLog(1, `"level":"debug"`, "login refused: no access token", `"remote":"`)
}

// TestOneLineForOneReload: a refused reload has one line; one that leaves an entry out has
// one for the entry beside that of the reload.
func TestOneLineForOneReload(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(string) string
		want []string
	}{
		{"unreadable", func(string) string { return "{" }, []string{"error reload refused, nothing was changed"}},
		{"a wrong entry", func(s string) string { return strings.Replace(s, `"outlook"`, `"outlok"`, 1) },
			[]string{"error " + leftOutMessage, "info reloaded"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t, "a@gmail.com", "b@outlook.com")
			s.live.cancel() // only the test reloads
			s.live.wg.Wait()
			apptest.WriteFile(t, s.Files.Accounts, tt.edit(apptest.ReadAll(t, s.Files.Accounts)))
			_, _ = s.live.reload("test", false)
			s.End()
			if got := s.told(); !slices.Equal(got, tt.want) {
				t.Errorf("lines %q, want %q", got, tt.want)
			}
		})
	}
}
