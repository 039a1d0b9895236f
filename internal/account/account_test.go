package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const canary = "canary-7f3a"

func TestSecretIsNeverPrinted(t *testing.T) {
	s := NewSecret(canary)
	a := &Account{ID: "a", ClientSecret: s, RefreshToken: s}
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%T"} {
		fmt.Fprintf(&b, verb, s)
		fmt.Fprintf(&b, verb, &s)
		fmt.Fprintf(&b, verb, a)
		fmt.Fprintf(&b, verb, *a)
		fmt.Fprintf(&b, verb, []Secret{s})
	}
	for _, v := range []any{s, a, map[string]Secret{"k": s}} {
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(j)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "s", s, "a", a)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "s", s, "a", a)
	for _, leak := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(b.String(), leak) {
			t.Errorf("a secret was printed as %q", leak)
		}
	}
	if s.Reveal() != canary || s.IsZero() || !(Secret{}).IsZero() || s != NewSecret(canary) {
		t.Error("the value itself is not kept")
	}
}

func TestByLogin(t *testing.T) {
	snapshot := mustSnapshot(t,
		&Account{ID: "ascii", Email: "John.Doe@Example.com"},
		&Account{ID: "umlaut", Email: "Jürgen@exämple.de"},
		&Account{ID: "greek", Email: "ΣΊΣΥΦΟΣ@example.gr"},
		&Account{ID: "broken", Email: "\xff\xfe@example.com"},
	)
	tests := []struct{ login, id string }{
		{"john.doe@example.com", "ascii"},
		{"JOHN.DOE@EXAMPLE.COM", "ascii"},
		{"John.Doe@Example.com", "ascii"},
		{"JÜRGEN@EXÄMPLE.DE", "umlaut"},
		{"jürgen@exämple.de", "umlaut"},
		{"σίσυφοσ@example.gr", "greek"},
		{"σίσυφοσ@example.gr", "greek"},
		{"\xff\xfe@EXAMPLE.com", "broken"},
		{"\xfe\xff@example.com", ""},
		{"\ufffd\ufffd@example.com", ""},
		{"john.doe@example.co", ""},
		{"john_doe@example.com", ""},
		{"[ohn.doe@example.com", ""}, // '[' and '{' differ by the bit that parts cases
		{"", ""},
		{strings.Repeat("x", MaxLogin) + "@example.com", ""},
	}
	for _, tt := range tests {
		a, ok := snapshot.ByLogin([]byte(tt.login))
		if ok != (tt.id != "") || ok && a.ID != tt.id {
			t.Errorf("ByLogin(%q) = %v, %v, want %q", tt.login, a, ok, tt.id)
		}
	}
	if a, ok := snapshot.ByID("umlaut"); !ok || a.Email != "Jürgen@exämple.de" {
		t.Errorf("ByID = %v, %v", a, ok)
	}
	if _, ok := snapshot.ByID("UMLAUT"); ok {
		t.Error("ids are compared as they are")
	}
	if snapshot.Len() != 4 || len(snapshot.All()) != 4 || snapshot.All()[1].ID != "umlaut" {
		t.Error("All and Len do not give the accounts in their order")
	}
}

func TestNewSnapshotNamesAllDuplicates(t *testing.T) {
	_, err := NewSnapshot([]*Account{
		{ID: "a", Email: "one@example.com"},
		{ID: "b", Email: "two@example.com"},
		{ID: "a", Email: "three@example.com"},
		{ID: "c", Email: "TWO@example.com"},
		{ID: "", Email: "four@example.com"},
	})
	want := []DuplicateError{{"account_id", "a", 0, 2}, {"email", "TWO@example.com", 1, 3}}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error %v is not joined", err)
	}
	var got []DuplicateError
	for _, e := range joined.Unwrap() {
		if dup, ok := errors.AsType[*DuplicateError](e); ok {
			got = append(got, *dup)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("duplicates %v, want %v", got, want)
	}
	if n := len(joined.Unwrap()); n != 3 {
		t.Errorf("%d errors, want 3: %v", n, err)
	}
}

