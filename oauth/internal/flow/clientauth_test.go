package flow

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// TestClientAuth has clients prove their identity in every request that they send, by
// each method: a secret stands in one place of a request, and a certificate goes before
// a secret.
func TestClientAuth(t *testing.T) {
	const id, secret = "client:1", "s3cret +/&="
	key := tokentest.RSAKey(t)
	private, _ := tokentest.PEMKey(t, key)
	certificate := tokentest.PEMCertificate(t, key)
	requests := map[string]func(t *testing.T, f *Flows, a *account.Account) error{
		"refresh": func(t *testing.T, f *Flows, a *account.Account) error {
			_, err := fetch(t, f, a, time.Minute)
			return err
		},
		"client credentials": func(t *testing.T, f *Flows, a *account.Account) error {
			a.Flow = account.FlowClientCredentials
			_, err := fetch(t, f, a, time.Minute)
			return err
		},
		"code": func(t *testing.T, f *Flows, a *account.Account) error {
			if _, err := f.Ask(t.Context(), Grant{Account: a}, url.Values{"grant_type": {"authorization_code"}, "code": {"C"}}); err != nil {
				return err
			}
			return nil
		},
		"device": func(t *testing.T, f *Flows, a *account.Account) error {
			if _, err := f.AskDevice(t.Context(), a, a.TokenURL, "scope"); err != nil {
				return err
			}
			return nil
		},
	}
	tests := []struct {
		name   string
		change func(*account.Account)
		basic  bool
		post   bool
		signed bool
	}{
		{"default", func(a *account.Account) { a.ClientAuth = "" }, false, true, false},
		{"post", func(a *account.Account) { a.ClientAuth = account.ClientSecretPost }, false, true, false},
		{"basic", func(a *account.Account) { a.ClientAuth = account.ClientSecretBasic }, true, false, false},
		{"basic, public", func(a *account.Account) {
			a.ClientAuth, a.ClientSecret = account.ClientSecretBasic, account.Secret{}
		}, false, false, false},
		{"basic, certificate", func(a *account.Account) {
			a.ClientAuth, a.Certificate, a.PrivateKey = account.ClientSecretBasic, certificate, private
		}, false, false, true},
	}
	ts, f := tokentest.NewServer(t), testFlows(t)
	var header http.Header
	ts.SetAnswer(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Clone()
		tokentest.GiveToken(w, map[string]any{"access_token": "A1", "device_code": "D", "user_code": 123, "verification_uri": "https://example.com/"})
	})
	for name, request := range requests {
		for _, tt := range tests {
			a := tokentest.AccountLike(tokentest.Account(ts.URL), func(a *account.Account) {
				a.ClientID, a.ClientSecret = id, account.NewSecret(secret)
				tt.change(a)
			})
			if name == "client credentials" && !tt.basic && !tt.post && !tt.signed {
				continue // a public client has none
			}
			if err := request(t, f, a); err != nil {
				t.Errorf("%s, %s: %v", name, tt.name, err)
				continue
			}
			all := ts.Requests()
			form := all[len(all)-1]
			wantHeader, wantID, wantSecret := "", id, ""
			if tt.basic {
				wantHeader = "Basic " + base64.StdEncoding.EncodeToString([]byte("client%3A1:s3cret+%2B%2F%26%3D"))
				wantID = ""
			}
			if tt.post {
				wantSecret = secret
			}
			if got := header.Get("Authorization"); got != wantHeader {
				t.Errorf("%s, %s: header %q, want %q", name, tt.name, got, wantHeader)
			}
			if form.Get("client_id") != wantID || form.Get("client_secret") != wantSecret || form.Has("client_assertion") != tt.signed {
				t.Errorf("%s, %s: form %v", name, tt.name, form)
			}
		}
	}
}
