package app

import (
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/sandbox"
)

// stack is a running proxy with a sandbox as its provider.
type stack struct {
	*apptest.Stack
	*Proxy
}

// newStack starts a proxy that ends with the test; see apptest.Start.
func newStack(t *testing.T, emails ...string) *stack {
	t.Helper()
	provider, f := apptest.NewSandbox(t, emails...)
	return startStack(t, provider, f)
}

// startStack starts a proxy with those files; see newStack.
func startStack(t *testing.T, provider *sandbox.Server, f sandbox.ProxyFiles) *stack {
	t.Helper()
	s := new(stack)
	s.Stack = apptest.Start(t, provider, f, func(log *zap.Logger, level zap.AtomicLevel) (_ apptest.Proxy, err error) {
		s.Proxy, err = Start(optionsFor(t, f, log, level))
		return s.Proxy, err
	})
	return s
}

// accountingDir is the directory of the accounting log of a proxy with those files.
func accountingDir(f sandbox.ProxyFiles) string {
	return filepath.Join(filepath.Dir(f.Accounts), "accounting")
}

// optionsFor returns options of a proxy with those files, on free ports.
func optionsFor(t *testing.T, f sandbox.ProxyFiles, log *zap.Logger, level zap.AtomicLevel) Options {
	t.Helper()
	o := Options{Cache: new(accountfile.Cache), Since: time.Now(), Log: log, Level: level}
	o.Load = func() (*config.Settings, *account.Snapshot, *keyfile.Report, error) {
		s, accounts, report, err := config.Load(f.Config, f.Accounts, o.Cache)
		if err == nil && s.Accounting.Directory == "" {
			s.Accounting.Directory = accountingDir(f)
		}
		if err == nil {
			err = s.Override(config.Flags{Port: new(int), AdminPort: new(int)})
		}
		return s, accounts, report, err
	}
	var err error
	if o.Settings, o.Accounts, _, err = o.Load(); err != nil {
		t.Fatal(err)
	}
	return o
}
