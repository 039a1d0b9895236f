package config

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
)

// TestBlanksAroundValues has values with white space and invisible characters around
// them, in each way that a value can be given.
func TestBlanksAroundValues(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	type way struct {
		name string
		give func(text string) string // returns the value in the file
	}
	ways := []way{
		{"file", func(text string) string { return "file:" + write(t, dir, "secret", text) }},
		{"env", func(text string) string { t.Setenv("TEST_BLANK", text); return "env:TEST_BLANK" }},
		{"credential", func(text string) string { write(t, dir, "given", text); return "credential:given" }},
	}
	serviceKey := func(a *account.Account) string { return a.PrivateKey.Reveal() }
	for _, key := range []struct {
		name, flow, plain, more string
		got                     func(*account.Account) string
		want                    string
		password                bool
	}{
		{name: "refresh_token", plain: "token", got: func(a *account.Account) string { return a.RefreshToken.Reveal() }},
		{name: "client_secret", plain: "secret", more: `"refresh_token": "r", "send_client_secret": true`, got: func(a *account.Account) string { return a.ClientSecret.Reveal() }},
		{name: "oauth_proxy", plain: "http://u:p@proxy:3128", more: `"refresh_token": "r"`, got: func(a *account.Account) string { return a.TokenProxy.Reveal() }},
		{name: "client_private_key", plain: somePEM, more: `"oauth_flow": "client_credentials", "tenant": "t", "client_certificate": ` + quoted(somePEM), got: serviceKey},
		{name: "service_account_key", plain: `{"type": "service_account", "client_email": "sa", "private_key": ` + quoted(somePEM) + `}`,
			more: `"oauth_flow": "service_account"`, want: somePEM, got: serviceKey},
		{name: "client_password", plain: "pass", more: `"refresh_token": "r"`, got: func(a *account.Account) string { return a.ClientPassword.Reveal() }, password: true},
	} {
		want := key.want
		if want == "" {
			want = key.plain
		}
		for _, blank := range []struct{ name, before, after string }{
			{"nothing", "", ""}, {"space", " ", " "}, {"tab", "", "\t"}, {"line end", "", "\n"}, {"CRLF", "", "\r\n"}, {"two line ends", "", "\n\n"}, {"line end before", "\n", ""},
			{"no-break space", "\u00a0", "\u00a0"}, {"zero width space", "\u200b", "\u200b"}, {"byte order mark", "\ufeff", ""}, {"mark and line end", "\ufeff", "\r\n"}, {"ideographic space", "", "\u3000"},
		} {
			for _, w := range ways {
				text := blank.before + key.plain + blank.after
				s, snapshot, report, err := load(t, "", fmt.Sprintf(`[{"email": "a@contoso.com", "provider": "outlook", "client_id": "c", %q: %q%s}]`,
					key.name, w.give(text), strings.TrimSuffix(", "+key.more, ", ")))
				what := key.name + " by " + w.name + " with " + blank.name
				if key.password {
					kept := text // a password may begin and end with spaces
					if w.name != "env" {
						kept = strings.TrimSuffix(strings.TrimSuffix(kept, "\n"), "\r")
					}
					if strings.ContainsAny(kept, "\n\r\t") {
						if err == nil {
							t.Errorf("%s: no error", what)
						}
					} else if err != nil || key.got(snapshot.All()[0]) != kept {
						t.Errorf("%s: %v", what, err)
					}
					continue
				}
				if err != nil || s == nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				if got := key.got(snapshot.All()[0]); got != want {
					t.Errorf("%s is %q", what, got)
				}
				warned := strings.Contains(strings.Join(report.Lines(), "\n"), "accounts[]."+key.name+": warning: white space")
				if wanted := blank.before != "" || strings.Trim(blank.after, "\r\n") != ""; warned != wanted {
					t.Errorf("%s: warned %v", what, warned)
				}
			}
			if blank.name != "nothing" && !key.password {
				text := blank.before + key.plain + blank.after
				_, _, _, err := load(t, "", fmt.Sprintf(`[{"email": "a@contoso.com", "provider": "outlook", "client_id": "c", %q: %s%s}]`,
					key.name, quoted(text), strings.TrimSuffix(", "+key.more, ", ")))
				if oneLine := !strings.HasSuffix(key.name, "_key"); oneLine && err == nil {
					t.Errorf("%s inline with %s: no error", key.name, blank.name)
				}
			}
		}
	}
	for _, w := range ways {
		if _, _, _, err := load(t, "", fmt.Sprintf(`[{"email": "a@contoso.com", "provider": "outlook", "client_id": "c", "refresh_token": %q}]`, w.give(" \u200b\n"))); err == nil {
			t.Errorf("nothing but blanks by %s: no error", w.name)
		}
	}
}

// TestEncryptedKeys has keys in PEM form that need a passphrase.
func TestEncryptedKeys(t *testing.T) {
	old, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", []byte("key"), []byte("canary"), x509.PEMCipherAES256) //nolint:staticcheck // old keys are so
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range []*pem.Block{{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("key")}, old} {
		path := write(t, t.TempDir(), "key", string(pem.EncodeToMemory(block)))
		_, _, _, err := load(t, "", fmt.Sprintf(`[{"email": "a@contoso.com", "provider": "outlook", "client_id": "c", "oauth_flow": "client_credentials", "tenant": "t",
			"client_certificate": %s, "client_private_key": "file:%s"}]`, quoted(somePEM), filepath.ToSlash(path)))
		if err == nil || !strings.Contains(err.Error(), "client_private_key: is an encrypted key") || !strings.Contains(err.Error(), "openssl") {
			t.Errorf("%s: %v", block.Type, err)
		}
	}
}
