package app

import (
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
)

// TestLogNamesAccounts: a line that names an account by its ID or by its address has both.
func TestLogNamesAccounts(t *testing.T) {
	accounts, err := account.NewSnapshot([]*account.Account{{ID: "relay_a", Email: "a@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	log := namingAccounts(zap.New(core), account.NewStore(accounts))
	for name, write := range map[string]func(){
		"by ID":             func() { log.Info("x", zap.String("account", "relay_a")) },
		"by address":        func() { log.Info("x", zap.String("email", "a@example.com")) },
		"by both":           func() { log.Info("x", zap.String("account", "relay_a"), zap.String("email", "a@example.com")) },
		"by ID, with":       func() { log.With(zap.String("account", "relay_a")).Info("x", zap.Int("code", 250)) },
		"in a named logger": func() { log.Named("oauth").Warn("x", zap.String("account", "relay_a")) },
	} {
		write()
		got := logs.TakeAll()
		if len(got) != 1 {
			t.Fatalf("%s: %d lines", name, len(got))
		}
		fields := got[0].ContextMap()
		keys := 0
		for _, f := range got[0].Context {
			if slices.Contains([]string{"account", "email"}, f.Key) {
				keys++
			}
		}
		if fields["account"] != "relay_a" || fields["email"] != "a@example.com" || keys != 2 {
			t.Errorf("%s: %v", name, got[0].Context)
		}
	}
	log.Info("x", zap.String("account", "unknown"))
	log.Debug("x", zap.String("account", "relay_a"))
	if got := logs.TakeAll(); len(got) != 1 || len(got[0].Context) != 1 {
		t.Errorf("unknown: %v", got)
	}
}

// TestRunningProxyNamesAccounts has lines of different parts of a running proxy.
func TestRunningProxyNamesAccounts(t *testing.T) {
	const user = "user@outlook.com"
	s := newStack(t, user)
	if _, err := s.Client(user); err != nil {
		t.Fatal(err)
	}
	s.Want(200, nil, "POST", "/admin/accounts/"+user+"/pause", "")
	s.WaitLog(1, "account ordered by the admin API", `"account":"`, `"email":"`+user+`"`)
	s.WaitLog(1, "token refreshed", `"account":"`, `"email":"`+user+`"`)
}
