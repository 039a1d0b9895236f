//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
)

// TestLoginRefused: what AUTH answers when no mail can be sent for the account,
// as the Go client and as swaks see it.
func TestLoginRefused(t *testing.T) {
	tests := []struct {
		name, login string
		fault       []sandbox.Rule
		want        string
	}{
		{"unknown account", "nobody@gmail.com", nil, "535 5.7.8"},
		{"grant revoked by its user", gmailUser, []sandbox.Rule{
			{Phase: sandbox.PhaseToken, Action: sandbox.ActionInvalidGrant}}, "535 5.7.8"},
		{"token endpoint answers 503", gmailUser, []sandbox.Rule{
			{Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Status: 503, Body: "try later"}}, "454 4.7.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStackWith(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser), Faults: tt.fault})
			if got := loginReply(s, tt.login); !strings.HasPrefix(got, tt.want) {
				t.Errorf("AUTH was answered %q, want %s", got, tt.want)
			}
			o, err := run(t.Context(), nil, program(t, "swaks"), "--server", s.addr, "--auth", "PLAIN",
				"--auth-user", tt.login, "--auth-password", clientPassword, "--from", tt.login, "--to", "recipient@example.com")
			if err != nil {
				t.Fatalf("swaks: %v: %v", err, o)
			}
			const authFailed = 28 // exit code of swaks
			if o.code != authFailed || !strings.Contains(string(o.stdout), "<** "+tt.want) {
				t.Errorf("want exit code %d and the reply %s: %v", authFailed, tt.want, o)
			}
			if n := len(s.provider.Messages()); n != 0 {
				t.Errorf("%d messages are at the provider", n)
			}
		})
	}
}

// TestOneAccountFails: an account without a token does not touch another.
func TestOneAccountFails(t *testing.T) {
	s := newStackWith(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser), Faults: []sandbox.Rule{
		{Phase: sandbox.PhaseToken, Account: outlookUser, Action: sandbox.ActionInvalidGrant}}})
	if got := loginReply(s, outlookUser); !strings.HasPrefix(got, "535 5.7.8") {
		t.Errorf("AUTH was answered %q, want 535 5.7.8", got)
	}
	c, err := dial(s.addr, gmailUser)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := numbered(gmailUser, 0, 0)
	if err := send(c, m); err != nil {
		t.Fatal(err)
	}
	s.arrived(t, m)
}

// loginReply returns the reply to AUTH, "235" for a success.
func loginReply(s *stack, login string) string {
	c, err := dial(s.addr, login)
	if err == nil {
		c.Close()
		return "235"
	}
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", reply.Code, reply.Msg)
}
