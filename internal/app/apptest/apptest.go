// Package apptest has what tests of the running proxy and of the commands share: a
// provider with files for a proxy, secrets that can be looked for, and a running
// proxy with its clients, its admin API and its log.
package apptest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/smtp"
	"os"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// Patience bounds every wait. It is far above what any wait takes, so that only a
// hang meets it.
const Patience = testkit.Patience

// Timeout returns a context that ends with the test, or after Patience.
func Timeout(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), Patience)
}

// canaries are in every secret of the tests: the sandbox begins access tokens
// with the first and rotated refresh tokens with the second.
var canaries = append([]string{"sbx.", "sbr.", "canary"}, append(encoded("canary"), encoded("Bearer sbx.")...)...)

// encoded returns s as it looks inside a longer text in base64, wherever it begins,
// and in hexadecimal.
func encoded(s string) (forms []string) {
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte("xx"[:before] + s))
		forms = append(forms, text[(8*before+5)/6:8*(before+len(s))/6])
	}
	return append(forms, hex.EncodeToString([]byte(s)))
}

// CheckCanaries fails the test if text shows a secret.
func CheckCanaries(t *testing.T, what, text string) {
	t.Helper()
	for _, c := range canaries {
		if at := strings.Index(text, c); at >= 0 {
			t.Errorf("%s shows a secret: %s", what, text[max(0, at-80):min(len(text), at+80)])
		}
	}
}

// Account returns an account of the sandbox with secrets that can be looked for.
func Account(email string) sandbox.Account {
	a := sandbox.Account{Email: email, RefreshToken: "canary-refresh-" + email}
	if strings.HasSuffix(email, "@gmail.com") {
		a.ClientSecret = "canary-secret-gmail"
	}
	return a
}

// NewSandbox starts a provider with those accounts and writes the files for a
// proxy.
func NewSandbox(t *testing.T, emails ...string) (*sandbox.Server, sandbox.ProxyFiles) {
	t.Helper()
	cfg := sandbox.Config{Limits: "off", Accounts: []sandbox.Account{}}
	for _, e := range emails {
		cfg.Accounts = append(cfg.Accounts, Account(e))
	}
	return NewProvider(t, cfg)
}

// NewProvider starts a provider and writes the files for a proxy.
func NewProvider(t *testing.T, cfg sandbox.Config) (*sandbox.Server, sandbox.ProxyFiles) {
	t.Helper()
	s := provider.Start(t, cfg)
	f, err := s.WriteProxyFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

// Send sends one message in a session.
func Send(c *smtp.Client, subject string) error {
	return testkit.Submit(c, "from@example.com", []string{"to@example.com"}, []byte("Subject: "+subject+"\r\n\r\nbody\r\n"))
}

// Deliver logs in and sends one message.
func Deliver(addr, user, password, subject string) error {
	c, err := testkit.LogIn(addr, user, password)
	if err != nil {
		return err
	}
	defer c.Close()
	return Send(c, subject)
}

// WriteFile writes a file that only its owner may read.
func WriteFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ReadAll reads a file.
func ReadAll(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// CheckParts fails the test if text lacks one of the parts.
func CheckParts(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in\n%s", p, text)
		}
	}
}

func containsAll(s string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