func TestFingerprints(t *testing.T) {
	base := func() *Account {
		return &Account{
			ID: "id", Email: "u@example.com", Provider: "gmail", ClientID: "client", TokenURL: "https://t/", Scope: "s",
			ClientSecret: NewSecret("cs"), RefreshToken: NewSecret("rt"), SMTP: Endpoint{"h", 587, TLSStartTLS},
			SourceIP: netip.MustParseAddr("127.0.0.1"),
		}
	}
	tests := []struct {
		name                    string
		change                  func(*Account)
		credentials, connection bool // whether the fingerprint changes
	}{
		{"nothing", func(*Account) {}, false, false},
		{"limits", func(a *Account) { a.Limits.MaxConnections = 7; a.RefreshMargin = time.Second }, false, false},
		{"vmta", func(a *Account) { a.VMTA = "v" }, false, false},
		{"id", func(a *Account) { a.ID = "other" }, true, true},
		{"client", func(a *Account) { a.ClientID = "other" }, true, true},
		{"client secret", func(a *Account) { a.ClientSecret = NewSecret("other") }, true, true},
		{"refresh token", func(a *Account) { a.RefreshToken = NewSecret("other") }, true, true},
		{"token URL", func(a *Account) { a.TokenURL = "https://other/" }, true, true},
		{"scope", func(a *Account) { a.Scope = "other" }, true, true},
		{"moved boundary", func(a *Account) { a.ClientID, a.ClientSecret = "clientc", NewSecret("s") }, true, true},
		{"host", func(a *Account) { a.SMTP.Host = "other" }, false, true},
		{"port", func(a *Account) { a.SMTP.Port = 25 }, false, true},
		{"TLS mode", func(a *Account) { a.SMTP.TLS = TLSImplicit }, false, true},
		{"source", func(a *Account) { a.SourceIP = netip.Addr{} }, false, true},
		{"identity", func(a *Account) { a.AuthIdentity = "shared@example.com" }, false, true},
		{"identity spelled out", func(a *Account) { a.AuthIdentity = "u@example.com" }, false, false},
	}
	want := base()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := base()
			tt.change(a)
			if got := a.CredentialsFingerprint() != want.CredentialsFingerprint(); got != tt.credentials {
				t.Errorf("credentials fingerprint changes: %v, want %v", got, tt.credentials)
			}
			if got := a.ConnectionFingerprint() != want.ConnectionFingerprint(); got != tt.connection {
				t.Errorf("connection fingerprint changes: %v, want %v", got, tt.connection)
			}
		})
	}
	t.Run("kept and copied", func(t *testing.T) {
		a := base()
		mustSnapshot(t, a)
		if a.CredentialsFingerprint() != want.CredentialsFingerprint() || a.ConnectionFingerprint() != want.ConnectionFingerprint() {
			t.Error("a snapshot changes the fingerprints")
		}
		b := *a
		b.RefreshToken = NewSecret("new")
		if b.CredentialsFingerprint() == a.CredentialsFingerprint() || b.ConnectionFingerprint() == a.ConnectionFingerprint() {
			t.Error("a changed copy has the fingerprints of the original")
		}
	})
}

func TestStore(t *testing.T) {
	st := NewStore(nil)
	if st.Load().Len() != 0 {
		t.Error("a new store has accounts")
	}
	if _, ok := st.Load().ByLogin([]byte("u@example.com")); ok {
		t.Error("an empty snapshot finds an account")
	}
	first, second := mustSnapshot(t, &Account{ID: "1", Email: "u@example.com"}), mustSnapshot(t)
	st.Swap(first)
	if st.Load() != first || st.Swap(second) != first || st.Load() != second {
		t.Error("Swap does not publish and give back")
	}
}

