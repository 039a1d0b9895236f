package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"xoauth2-proxy/internal/app/apptest"
)

// TestRemoveAsks has a person at a terminal remove accounts: only "y" and "yes" do so.
// With --yes, for a dry run and without a terminal there is no question.
func TestRemoveAsks(t *testing.T) {
	for _, tt := range []struct {
		args    []string
		answer  string // "": no question is asked
		removed bool
	}{
		{[]string{"user@gmail.com"}, "y\n", true},
		{[]string{"user@gmail.com"}, "Yes\n", true},
		{[]string{"user@gmail.com"}, "n\n", false},
		{[]string{"user@gmail.com"}, "\n", false},
		{[]string{"user@gmail.com"}, "\x04", false},
		{[]string{"--all"}, "yes\n", true},
		{[]string{"--all"}, "no\n", false},
		{[]string{"user@gmail.com", "--yes"}, "", true},
		{[]string{"user@gmail.com", "--dry-run"}, "", false},
	} {
		_, f := apptest.NewSandbox(t, "user@gmail.com")
		var typed [][2]string
		if tt.answer != "" {
			typed = append(typed, [2]string{"[y/N]", tt.answer})
		}
		_, screen, _ := newTerminal(t).run(typed, with(f, append([]string{"accounts", "remove"}, tt.args...)...)...)
		if asked := strings.Contains(screen, "[y/N]"); asked != (tt.answer != "") {
			t.Errorf("%q: the screen is %q", tt.args, screen)
		}
		if gone := !strings.Contains(apptest.ReadAll(t, f.Accounts), "user@gmail.com"); gone != tt.removed {
			t.Errorf("%q, answered %q: removed %t", tt.args, tt.answer, gone)
		}
	}
}

// TestAuthorizeAsksForTheSecret has a person at a terminal authorize a new account: it
// asks for the client secret, as its help says, and tells that it waits. An account that
// has one stored is not asked for it. No line is too long for a terminal of 80 columns,
// unless an address alone is.
func TestAuthorizeAsksForTheSecret(t *testing.T) {
	const question = "client secret (not shown"
	for email, asked := range map[string]bool{"new@gmail.com": true, "user@gmail.com": false} {
		for _, method := range []string{"browser", "device"} {
			provider, f := apptest.NewSandbox(t, "user@gmail.com")
			if err := provider.AddAccount(apptest.Account("new@gmail.com")); err != nil {
				t.Fatal(err)
			}
			c := newConsentServer(t, provider, email)
			var typed [][2]string
			if asked {
				typed = append(typed, [2]string{question, "canary-secret-gmail\r"})
			}
			typed = append(typed, [2]string{"no consent", "\x04"}) // which ends the wait for a pasted address
			_, screen, stdout := newTerminal(t).run(typed, with(f, "authorize", email, "--method", method, "--client-id", "sandbox-client-gmail", "--auth-url", c.URL+"/authorize",
				"--device-url", c.URL+"/device", "--oauth-token-url", provider.TokenURL(), "--timeout", "300ms")...)
			if got := strings.Contains(screen, question); got != asked {
				t.Errorf("%s: asked for the secret: %t\n%s", email, got, screen)
			}
			apptest.CheckCanaries(t, email, screen+stdout)
			apptest.CheckParts(t, stdout, "Waiting for the consent.")
			for line := range strings.Lines(stdout) {
				if line = strings.TrimSpace(line); utf8.RuneCountInString(line) > 79 && strings.Contains(line, " ") {
					t.Errorf("a terminal breaks the line %q", line)
				}
			}
		}
	}
}
