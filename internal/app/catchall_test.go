package app

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// appAccounts is an accounts file with one application for the mailboxes of
// contoso.example; further keys are the account's.
func appAccounts(s *sandbox.Server, further string) string {
	addr := s.Addr(sandbox.PresetOutlook)
	return fmt.Sprintf(`[{"account_id": "app", "email": "*@contoso.example", "provider": "outlook", "oauth_flow": "client_credentials",
		"client_id": "app", "client_secret": "canary-app", "oauth_token_url": %q, "oauth_endpoint": "localhost%s"%s}]`,
		s.TokenURL(), addr[strings.LastIndexByte(addr, ':'):], further)
}

// newAppStack starts a proxy with the accounts of appAccounts. settings are sections
// of its configuration beside those that it has.
func newAppStack(t *testing.T, further string, settings ...string) *stack {
	t.Helper()
	provider, f := apptest.NewSandbox(t)
	for _, email := range []string{"sales@contoso.example", "news@contoso.example", "barred@contoso.example"} {
		if err := provider.AddAccount(sandbox.Account{Email: email, Provider: sandbox.PresetOutlook}); err != nil {
			t.Fatal(err)
		}
	}
	app := sandbox.Client{ID: "app", Secret: "canary-app", Mailboxes: []string{"sales@contoso.example", "news@contoso.example"}}
	if err := provider.AddClient(app); err != nil {
		t.Fatal(err)
	}
	apptest.WriteFile(t, f.Accounts, appAccounts(provider, further))
	for _, section := range settings {
		text, err := os.ReadFile(f.Config)
		if err != nil {
			t.Fatal(err)
		}
		apptest.WriteFile(t, f.Config, strings.Replace(string(text), "{", "{"+section+",", 1))
	}
	return startStack(t, provider, f)
}

// TestCatchAll has clients log in as mailboxes of a domain that is one account.
func TestCatchAll(t *testing.T) {
	s := newAppStack(t, "")
	sales, err := s.Client("Sales@Contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	defer sales.Close()
	news, err := s.Client("news@contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	defer news.Close()
	for _, login := range []string{"*@contoso.example", "sales@other.example", "@contoso.example",
		"sales@contoso.example\x01x=@contoso.example", "sales\x01@contoso.example", "sa les@contoso.example", "sales@x@contoso.example"} {
		if c, err := s.Client(login); err == nil {
			_ = c.Close()
			t.Errorf("%q logs in", login)
		} else if !strings.Contains(err.Error(), "535") && !strings.Contains(err.Error(), "5.7.8") {
			t.Errorf("%q is refused by %v, want 535 5.7.8", login, err)
		}
	}
	if err := apptest.Send(sales, "one"); err != nil {
		t.Error(err)
	}
	if err := apptest.Send(news, "two"); err != nil {
		t.Error(err)
	}
	// The provider refuses one mailbox; that is held against this one alone.
	barred, err := s.Client("barred@contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	defer barred.Close()
	if err := apptest.Send(barred, "refused"); err == nil || !strings.Contains(err.Error(), "SMTP.SendAsApp") {
		t.Errorf("the mailbox that the application may not use: %v", err)
	}

	// A reload, after which the same sessions go on, over the same connections.
	apptest.WriteFile(t, s.Files.Accounts, appAccounts(s.Provider, `, "max_recipients": 9`))
	if _, err := s.live.reload("test", false); err != nil {
		t.Fatal(err)
	}
	if err := apptest.Send(sales, "three"); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	if err := apptest.Send(news, "four"); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	var logins []string
	connections := make(map[uint64]string)
	for _, m := range s.Provider.Messages() {
		logins = append(logins, m.Account)
		if before, ok := connections[m.Connection]; ok && before != m.Account {
			t.Errorf("connection %d serves %s and %s", m.Connection, before, m.Account)
		}
		connections[m.Connection] = m.Account
	}
	if want := []string{"sales@contoso.example", "news@contoso.example", "sales@contoso.example", "news@contoso.example"}; !slices.Equal(logins, want) || len(connections) != 2 {
		t.Errorf("messages of %q over %d connections, want %q over 2", logins, len(connections), want)
	}
	if n := s.Provider.Stats().TokenRequests; n != 1 {
		t.Errorf("%d token requests, want one for all", n)
	}
	s.Want(200, []string{`"account_id":"app"`}, "GET", "/admin/accounts", "")

	// Without the account, its sessions end.
	s.Edit(func(l *accountfile.List) error { return l.Remove("*@contoso.example") })
	if _, err := s.live.reload("test", true); err != nil {
		t.Fatal(err)
	}
	if err := sales.Mail("from@example.com"); err == nil || !strings.HasPrefix(err.Error(), "421") {
		t.Errorf("a session of a removed account: %v", err)
	}
}

// TestCatchAllMailboxes has one mailbox more log in than may be in use: it is told
// so and may come back, and the ones that are there send and log in as before.
func TestCatchAllMailboxes(t *testing.T) {
	s := newAppStack(t, "", `"oauth": {"max_mailboxes": 1}`)
	sales, err := s.Client("sales@contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	defer sales.Close()
	for range 2 {
		if c, err := s.Client("news@contoso.example"); err == nil {
			_ = c.Close()
			t.Error("a mailbox too many logs in")
		} else if want := `454 "4.7.0 too many mailboxes of the catch-all account are in use: try again in some minutes, or raise oauth.max_mailboxes"`; err.Error() != want {
			t.Errorf("the answer is %v, want %v", err, want)
		}
		again, err := s.Client("SALES@contoso.example")
		if err != nil {
			t.Fatalf("a mailbox that is there: %v", err)
		}
		_ = again.Close()
		if err := apptest.Send(sales, "goes out"); err != nil {
			t.Error(err)
		}
	}
}

// TestCatchAllWithOAUTHBEARER logs in with the other mechanism.
func TestCatchAllWithOAUTHBEARER(t *testing.T) {
	s := newAppStack(t, `, "auth_mechanism": "oauthbearer"`)
	c, err := s.Client("sales@contoso.example")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The sandbox's Microsoft does not offer it, as the real one does not.
	if err := apptest.Send(c, "one"); err == nil || !strings.Contains(err.Error(), "OAUTHBEARER is not offered") {
		t.Errorf("got %v", err)
	}
}