func TestPresetsKeepTheirCeilings(t *testing.T) {
	for _, p := range []Provider{Gmail(), Outlook()} {
		l, c := p.Limits, p.Ceilings
		for name, exceeded := range map[string]bool{
			"connections":       c.MaxConnections.Exceeded(l.MaxConnections),
			"recipients":        c.MaxRecipients.Exceeded(l.MaxRecipients),
			"age":               c.ConnectionMaxAge.Exceeded(l.ConnectionMaxAge),
			"idle":              c.IdleTimeout.Exceeded(l.IdleTimeout),
			"minute":            c.MessagesPerMinute.Exceeded(l.MessagesPerMinute),
			"day":               c.MessagesPerDay.Exceeded(l.MessagesPerDay),
			"recipients of day": c.RecipientsPerDay.Exceeded(l.RecipientsPerDay),
			"size":              c.MaxMessageSize.Exceeded(l.MaxMessageSize),
		} {
			if exceeded {
				t.Errorf("%s: default of %s is above its ceiling", p.Name, name)
			}
		}
		if p.RefreshMargin < p.MinRefreshMargin {
			t.Errorf("%s: refresh margin", p.Name)
		}
	}
}

func TestTokenURLFor(t *testing.T) {
	p := Outlook()
	for email, want := range map[string]string{
		"user@contoso.com": p.TokenURL, "user@hotmail.com": p.PersonalTokenURL, "user@OUTLOOK.com": p.PersonalTokenURL,
		"user@sub.live.com": p.TokenURL, `"a@msn.com"@contoso.com`: p.TokenURL,
	} {
		if got := p.TokenURLFor(email); got != want {
			t.Errorf("TokenURLFor(%q) = %q, want %q", email, got, want)
		}
	}
}

