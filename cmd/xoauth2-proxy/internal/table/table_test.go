package table

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestWrite has tables of all widths: no line is longer than asked for, and no word
// of a cell is lost.
func TestWrite(t *testing.T) {
	header := []string{"email", "account_id", "result", "phase", "message", "hint"}
	rows := [][]string{
		{"someone.with.a.long.name@mail.customers.example.com", "outlook_someone_with_a_long_name_mail_customers_example_com", "login_refused", "AUTH",
			"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", "run Set-CASMailbox -SmtpClientAuthenticationDisabled $false"},
		{"a@b.example", "id", "works", "", "", ""},
		{"m\u00fcller@b.example", "id", "works", "", "two\nlines", ""},
	}
	for _, most := range []int{0, 200, 100, 80, 60} {
		var b strings.Builder
		if err := Write(&b, most, header, rows); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); most > 0 && n > most || line != strings.TrimRight(line, " ") {
				t.Errorf("a line of %d columns in a table of %d: %q", n, most, line)
			}
		}
		for _, part := range []string{"535", "5.7.139", "Set-CASM", "works", "lines"} {
			if !strings.Contains(b.String(), part) {
				t.Errorf("the table of %d lacks %q", most, part)
			}
		}
		squeezed := strings.Join(strings.Fields(b.String()), "")
		if got := strings.Count(squeezed, "e") + strings.Count(squeezed, "7"); most == 0 {
			continue
		} else if want := strings.Count(strings.Join(append(header, append(append(rows[0], rows[1]...), rows[2]...)...), ""), "e") +
			strings.Count(strings.Join(rows[0], ""), "7"); got != want {
			t.Errorf("the table of %d has %d of %d letters", most, got, want)
		}
	}
}
