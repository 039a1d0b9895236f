package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"xoauth2-proxy/internal/app/apptest"
)

// TestTableFits has tables of all widths: no line is longer than asked for, and no word
// of a cell is lost.
func TestTableFits(t *testing.T) {
	header := []string{"email", "account_id", "result", "phase", "message", "hint"}
	rows := [][]string{
		{"someone.with.a.long.name@mail.customers.example.com", "outlook_someone_with_a_long_name_mail_customers_example_com", "login_refused", "AUTH",
			"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", "run Set-CASMailbox -SmtpClientAuthenticationDisabled $false"},
		{"a@b.example", "id", "works", "", "", ""},
		{"m\u00fcller@b.example", "id", "works", "", "two\nlines", ""},
	}
	for _, most := range []int{0, 200, 100, 80, 60} {
		var b strings.Builder
		if err := writeTable(&b, most, header, rows); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); most > 0 && n > most || line != strings.TrimRight(line, " ") {
				t.Errorf("a line of %d columns in a table of %d: %q", n, most, line)
			}
		}
		apptest.CheckParts(t, b.String(), "535", "5.7.139", "Set-CASM", "works", "lines")
		squeezed := strings.Join(strings.Fields(b.String()), "")
		if got := strings.Count(squeezed, "e") + strings.Count(squeezed, "7"); most == 0 {
			continue
		} else if want := strings.Count(strings.Join(append(header, append(append(rows[0], rows[1]...), rows[2]...)...), ""), "e") +
			strings.Count(strings.Join(rows[0], ""), "7"); got != want {
			t.Errorf("the table of %d has %d of %d letters", most, got, want)
		}
	}
}

// TestAccountsListStates asks a running proxy which accounts do not work.
func TestAccountsListStates(t *testing.T) {
	s := newStack(t, "user@gmail.com", "dead@gmail.com", "user@outlook.com")
	s.Provider.RevokeGrant("dead@gmail.com")
	if c, err := s.Client("dead@gmail.com"); err == nil {
		_ = c.Close()
		t.Error("it logs in")
	}
	list := append(with(s.Files, "accounts", "list"), "--state")
	said := mustRun(t, 0, append(list, "broken")...)
	apptest.CheckParts(t, said, "state", "dead@gmail.com", "refused")
	if strings.Contains(said, "user@") {
		t.Error(said)
	}
	apptest.CheckParts(t, mustRun(t, 0, append(list, "all", "--provider", "outlook", "--json")...), `"email": "user@outlook.com"`, `"state": "active"`)
	apptest.CheckParts(t, mustRun(t, 0, append(list, "all", "--csv")...), "email,account_id,state,until,detail\n")
	apptest.CheckParts(t, mustRun(t, exitUsage, append(list, "dead")...), `"dead" is none of active, throttled`)
	s.End()
	apptest.CheckParts(t, mustRun(t, exitFailure, append(list, "all")...), "no running proxy was found", "only a running proxy knows")
}
