package oauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

func catchAll(change func(*account.Account)) *account.Account {
	return tokentest.AccountLike(&account.Account{ID: "app", Email: "*@outlook.com", Flow: account.FlowClientCredentials,
		ClientID: "app", ClientSecret: account.NewSecret("s"), Scope: tokentest.AppScope, TokenURL: "https://login.example.com/token"}, change)
}

func mailboxOf(t *testing.T, s *account.Snapshot, login string) *account.Account {
	t.Helper()
	a, ok := s.ByLogin([]byte(login))
	if !ok {
		t.Fatalf("%s cannot log in", login)
	}
	return a
}

// All mailboxes of a catch-all account log in with one token, each as itself.
func TestSharedToken(t *testing.T) {
	box := tokentest.NewSandbox(t, sandbox.Config{
		Accounts: []sandbox.Account{{Email: "anna@outlook.com"}, {Email: "bert@outlook.com"}},
		Clients:  []sandbox.Client{{ID: "app", Secret: "s", Mailboxes: []string{"*@outlook.com"}}},
	})
	snap := snapshot(t, catchAll(func(a *account.Account) { a.TokenURL = box.TokenURL() }))
	m := testManager(t, testConfig())
	m.Retain(snap)
	var access string
	for _, login := range []string{"anna@outlook.com", "bert@outlook.com"} {
		s := m.Source(mailboxOf(t, snap, login))
		tok := mustGet(t, s)
		raw, _ := base64.StdEncoding.DecodeString(string(tok.XOAUTH2))
		if !strings.HasPrefix(string(raw), "user="+login+"\x01") || !box.Opens(login, tok.Access) {
			t.Errorf("%s: the token is not for it", login)
		}
		if access != "" && access != tok.Access {
			t.Error("two tokens of one client")
		}
		access = tok.Access
		if s.Cached() != tok || mustGet(t, s) != tok {
			t.Error("the token is not cached")
		}
		got := make(chan *Token, 1)
		s.Request(func(tok *Token, err error) { got <- tok })
		if <-got != tok {
			t.Error("Request gives another token")
		}
	}
	if n := box.Stats().TokenRequests; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	if st, ok := m.State("app/anna@outlook.com"); !ok || !st.HasToken || st.Flow != account.FlowClientCredentials {
		t.Errorf("state %+v", st)
	}
	if err := m.ForceRefresh(t.Context(), mailboxOf(t, snap, "anna@outlook.com")); err != nil || box.Stats().TokenRequests != 2 {
		t.Errorf("ForceRefresh: %v", err)
	}
}

// The refusal of one mailbox at login does not concern the others.
func TestSharedTokenRefused(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		snap := snapshot(t, catchAll(func(*account.Account) {}))
		m.Retain(snap)
		good, bad := m.Source(mailboxOf(t, snap, "anna@outlook.com")), m.Source(mailboxOf(t, snap, "bert@outlook.com"))
		tok := mustGet(t, good)
		for range 100 {
			if t := bad.Cached(); t != nil {
				bad.Invalidate(t)
			}
			if _, err := bad.Get(t.Context()); err != nil && !errors.Is(err, ErrTokenRefused) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if _, err := bad.Get(t.Context()); !errors.Is(err, ErrTokenRefused) {
			t.Errorf("the refused mailbox: %v", err)
		}
		if st, _ := m.State(bad.id); st.LastError == nil {
			t.Error("its state does not say so")
		}
		if good.Cached() != tok || f.count() != 1 {
			t.Errorf("the others lost their token; %d requests", f.count())
		}
		// The mailbox gets the permission that it lacked.
		time.Sleep(10 * time.Minute)
		if mustGet(t, bad).Access != tok.Access {
			t.Error("not tried again")
		}
		// An old token that is refused is replaced, for all.
		good.Invalidate(mustGet(t, good))
		if next := mustGet(t, good); next.Access == tok.Access || mustGet(t, bad).Access != next.Access || f.count() != 2 {
			t.Errorf("the old token was not replaced once; %d requests", f.count())
		}
	})
}

func TestSharedTokenReload(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		snap := snapshot(t, catchAll(func(*account.Account) {}))
		m.Retain(snap)
		s := m.Source(mailboxOf(t, snap, "anna@outlook.com"))
		tok := mustGet(t, s)
		same := snapshot(t, catchAll(func(a *account.Account) { a.VMTA = "x" }))
		m.Retain(same)
		if again := m.Source(mailboxOf(t, same, "anna@outlook.com")); again != s || again.Cached() != tok {
			t.Error("a reload without changes lost the token")
		}
		changed := snapshot(t, catchAll(func(a *account.Account) { a.ClientSecret = account.NewSecret("new") }))
		m.Retain(changed)
		if _, err := s.Get(t.Context()); !errors.Is(err, flow.ErrRemoved) || s.Cached() != nil {
			t.Errorf("the old source: %v", err)
		}
		if next := mustGet(t, m.Source(mailboxOf(t, changed, "anna@outlook.com"))); next.Access == tok.Access {
			t.Error("a token of the old secret is in use")
		}
		m.Retain(snapshot(t, catchAll(func(a *account.Account) { a.ID = "app2" })))
		time.Sleep(leaveGrace)
		synctest.Wait()
		if _, err := m.Source(mailboxOf(t, changed, "anna@outlook.com")).Get(t.Context()); !errors.Is(err, flow.ErrRemoved) {
			t.Errorf("a removed account: %v", err)
		}
	})
}

// Service accounts get a token for each mailbox.
func TestServiceAccountCatchAll(t *testing.T) {
	private, public := tokentest.PEMKey(t, tokentest.RSAKey(t))
	box := tokentest.NewSandbox(t, sandbox.Config{
		Accounts: []sandbox.Account{{Email: "anna@gmail.com"}, {Email: "bert@gmail.com"}},
		Clients:  []sandbox.Client{{ID: tokentest.SvcEmail, PublicKey: public}},
	})
	snap := snapshot(t, &account.Account{ID: "svc", Email: "*@gmail.com", Flow: account.FlowServiceAccount, ClientID: tokentest.SvcEmail,
		PrivateKey: private, Scope: "https://mail.google.com/", TokenURL: box.TokenURL()})
	m := testManager(t, testConfig())
	m.Retain(snap)
	seen := map[string]bool{}
	for _, login := range []string{"anna@gmail.com", "bert@gmail.com"} {
		tok := mustGet(t, m.Source(mailboxOf(t, snap, login)))
		if !box.Opens(login, tok.Access) || seen[tok.Access] {
			t.Errorf("%s: the token is not its own", login)
		}
		seen[tok.Access] = true
	}
	if _, err := m.Source(mailboxOf(t, snap, "nobody@gmail.com")).Get(t.Context()); !errors.Is(err, ErrInvalidGrant) {
		t.Errorf("a mailbox that does not exist: %v", err)
	}
	m.Retain(snap)
	if got := fmt.Sprint(m.countCached()); got != "2" {
		t.Errorf("%s tokens after a reload", got)
	}
}
