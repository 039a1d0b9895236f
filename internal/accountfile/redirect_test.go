package accountfile

import (
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/seal"
)

// TestSecretKeys holds the keys of accounts that are declared as secrets against
// those that are sealed, and those that are sent.
func TestSecretKeys(t *testing.T) {
	neverSealed := []string{"client_certificate", "token_command"} // it is public; it is no string
	for _, k := range accountTable.Keys {
		if !k.Secret || k.Set == nil {
			continue
		}
		if sealed := slices.Contains(SealedKeys, k.Path); sealed == slices.Contains(neverSealed, k.Path) {
			t.Errorf("%s: is it sealed?", k.Path)
		}
		if sent := slices.Contains(sentSecrets(), k.Path); sent == slices.Contains(notSent, k.Path) {
			t.Errorf("%s: is it sent?", k.Path)
		}
	}
	for _, key := range slices.Concat(SealedKeys, notSent, neverSealed) {
		if k, ok := accountTable.Find(key); !ok || !k.Secret {
			t.Errorf("%s is not declared as a secret", key)
		}
	}
}

// TestRedirection puts entries over an account that has every secret.
func TestRedirection(t *testing.T) {
	const there = `[{"email": "user@example.com", "provider": "gmail", "client_id": "c", "client_secret": "s", "refresh_token": "r",
		"client_password": "p", "oauth_proxy": "http://proxy.example:3128", "service_account_key": null, "client_private_key": ""}]`
	for _, tt := range []struct {
		name          string
		put           map[string]string
		changed, kept []string
	}{
		{"nothing", nil, nil, nil},
		{"another account", map[string]string{"email": "other@example.com", "client_id": "x"}, nil, nil},
		{"a name", map[string]string{"vmta_name": "v", "account_id": "id"}, nil, nil},
		{"secrets alone", map[string]string{"client_secret": "x", "refresh_token": "x"}, nil, nil},
		{"client", map[string]string{"client_id": "x"}, []string{"client_id"}, []string{"client_secret", "refresh_token", "oauth_proxy"}},
		{"provider", map[string]string{"provider": "outlook"}, []string{"provider", "oauth_token_url or tenant", "oauth_endpoint or tls"},
			[]string{"client_secret", "refresh_token", "oauth_proxy"}},
		{"endpoint, with a secret", map[string]string{"oauth_endpoint": "mail.example:587", "client_secret": "x"}, []string{"oauth_endpoint or tls"},
			[]string{"refresh_token", "oauth_proxy"}},
		{"mode of TLS", map[string]string{"tls": "implicit"}, []string{"oauth_endpoint or tls"}, []string{"client_secret", "refresh_token", "oauth_proxy"}},
		{"identity", map[string]string{"auth_identity": "boss@example.com"}, []string{"auth_identity"}, []string{"client_secret", "refresh_token", "oauth_proxy"}},
		{"proxy", map[string]string{"oauth_proxy": "http://other.example:3128"}, []string{"oauth_proxy"}, []string{"client_secret", "refresh_token"}},
		{"spelling", map[string]string{"email": "USER@example.com"}, []string{"email"}, []string{"client_secret", "refresh_token", "oauth_proxy"}},
		{"all", map[string]string{"client_id": "x", "oauth_token_url": "https://x.example/", "oauth_proxy": "http://x.example:1", "client_secret": "x", "refresh_token": "x"},
			[]string{"client_id", "oauth_token_url or tenant", "oauth_proxy"}, nil},
	} {
		l, err := newList("accounts.json", inMemory([]byte(there)), nil)
		if err != nil {
			t.Fatal(err)
		}
		e := new(Entry)
		e.Set("email", "user@example.com")
		for key, value := range tt.put {
			e.Set(key, value)
		}
		if tt.put["email"] == "other@example.com" {
			e.Set("provider", "gmail")
		}
		r, err := l.Redirection(testBasis(), e)
		if err != nil || (r == nil) != (tt.changed == nil) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
			continue
		}
		if r != nil && (!slices.Equal(r.Changed, tt.changed) || !slices.Equal(r.Kept, tt.kept)) {
			t.Errorf("%s: %q, %q; want %q, %q", tt.name, r.Changed, r.Kept, tt.changed, tt.kept)
		}
	}
}

// TestRedirectionOfABrokenAccount has an account that cannot be read: there is no
// telling where its secrets were to go.
func TestRedirectionOfABrokenAccount(t *testing.T) {
	for _, there := range []string{
		`[{"email": "user@example.com", "provider": "gmail", "client_id": "c", "client_secret": "s"}]`,
		`[{"email": "user@example.com", "provider": "none", "client_id": "c", "refresh_token": "r"}]`,
	} {
		l, err := newList("accounts.json", inMemory([]byte(there)), nil)
		if err != nil {
			t.Fatal(err)
		}
		e := new(Entry)
		for key, value := range map[string]string{"email": "user@example.com", "provider": "gmail", "refresh_token": "r", "oauth_endpoint": "mail.example:587"} {
			e.Set(key, value)
		}
		if r, err := l.Redirection(testBasis(), e); err == nil {
			t.Errorf("%s: %+v", there, r)
		}
	}
}

// TestEmailOfAField has the odd ways to give an email, which the reader and the
// sealer must take alike.
func TestEmailOfAField(t *testing.T) {
	ring, err := seal.ParseKeyring(seal.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	b := testBasis()
	b.Keys = ring
	for _, email := range []string{
		`"email": "a@example.com"`, `"email": "A@Example.com"`, `"email": "b@example.com", "email": "a@example.com"`,
		`"email": "a@example.com", "email": null`, `"_email": "b@example.com", "email": "a@example.com"`, `"\u0065mail": "a\u0040example.com"`,
	} {
		text := `[{` + email + `, "provider": "outlook", "client_id": "c", "refresh_token": "SECRET"}]`
		l, err := newList("accounts.json", inMemory([]byte(text)), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = l.ReplaceStrings([]string{"refresh_token"}, func(email, key, value string) (string, error) {
			return ring.SealField(value, seal.Field{Account: email, Key: key})
		})
		if err != nil || !strings.Contains(string(l.pack()), "sealed:v2:") {
			t.Fatalf("%s, %v", l.pack(), err)
		}
		snapshot, err := checkText(nil, b, l.pack())
		if err != nil || snapshot.All()[0].RefreshToken.Reveal() != "SECRET" {
			t.Errorf("%s: %v", email, err)
		}
	}
}
