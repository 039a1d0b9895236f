package apptest

import (
	"context"
	"net"
	"net/http"
	"net/smtp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// Proxy is a running proxy.
type Proxy interface {
	ClientAddrs() []net.Addr
	AdminAddr() net.Addr
	AdminSocket() string
	Stop(context.Context) int64
}

// Stack is a running proxy with a sandbox as its provider.
type Stack struct {
	Proxy
	T        *testing.T
	Provider *sandbox.Server
	Files    sandbox.ProxyFiles
	Log      *Log
	End      func() // stops the proxy; the end of the test calls it too
}

// Start starts a proxy with the files by start, and ends it with the test. None of
// its log lines, down to debug level, may show a secret, and the provider may see no
// breach of protocol.
func Start(t *testing.T, box *sandbox.Server, f sandbox.ProxyFiles,
	start func(*zap.Logger, zap.AtomicLevel) (Proxy, error)) *Stack {
	t.Helper()
	lines, level := newLog(), zap.NewAtomicLevelAt(zap.DebugLevel)
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), lines, zap.DebugLevel)).
		WithOptions(zap.IncreaseLevel(level))
	p, err := start(log, level)
	if err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		p.Stop(ctx)
	})
	t.Cleanup(func() {
		end()
		CheckCanaries(t, "the log", lines.Text())
		provider.NoViolations(t, box)
	})
	return &Stack{Proxy: p, T: t, Provider: box, Files: f, Log: lines, End: end}
}

// WaitLog waits for n log lines that have all those parts.
func (s *Stack) WaitLog(n int, parts ...string) {
	s.T.Helper()
	deadline := time.After(Patience)
	for {
		s.Log.mu.Lock()
		more, found := s.Log.more, 0
		for line := range strings.Lines(s.Log.lines.String()) {
			if containsAll(line, parts) {
				found++
			}
		}
		s.Log.mu.Unlock()
		if found >= n {
			return
		}
		select {
		case <-more:
		case <-deadline:
			s.T.Fatalf("%d of %d lines with %q in\n%s", found, n, parts, s.Log.Text())
		}
	}
}

// Client logs in and returns the session.
func (s *Stack) Client(email string) (*smtp.Client, error) {
	return testkit.LogIn(s.ClientAddrs()[0].String(), email, "placeholder")
}

// OverSocket returns a transport that connects to a unix socket, whatever the URL.
func OverSocket(path string) *http.Transport { return testkit.OverSocket(path) }

// Call sends a request to the admin server: a GET to its address, all others to the
// admin socket. No answer may show a secret.
func (s *Stack) Call(method, path, body string) (int, string) {
	s.T.Helper()
	if method == http.MethodGet {
		return s.CallBy(&http.Transport{}, method, path, body)
	}
	return s.CallBy(OverSocket(s.AdminSocket()), method, path, body)
}

// CallBy sends a request to the admin server; no answer may show a secret.
func (s *Stack) CallBy(tr *http.Transport, method, path, body string) (int, string) {
	s.T.Helper()
	resp, text := testkit.Ask(s.T, tr, method, "http://"+s.AdminAddr().String()+path, body)
	CheckCanaries(s.T, method+" "+path, text)
	return resp.StatusCode, text
}

// Want is Call that checks the status and parts of the answer.
func (s *Stack) Want(status int, parts []string, method, path, body string) string {
	s.T.Helper()
	got, text := s.Call(method, path, body)
	if got != status || !containsAll(text, parts) {
		s.T.Errorf("%s %s: %d %s, want %d with %q", method, path, got, text, status, parts)
	}
	return text
}

// Edit changes the accounts file as an operator's program would.
func (s *Stack) Edit(change func(*accountfile.List) error) {
	s.T.Helper()
	settings, err := config.LoadSettings(s.Files.Config, s.Files.Accounts)
	if err != nil {
		s.T.Fatal(err)
	}
	if _, err := accountfile.Edit(settings.Accounts(), accountfile.EditOptions{}, change); err != nil {
		s.T.Fatal(err)
	}
}

// Entry returns an account of the sandbox as an entry of the accounts file.
func (s *Stack) Entry(email string) *accountfile.Entry {
	s.T.Helper()
	settings, err := config.LoadSettings(s.Files.Config, s.Files.Accounts)
	if err != nil {
		s.T.Fatal(err)
	}
	list := `[{"email": "` + email + `", "client_id": "sandbox-client-` + accountfile.ProviderOf(email) + `", "refresh_token": "` + s.Provider.RefreshToken(email) +
		`", "oauth_token_url": "` + s.Provider.TokenURL() + `", "oauth_endpoint": "localhost:` + s.Port(email) + `"}]`
	imported, err := accountfile.ReadImport(settings.Accounts(), []byte(list), accountfile.ImportOptions{})
	if err != nil || imported[0].Err != nil {
		s.T.Fatal(err, imported)
	}
	return imported[0].Entry
}

// Port returns the port of the submission endpoint of an account's provider.
func (s *Stack) Port(email string) string {
	addr := s.Provider.Addr(accountfile.ProviderOf(email))
	return addr[strings.LastIndexByte(addr, ':')+1:]
}

// Request returns the body that adds an account of the sandbox; more is appended to
// its fields.
func (s *Stack) Request(email, more string) string {
	a := Account(email)
	provider := "gmail"
	if a.ClientSecret == "" {
		provider = "outlook"
	}
	return `{"email": "` + email + `", "provider": "` + provider + `", "client_id": "sandbox-client-` + provider +
		`", "client_secret": "` + a.ClientSecret + `", "refresh_token": "` + a.RefreshToken +
		`", "oauth_token_url": "` + s.Provider.TokenURL() + `", "oauth_endpoint": "localhost:` + s.Port(email) + `"` + more + `}`
}
