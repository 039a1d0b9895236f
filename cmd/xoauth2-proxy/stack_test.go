package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/sandbox"
)

// patience bounds every wait: far above what any takes, so that only a hang
// meets it.
const patience = 30 * time.Second

// canaries are in every secret of the tests: the sandbox begins access tokens
// with the first and rotated refresh tokens with the second.
var canaries = append([]string{"sbx.", "sbr.", "canary"}, append(encoded("canary"), encoded("Bearer sbx.")...)...)

// encoded is how s looks inside of a longer text in base64, wherever it begins
// there, and in hexadecimal.
func encoded(s string) (forms []string) {
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte("xx"[:before] + s))
		forms = append(forms, text[(8*before+5)/6:8*(before+len(s))/6])
	}
	return append(forms, hex.EncodeToString([]byte(s)))
}

// checkCanaries fails the test if text shows a secret.
func checkCanaries(t *testing.T, what, text string) {
	t.Helper()
	for _, c := range canaries {
		if at := strings.Index(text, c); at >= 0 {
			t.Errorf("%s shows a secret: %s", what, text[max(0, at-80):min(len(text), at+80)])
		}
	}
}

// testAccount is an account of the sandbox with secrets that can be looked for.
func testAccount(email string) sandbox.Account {
	a := sandbox.Account{Email: email, RefreshToken: "canary-refresh-" + email}
	if strings.HasSuffix(email, "@gmail.com") {
		a.ClientSecret = "canary-secret-gmail"
	}
	return a
}

// newSandbox starts a provider with those accounts and writes the files for a
// proxy.
func newSandbox(t *testing.T, emails ...string) (*sandbox.Server, sandbox.ProxyFiles) {
	t.Helper()
	cfg := sandbox.Config{Limits: "off", Accounts: []sandbox.Account{}}
	for _, e := range emails {
		cfg.Accounts = append(cfg.Accounts, testAccount(e))
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	dir := t.TempDir()
	f, err := s.WriteProxyFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

// stack is a running proxy with a sandbox behind it.
type stack struct {
	*proxy
	t        *testing.T
	provider *sandbox.Server
	files    sandbox.ProxyFiles
	log      *logBook
	end      func() // stops the proxy, as the end of the test does
}

// newStack starts a proxy, which ends with the test. Nothing that it logs, at
// debug level, may show a secret.
func newStack(t *testing.T, emails ...string) *stack {
	t.Helper()
	provider, f := newSandbox(t, emails...)
	return startStack(t, provider, f)
}

// startStack starts a proxy with those files; see newStack.
func startStack(t *testing.T, provider *sandbox.Server, f sandbox.ProxyFiles) *stack {
	t.Helper()
	c := serveCmd{files: files{Config: f.Config, Accounts: f.Accounts}, Port: new(int), AdminPort: new(int)}
	from := origin{load: c.load, memory: &c.memory, level: zap.NewAtomicLevelAt(zap.DebugLevel), since: time.Now()}
	settings, accounts, _, err := c.load()
	if err != nil {
		t.Fatal(err)
	}
	book := newLogBook()
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), book, zap.DebugLevel)).
		WithOptions(zap.IncreaseLevel(from.level))
	p, err := startProxy(settings, accounts, from, log)
	if err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.stop(ctx)
	})
	t.Cleanup(func() {
		end()
		checkCanaries(t, "the log", book.text())
		if v := provider.Stats().Violations; len(v) > 0 {
			t.Errorf("the provider saw breaches of protocol: %v", v)
		}
	})
	return &stack{proxy: p, t: t, provider: provider, files: f, log: book, end: end}
}

// logBook keeps log lines and tells who waits for one.
type logBook struct {
	mu    sync.Mutex
	lines bytes.Buffer
	more  chan struct{} // closed when there is more
}

func newLogBook() *logBook { return &logBook{more: make(chan struct{})} }

// Write implements zapcore.WriteSyncer.
func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines.Write(p)
	close(b.more)
	b.more = make(chan struct{})
	return len(p), nil
}

func (b *logBook) Sync() error { return nil }

func (b *logBook) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}

// waitLog waits for n log lines that have all those parts.
func (s *stack) waitLog(n int, parts ...string) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		s.log.mu.Lock()
		more, found := s.log.more, 0
		for line := range strings.Lines(s.log.lines.String()) {
			if containsAll(line, parts) {
				found++
			}
		}
		s.log.mu.Unlock()
		if found >= n {
			return
		}
		select {
		case <-more:
		case <-deadline:
			s.t.Fatalf("%d of %d lines with %q in\n%s", found, n, parts, s.log.text())
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

// client logs in and returns the session.
func (s *stack) client(email string) (*smtp.Client, error) {
	c, err := smtp.Dial(addrOf(s.server.Addrs()[0]))
	if err != nil {
		return nil, err
	}
	if err := c.Auth(smtp.PlainAuth("", email, "placeholder", "127.0.0.1")); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// send sends one message in a session.
func send(c *smtp.Client, subject string) error {
	if err := c.Mail("from@example.com"); err != nil {
		return err
	}
	if err := c.Rcpt("to@example.com"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Subject: %s\r\n\r\nbody\r\n", subject)
	return w.Close()
}

// overSocket is a transport that connects to a unix socket, whatever the URL.
func overSocket(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
}

// call sends a request to the admin server: to the address what only reads, to
// the admin socket all else. No answer may show a secret.
func (s *stack) call(method, path, body string) (int, string) {
	s.t.Helper()
	if method == http.MethodGet {
		return s.callBy(&http.Transport{}, method, path, body)
	}
	return s.callBy(overSocket(s.admin.SocketPath()), method, path, body)
}

// callBy sends a request to the admin server; no answer may show a secret.
func (s *stack) callBy(tr *http.Transport, method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.admin.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	checkCanaries(s.t, method+" "+path, string(text))
	return resp.StatusCode, string(text)
}

// want calls and checks status and parts of the answer.
func (s *stack) want(status int, parts []string, method, path, body string) string {
	s.t.Helper()
	got, text := s.call(method, path, body)
	if got != status || !containsAll(text, parts) {
		s.t.Errorf("%s %s: %d %s, want %d with %q", method, path, got, text, status, parts)
	}
	return text
}

// runCLI runs the program and returns its exit code and what it wrote, which may
// show no secret.
func runCLI(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	swap := func(f **os.File, name string) func() string {
		old := *f
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		*f = file
		return func() string {
			*f = old
			_ = file.Close()
			b, err := os.ReadFile(file.Name())
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
	}
	out, errs := swap(&os.Stdout, "out"), swap(&os.Stderr, "err")
	code = run(args)
	stdout, stderr = out(), errs()
	checkCanaries(t, strings.Join(args, " "), stdout+stderr)
	return code, stdout, stderr
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
