//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// The two accounts that a stack has unless told otherwise.
const (
	gmailUser   = "user@gmail.com"
	outlookUser = "user@outlook.com"
)

// Secrets, each of a kind that no log line has by chance.
const (
	clientPassword     = "client-password-7c1e"
	clientSecret       = "client-secret-5ad0"
	refreshTokenPrefix = "refresh-token-93fb-"
)

// arrivalTimeout is for mail that a client has queued and not yet delivered.
const arrivalTimeout = 60 * time.Second

// stack is a provider and a proxy that relays to it, both the test's own.
type stack struct {
	*proxy
	dir      string // for the files of the test; other users may read it
	provider *sandbox.Server
}

func newStack(t *testing.T) *stack {
	return newStackWith(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser)})
}

func newStackWith(t *testing.T, cfg sandbox.Config) *stack {
	t.Helper()
	return newStackChanged(t, cfg, nil)
}

// newStackChanged has change, if not nil, edit the files of the proxy before it
// starts.
func newStackChanged(t *testing.T, cfg sandbox.Config, change func(*stack, sandbox.ProxyFiles)) *stack {
	t.Helper()
	dir, err := os.MkdirTemp(workDir, "stack-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	box := provider.Start(t, cfg)
	t.Cleanup(func() { provider.NoViolations(t, box) })
	files, err := box.WriteProxyFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{dir: dir, provider: box}
	if change != nil {
		change(s, files)
	}
	s.proxy = startProxy(t, files)
	return s
}

// accounts makes accounts of the addresses with the secrets that are looked
// for in logs.
func accounts(emails ...string) []sandbox.Account {
	out := make([]sandbox.Account, len(emails))
	for i, email := range emails {
		out[i] = sandbox.Account{Email: email, RefreshToken: refreshTokenPrefix + email}
		if email[len(email)-len("gmail.com"):] == "gmail.com" {
			out[i].ClientSecret = clientSecret
		}
	}
	return out
}

// port returns the port that clients connect to.
func (s *stack) port() string {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		panic(err) // the proxy logs no such address
	}
	return port
}

// mail is one message as a client is told to send it.
type mail struct {
	login   string // at the proxy
	from    string // reverse-path
	to      []string
	content []byte
}

// arrived checks that the provider has exactly this mail and nothing else. A
// client that was told 250 by the proxy itself need not wait for it.
func (s *stack) arrived(t *testing.T, want mail) {
	t.Helper()
	s.checkArrived(t, want, false)
}

// arrivedTraced is arrived for a mail transfer agent, which delivers when it
// sees fit and adds trace fields to the header.
func (s *stack) arrivedTraced(t *testing.T, want mail) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), arrivalTimeout)
	defer cancel()
	if _, err := s.provider.WaitFor(ctx, 1); err != nil {
		t.Fatal(err)
	}
	s.checkArrived(t, want, true)
}

func (s *stack) checkArrived(t *testing.T, want mail, traced bool) {
	t.Helper()
	got := s.provider.Messages()
	if len(got) != 1 {
		t.Fatalf("%d messages are at the provider, want 1", len(got))
	}
	m := got[0]
	if m.Account != want.login {
		t.Errorf("it came under the login %s, want %s", m.Account, want.login)
	}
	if m.ReversePath != want.from {
		t.Errorf("reverse-path %q, want %q", m.ReversePath, want.from)
	}
	to, wantTo := provider.Paths(m), slices.Clone(want.to)
	if traced { // it sorts them
		slices.Sort(to)
		slices.Sort(wantTo)
	}
	if !slices.Equal(to, wantTo) {
		t.Errorf("recipients %q, want %q", to, wantTo)
	}
	content := m.Body
	if traced {
		content = withoutTrace(t, content, len(want.content))
	}
	if got, want := digest(content), digest(want.content); got != want {
		t.Errorf("SHA-256 of the content that arrived is %s, of that sent %s", got, want)
	}
	if !bytes.Equal(content, want.content) {
		t.Errorf("the content differs: %s", firstDifference(content, want.content))
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// traceFields are what a mail transfer agent puts before a message (RFC 5321
// section 4.4): whole fields, folded or not.
var traceFields = regexp.MustCompile(`\A(?:Received:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+\z`)

// withoutTrace returns the last n octets of content. Only trace fields may come before them.
func withoutTrace(t *testing.T, content []byte, n int) []byte {
	t.Helper()
	if len(content) <= n {
		t.Errorf("%d octets arrived, want %d and trace fields before them", len(content), n)
		return content
	}
	added := content[:len(content)-n]
	if !traceFields.Match(added) {
		t.Errorf("%.500q was put before the message; only trace fields may be", added)
	}
	return content[len(added):]
}

// firstDifference describes where got and want part.
func firstDifference(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	around := func(b []byte) []byte { return b[max(0, i-40):min(len(b), i+40)] }
	return fmt.Sprintf("at octet %d of %d that arrived and %d that were sent: %q, want %q",
		i, len(got), len(want), around(got), around(want))
}
