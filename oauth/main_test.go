package oauth

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/account"
)

func TestMain(m *testing.M) {
	// The runtime's own goroutine for cleanups counts as one of ours while it runs the
	// cleanups of the thousands of mailboxes that tests have left.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("runtime.runCleanups"))
}

func snapshot(t *testing.T, accounts ...*account.Account) *account.Snapshot {
	t.Helper()
	s, err := account.NewSnapshot(accounts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.Timeout = 5 * time.Second
	return cfg
}

func testManager(t *testing.T, cfg Config) *Manager {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	m := New(cfg, nil, nil)
	t.Cleanup(m.Close)
	return m
}
