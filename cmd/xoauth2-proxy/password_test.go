package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keyboard"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/testkit"
)

var hashLine = regexp.MustCompile(`^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[^$\s]+\$[^$\s]+\n$`)

// TestPasswordHash hashes passwords given in every way; clients can log in with
// them, to their account or by the shared password, and with no other.
func TestPasswordHash(t *testing.T) {
	const own, shared = "canary: correct hörse ", "canary-shared"
	hash := []string{"password", "hash"}
	code, ownHash, said := withInput(t, own+"\r\n", hash...)
	if code != 0 || !hashLine.MatchString(ownHash) || said != "" {
		t.Fatalf("exit code %d, %q, %q", code, ownHash, said)
	}
	code, screen, sharedHash := newTerminal(t).run([][2]string{{"Password (not shown): ", "canary\x15xy\u00fc\b\x7f\x7f\x7f" + shared + "\r"}, {"The same again: ", shared + "\r"}}, hash...)
	apptest.CheckCanaries(t, "the screen", screen+sharedHash)
	if code != 0 || !hashLine.MatchString(sharedHash) {
		t.Fatalf("exit code %d, %q, the screen is %q", code, sharedHash, screen)
	}
	// Octets that are not UTF-8, and no line end.
	if code, hash, said := withInput(t, "canary\xe4", hash...); code != 0 || !hashLine.MatchString(hash) {
		t.Errorf("exit code %d, %q, %q", code, hash, said)
	}
	if _, another, _ := withInput(t, own, hash...); another == ownHash || !hashLine.MatchString(another) {
		t.Errorf("hashed again: %q", another)
	}

	provider, f := apptest.NewSandbox(t, "user@gmail.com")
	var accounts struct {
		Accounts []map[string]any `json:"accounts"`
	}
	if err := json.Unmarshal([]byte(apptest.ReadAll(t, f.Accounts)), &accounts); err != nil {
		t.Fatal(err)
	}
	accounts.Accounts[0]["client_password"] = strings.TrimSpace(ownHash)
	text, err := json.Marshal(accounts)
	if err != nil {
		t.Fatal(err)
	}
	apptest.WriteFile(t, f.Accounts, string(text))
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "server": {"shared_password": %q}, "listeners": [
		{"address": "127.0.0.1:0", "passwords": "account"}, {"address": "127.0.0.1:0", "passwords": "shared"}]}`, f.CA, strings.TrimSpace(sharedHash)))
	s := startStack(t, provider, f)
	for i, right := range []string{own, shared} {
		for _, given := range []string{own, shared, strings.TrimSpace(ownHash)} {
			c, err := testkit.LogIn(s.ClientAddrs()[i].String(), "user@gmail.com", given)
			if (err == nil) != (given == right) {
				t.Errorf("listener %d, password %q: %v", i, given, err)
			}
			if err == nil {
				_ = c.Close()
			}
		}
	}
}

// TestPasswordHashRefuses gives what cannot be a password, by standard input and
// at the terminal, which shows typed characters again afterwards.
func TestPasswordHashRefuses(t *testing.T) {
	long := strings.Repeat("x", keyboard.MaxPassword)
	for _, tt := range []struct{ input, says string }{
		{"", "the password is empty"},
		{"\n", "the password is empty"},
		{"canary\ncanary\n", "one line"},
		{"canary\n\n", "one line"},
		{"can\x00ary", "without NUL"},
		{long + "y", "at most 1024 octets"},
		{long + "\r\ny", "at most 1024 octets"},
	} {
		if code, stdout, stderr := withInput(t, tt.input, "password", "hash"); code != exitFailure || stdout != "" || !strings.Contains(stderr, tt.says) {
			t.Errorf("%q: exit code %d, %q, %q", tt.input, code, stdout, stderr)
		}
	}
	if code, stdout, stderr := withInput(t, long+"\r\n", "password", "hash"); code != 0 || !hashLine.MatchString(stdout) {
		t.Errorf("the longest: exit code %d, %q", code, stderr)
	}
	const first, second = "Password (not shown): ", "The same again: "
	for _, tt := range []struct {
		typed [][2]string
		says  string
	}{
		{[][2]string{{first, "\r"}}, "the password is empty"},
		{[][2]string{{first, "canary\r"}, {second, "canary2\r"}}, "the two are not the same"},
		{[][2]string{{first, "canary\x03"}}, "no password was given"},
		{[][2]string{{first, "canary\r"}, {second, "\x04"}}, "no password was given"},
		{[][2]string{{first, "can\x00ary\r"}}, "without NUL"},
		{[][2]string{{first, long + "y\r"}}, "at most 1024 octets"},
	} {
		code, screen, stdout := newTerminal(t).run(tt.typed, "password", "hash")
		apptest.CheckCanaries(t, "the screen", screen)
		if code != exitFailure || stdout != "" || !strings.Contains(screen, tt.says) {
			t.Errorf("%q: exit code %d, %q, the screen is %q", tt.typed, code, stdout, screen)
		}
	}
}