func TestEndpoint(t *testing.T) {
	for _, tt := range []struct {
		e    Endpoint
		want string
	}{
		{Endpoint{"smtp.gmail.com", 587, TLSModeForPort(587)}, "smtp.gmail.com:587 starttls"},
		{Endpoint{"::1", 465, TLSModeForPort(465)}, "[::1]:465 implicit"},
	} {
		if got := tt.e.String() + " " + string(tt.e.TLS); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

// TestFoldLogin has names that are one name, and names that look so and are not.
func TestFoldLogin(t *testing.T) {
	if long := strings.Repeat("\u00dc", MaxLogin); FoldLogin(long) != long {
		t.Error("a login that is longer than any was folded")
	}
	for _, tt := range []struct{ name, login, key string }{
		{"ASCII", "User@Example.COM", "user@example.com"},
		{"a letter beyond ASCII", "J\u00dcRGEN@example.com", "j\u00fcrgen@example.com"},
		{"decomposed", "Ju\u0308rgen@example.com", "j\u00fcrgen@example.com"},
		{"decomposed, in upper case", "JU\u0308RGEN@EXAMPLE.com", "j\u00fcrgen@example.com"},
		{"composed in lower case only", "J\u030c@example.com", "\u01f0@example.com"},
		{"domain beyond ASCII", "u@B\u00dcCHER.example", "u@xn--bcher-kva.example"},
		{"domain decomposed", "u@bu\u0308cher.example", "u@xn--bcher-kva.example"},
		{"domain in A-labels", "u@XN--BCHER-KVA.example", "u@xn--bcher-kva.example"},
		{"long s", "chri\u017f@example.com", "chri\u017f@example.com"},
		{"dotted I", "\u0130d@example.com", "\u0130d@example.com"},
		{"dotted I, decomposed", "I\u0307d@example.com", "\u0130d@example.com"},
		{"Kelvin sign", "\u212aarl@example.com", "\u212aarl@example.com"},
		{"Kelvin sign before a mark", "\u212a\u0301@example.com", "\u212a\u0301@example.com"},
		{"Kelvin sign in the domain", "u@\u212a.example", "u@xn--62g.example"},
		{"sharp s", "stra\u00dfe@example.com", "stra\u00dfe@example.com"},
		{"capital sharp s", "STRA\u1e9eE@example.com", "stra\u00dfe@example.com"},
		{"final sigma", "\u03a3\u03c2@example.com", "\u03c3\u03c2@example.com"},
		{"full width", "\uff21@example.com", "\uff41@example.com"},
		{"Greek question mark", "\u037e@example.com", "\u037e@example.com"},
		{"catch-all", "*@B\u00fccher.example", "*@xn--bcher-kva.example"},
		{"no domain", "\u00dc", "\u00fc"},
		{"not UTF-8", "A\xc3@Example.com", "a\xc3@example.com"},
	} {
		if got := FoldLogin(tt.login); got != tt.key {
			t.Errorf("%s: %+q, want %+q", tt.name, got, tt.key)
		}
		s := mustSnapshot(t, &Account{ID: "a", Email: tt.login, Flow: FlowClientCredentials})
		if a, ok := s.ByLogin([]byte(tt.key)); ok == (tt.login[0] == '*') || ok && a.Email != tt.login {
			t.Errorf("%s: by its key: %+v, %v", tt.name, a, ok)
		}
	}
}

// TestNoLoginIsAnothers has one mailbox and a catch-all account beside it: a name that
// only looks like the mailbox's is its own.
func TestNoLoginIsAnothers(t *testing.T) {
	s := mustSnapshot(t, &Account{ID: "c", Email: "chris@example.com"}, &Account{ID: "k", Email: "karl@example.com"})
	all := mustSnapshot(t, &Account{ID: "app", Email: "*@example.com", Flow: FlowClientCredentials})
	for _, login := range []string{"chri\u017f@example.com", "\u212aarl@example.com", "chr\u0130s@example.com"} {
		if a, ok := s.ByLogin([]byte(login)); ok {
			t.Errorf("%+q is %s", login, a.Email)
		}
		if a, ok := all.ByLogin([]byte(login)); !ok || a.Identity() != login || a.Email != login {
			t.Errorf("%+q sends as %+v", login, a)
		}
	}
	a, _ := all.ByLogin([]byte("J\u00dcRGEN@example.com"))
	if b, _ := all.ByLogin([]byte("ju\u0308rgen@EXAMPLE.com")); a != b || a.Identity() != "j\u00fcrgen@example.com" {
		t.Errorf("%s and %s are one mailbox", a.Identity(), b.Identity())
	}
}

// FuzzFoldLogin checks that a key is its own key, that canonically equivalent names and
// names in another case have one key, and that no letter becomes an ASCII one.
func FuzzFoldLogin(f *testing.F) {
	f.Add("User@Example.com")
	f.Add("\u212a@x")
	f.Add("\u017f@b\u00fccher")
	f.Add("\xc3\x28")
	f.Add("J\u030c\u0130@\u037e\u1fef")
	f.Fuzz(func(t *testing.T, s string) {
		key := FoldLogin(s)
		if FoldLogin(key) != key {
			t.Errorf("the key of %+q, %+q, is not stable: %+q", s, key, FoldLogin(key))
		}
		if !utf8.ValidString(s) {
			return
		}
		local, _, ok := strings.Cut(s, "@")
		if !ok || strings.Count(s, "@") > 1 {
			return
		}
		folded := key[:strings.IndexByte(key, '@')]
		count := func(s string) (n int) {
			for _, c := range []byte(norm.NFC.String(s)) {
				if c < utf8.RuneSelf {
					n++
				}
			}
			return n
		}
		if !strings.ContainsAny(local, "\u212a\u037e\u1fef") && count(folded) > count(local) {
			t.Errorf("%+q has more ASCII in its key, %+q", s, key)
		}
	})
}

func mustSnapshot(t testing.TB, accounts ...*Account) *Snapshot {
	t.Helper()
	s, err := NewSnapshot(accounts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSnapshotExtensions: the extensions that any client may use.
func TestSnapshotExtensions(t *testing.T) {
	for _, tt := range []struct {
		of   []Extensions
		want Extensions
	}{
		{nil, ExtensionsUnknown},
		{[]Extensions{Ext8BITMIME | ExtDSN}, Ext8BITMIME | ExtDSN},
		{[]Extensions{Ext8BITMIME | ExtDSN, Ext8BITMIME | ExtSMTPUTF8}, Ext8BITMIME},
		{[]Extensions{Ext8BITMIME, 0}, 0},
	} {
		var all []*Account
		for i, x := range tt.of {
			all = append(all, &Account{ID: fmt.Sprint(i), Email: fmt.Sprintf("%d@example.com", i), Extensions: x})
		}
		s, err := NewSnapshot(all)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Extensions(); got != tt.want {
			t.Errorf("of %b: %b, want %b", tt.of, got, tt.want)
		}
	}
	if got := NewStore(nil).Load().Extensions(); got != ExtensionsUnknown {
		t.Errorf("of no accounts: %b", got)
	}
}
