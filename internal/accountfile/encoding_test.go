package accountfile

import (
	"fmt"
	"strings"
	"testing"
)

// TestEncodings has files of accounts that are not in UTF-8, in each place of a letter: they
// are refused with their line, and no letter is replaced.
func TestEncodings(t *testing.T) {
	account := func(more string) string {
		return fmt.Sprintf(`{"email": "a@hotmail.com", "provider": "outlook", "client_id": "c"%s}`, more)
	}
	const secret = ", \"refresh_token\": \"canary\""
	utf16 := func(text string) string {
		var b strings.Builder
		for _, c := range text {
			b.WriteString(string(c) + "\x00")
		}
		return b.String()
	}
	for _, tt := range []struct{ name, text, want string }{
		{"UTF-8", "\ufeff[\n" + account(secret+", \"client_password\": \"canary\u00e9\"") + "]", ""},
		{"a name", "[\n\n" + strings.Replace(account(secret), "a@", "j\xf6rg@", 1) + "]", ":3: is not in UTF-8, maybe in Latin-1"},
		{"a secret", "[\n" + account(", \"refresh_token\": \"canary\xe9\"") + "]", ":2: is not in UTF-8"},
		{"a password", "[\n" + account(secret) + ",\n" + account(secret+", \"client_password\": \"canary\xe9\"") + "]", ":3: is not in UTF-8"},
		{"a note", "[" + account(secret+", \"_note\": \"caf\xe9\"") + "]", ":1: is not in UTF-8"},
		{"a comment", "[ // caf\xe9\n" + account(secret) + "]", ":1: is not in UTF-8"},
		{"around the accounts", "{\"_note\": \"caf\xe9\",\n\"accounts\": [" + account(secret) + "]}", ":1: is not in UTF-8"},
		{"after the accounts", "{\"accounts\": [" + account(secret) + "],\n\"_note\": \"caf\xe9\"}", ":2: is not in UTF-8"},
		{"UTF-16 with a mark", "\xff\xfe" + utf16("["+account(secret)+"]"), ":1: is in UTF-16"},
		{"UTF-16", utf16("[" + account(secret) + "]"), ":1: is in UTF-16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := writeAccounts(t, tt.text)
			_, _, err := reread(b)
			_, edited := Edit(b, EditOptions{}, func(l *List) error { return l.Remove("a@hotmail.com") })
			for _, err := range []error{err, edited} {
				switch {
				case tt.want == "" && err != nil:
					t.Error(err)
				case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary")):
					t.Errorf("%v, want %q", err, tt.want)
				}
			}
		})
	}
}
