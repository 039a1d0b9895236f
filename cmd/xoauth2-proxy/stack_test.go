package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/app"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// stack is a running proxy with a sandbox as its provider.
type stack struct{ *apptest.Stack }

// newStack starts a proxy that ends with the test; see apptest.Start.
func newStack(t *testing.T, emails ...string) *stack {
	t.Helper()
	provider, f := apptest.NewSandbox(t, emails...)
	return startStack(t, provider, f)
}

// startStack starts a proxy with those files; see newStack.
func startStack(t *testing.T, provider *sandbox.Server, f sandbox.ProxyFiles) *stack {
	t.Helper()
	c := serveCmd{files: files{Config: f.Config, Accounts: f.Accounts}, Port: new(int), AdminPort: new(int)}
	return &stack{apptest.Start(t, provider, f, func(log *zap.Logger, level zap.AtomicLevel) (apptest.Proxy, error) {
		p, err := prepare(c.load, &c.cache)
		if err != nil {
			return nil, err
		}
		p.log.Close()
		o := p.options
		o.Log, o.Level, o.Reopen = log, level, nil
		return app.Start(o)
	})}
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
	checkCode(t, code, args)
	stdout, stderr = out(), errs()
	apptest.CheckCanaries(t, strings.Join(args, " "), stdout+stderr)
	return code, stdout, stderr
}
