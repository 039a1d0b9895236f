package account

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
)

func catchAllSnapshot(t *testing.T) *Snapshot {
	t.Helper()
	s, err := NewSnapshot([]*Account{
		{ID: "app", Email: "*@Example.com", Flow: FlowClientCredentials, AuthIdentity: "probe@example.com"},
		{ID: "own", Email: "boss@example.com", RefreshToken: NewSecret("r")},
		{ID: "literal", Email: "*@example.org", RefreshToken: NewSecret("r")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCatchAll(t *testing.T) {
	s := catchAllSnapshot(t)
	tests := []struct {
		login, id, identity string // id "": none
	}{
		{"anna@example.com", "app/anna@example.com", "anna@example.com"},
		{"ANNA@EXAMPLE.COM", "app/anna@example.com", "anna@example.com"}, // the first spelling stays
		{"boss@example.com", "own", "boss@example.com"},                  // configured by itself
		{"*@example.com", "", ""},
		{"@example.com", "", ""},
		{"anna@example.net", "", ""},
		{"anna@example.org", "", ""}, // its credentials open one mailbox only
		{"anna", "", ""},
	}
	for _, tt := range tests {
		a, ok := s.ByLogin([]byte(tt.login))
		if ok != (tt.id != "") || ok && (a.ID != tt.id || a.Identity() != tt.identity) {
			t.Errorf("%s: %+v, %v", tt.login, a, ok)
			continue
		}
		if !ok {
			continue
		}
		if again, _ := s.ByLogin([]byte(tt.login)); again != a {
			t.Errorf("%s: another account the second time", tt.login)
		}
		if byID, ok := s.ByID(tt.id); !ok || byID != a {
			t.Errorf("%s is not found by its ID", tt.login)
		}
	}
	a, _ := s.ByLogin([]byte("anna@example.com"))
	b, _ := s.ByLogin([]byte("bert@example.com"))
	if a.Base() == nil || a.Base() != b.Base() || a.Base().ID != "app" {
		t.Error("the base is not the catch-all account")
	}
	if a.ConnectionFingerprint() == b.ConnectionFingerprint() {
		t.Error("two mailboxes share connections")
	}
	for _, id := range []string{"app/boss@example.com", "own/anna@example.com", "app/", "app/x", "/"} {
		if a, ok := s.ByID(id); ok {
			t.Errorf("ByID(%q) = %v", id, a.ID)
		}
	}
}

// TestCatchAllNames: a login goes to the provider as the user's name.
func TestCatchAllNames(t *testing.T) {
	s := catchAllSnapshot(t)
	for _, local := range []string{
		"ceo@other.example\x01x=", "a@b", "a@", "\"a@b\"", " anna", "anna ", "an na", "\tanna", "anna\r\n", "an\x00na", "\x01", "\x1fanna", "anna\x7f",
		"anna\u0085", "anna\u0091", "an\u00a0na", "an\u2003na", "an\u2028na", "anna\u3000", "an\xffna", "\xe2\x80",
	} {
		login := local + "@example.com"
		if a, ok := s.ByLogin([]byte(login)); ok {
			t.Errorf("%q logs in as %q", login, a.Email)
		}
		if a, ok := s.ByID("app/" + FoldLogin(login)); ok {
			t.Errorf("%q is found as %q", login, a.Email)
		}
	}
	for _, login := range []string{"an.na+x@example.com", "o'neil@example.com", "a/b@example.com", "\u00fcmit@example.com", "\u674e@example.com", "anna@EXAMPLE.com"} {
		if _, ok := s.ByLogin([]byte(login)); !ok {
			t.Errorf("%q does not log in", login)
		}
	}
}

func TestCheckCatchAll(t *testing.T) {
	for _, flow := range append(Flows, "") {
		a := Account{Email: "*@example.com", Flow: flow}
		want := flow != "" && flow != FlowRefreshToken
		if a.IsCatchAll() != want || errors.Is(a.CheckCatchAll(), ErrCatchAllFlow) == want {
			t.Errorf("flow %q: IsCatchAll = %v", flow, a.IsCatchAll())
		}
	}
}

func TestForTenant(t *testing.T) {
	p, ok := Outlook().ForTenant("contoso.onmicrosoft.com")
	if !ok || p.TokenURLFor("a@outlook.com") != "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token" ||
		p.DeviceURL != "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/devicecode" {
		t.Errorf("%+v, %v", p, ok)
	}
	for _, tenant := range []string{"", "a/b", "a b", "a?b"} {
		if _, ok := Outlook().ForTenant(tenant); ok {
			t.Errorf("tenant %q was taken", tenant)
		}
	}
	if _, ok := Gmail().ForTenant("contoso"); ok {
		t.Error("Google has no tenants")
	}
}

func TestClouds(t *testing.T) {
	for _, p := range Clouds() {
		tenant, ok := p.ForTenant("contoso")
		if !ok || tenant.TokenURL == p.TokenURL || p.SMTP.Host == Outlook().SMTP.Host || p.TokenURL == Outlook().TokenURL {
			t.Errorf("%s: %+v", p.Name, p)
		}
	}
}

func TestParseServiceAccount(t *testing.T) {
	sa, err := ParseServiceAccount([]byte(`{"type":"service_account","client_email":"svc@p.iam.gserviceaccount.com",
		"private_key":"-----BEGIN-----","private_key_id":"k1","token_uri":"https://oauth2.googleapis.com/token","project_id":"p"}`))
	if err != nil || sa.Email != "svc@p.iam.gserviceaccount.com" || sa.PrivateKey.Reveal() != "-----BEGIN-----" ||
		sa.PrivateKeyID != "k1" || sa.TokenURL != "https://oauth2.googleapis.com/token" {
		t.Errorf("%+v, %v", sa, err)
	}
	for _, bad := range []string{"", "[]", `{"type":"authorized_user"}`, `{"type":"service_account","client_email":"x"}`} {
		if _, err := ParseServiceAccount([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// What the operator changes about the client keeps the refresh tokens; another
// refresh token does not.
func TestChainFingerprint(t *testing.T) {
	a := Account{ID: "a", Email: "a@example.com", ClientID: "c", RefreshToken: NewSecret("r")}
	for name, change := range map[string]func(*Account){
		"secret": func(a *Account) { a.ClientSecret = NewSecret("s") },
		"scope":  func(a *Account) { a.Scope = "s" },
		"url":    func(a *Account) { a.TokenURL = "u" },
	} {
		b := a
		change(&b)
		if b.ChainFingerprint() != a.ChainFingerprint() || b.CredentialsFingerprint() == a.CredentialsFingerprint() {
			t.Errorf("%s: wrong fingerprint", name)
		}
	}
	for name, change := range map[string]func(*Account){
		"refresh token": func(a *Account) { a.RefreshToken = NewSecret("r2") },
		"client":        func(a *Account) { a.ClientID = "c2" },
		"id":            func(a *Account) { a.ID = "b" },
		"flow":          func(a *Account) { a.Flow = FlowExternal },
	} {
		b := a
		change(&b)
		if b.ChainFingerprint() == a.ChainFingerprint() {
			t.Errorf("%s: same chain", name)
		}
	}
}

// remembered counts the mailboxes that are remembered of the account with that
// ID.
func remembered(s *Snapshot, id string) (n int) {
	s.byID[id].mailboxes.byLogin.Range(func(any, any) bool { n++; return true })
	return n
}

// TestMailboxesComeAndGo has 80,000 names looked up, as failed logins do too: what
// nothing uses is forgotten, and what is in use is the same account all the time.
func TestMailboxesComeAndGo(t *testing.T) {
	s := catchAllSnapshot(t)
	kept, _ := s.ByLogin([]byte("kept@example.com"))
	for i := range 80_000 {
		if _, ok := s.ByLogin(fmt.Appendf(nil, "user%d@example.com", i)); !ok {
			t.Fatal("a mailbox cannot log in")
		}
	}
	for round := 0; remembered(s, "app") > 1; round++ {
		if round == 1000 {
			t.Fatalf("%d mailboxes are remembered", remembered(s, "app"))
		}
		runtime.GC() // which has the cleanups run on a goroutine
		runtime.Gosched()
	}
	if again, _ := s.ByLogin([]byte("KEPT@example.com")); again != kept {
		t.Error("a mailbox in use has become another account")
	}
	runtime.KeepAlive(kept)
	if _, ok := s.ByLogin([]byte("user1@example.com")); !ok {
		t.Error("a forgotten mailbox cannot log in")
	}
}

// TestMailboxesOfReload has a reload that leaves a catch-all account alone leave
// its mailboxes alone, and one that changes it make them anew.
func TestMailboxesOfReload(t *testing.T) {
	s := catchAllSnapshot(t)
	anna, _ := s.ByLogin([]byte("anna@example.com"))
	other := *s.byID["own"]
	other.VMTA = "x"
	same, err := s.Renew([]*Account{s.byID["app"], &other, s.byID["literal"]})
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := same.ByID(anna.ID); same == s || a != anna {
		t.Error("the mailbox of an account that is as it was is another one")
	}
	app := *s.byID["app"]
	app.VMTA = "x"
	changed, err := s.Renew([]*Account{&app, &other})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := changed.ByID(anna.ID)
	if a == anna || a.VMTA != "x" || a.Base() != &app {
		t.Errorf("the mailbox of a changed account is %+v", a)
	}
	if old, _ := s.ByLogin([]byte("anna@example.com")); old != anna {
		t.Error("the old snapshot has another mailbox than before")
	}
	runtime.KeepAlive(anna)
}

// TestMailboxesAtOnce has many look-ups at one time give one account.
func TestMailboxesAtOnce(t *testing.T) {
	s := catchAllSnapshot(t)
	for i := range 100 {
		login := fmt.Appendf(nil, "user%d@example.com", i)
		found := make([]*Account, 8)
		var wg sync.WaitGroup
		for n := range found {
			wg.Go(func() { found[n], _ = s.ByLogin(login) })
		}
		wg.Wait()
		for _, a := range found {
			if a != found[0] {
				t.Fatal("two accounts of one mailbox")
			}
		}
		if i%10 == 0 {
			runtime.GC()
		}
	}
}
