package config

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/testkit"
)

// somePEM is a certificate and its RSA key in PEM form, in one.
var somePEM = func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(365 * 24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	c, k := testkit.PEM(tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key})
	return strings.TrimSpace(string(k) + string(c))
}()

// quoted is s as a string of a file.
func quoted(s string) string {
	b, _ := json.Marshal(s) // of a string: never fails
	return string(b)
}

// flowAccount loads one account without client_id and refresh_token.
func flowAccount(t *testing.T, config, keys string) (*account.Account, *keyfile.Report) {
	t.Helper()
	_, snapshot, report := mustLoad(t, config, fmt.Sprintf("[{%s}]", keys))
	return snapshot.All()[0], report
}

func TestFlowClientCredentials(t *testing.T) {
	a, report := flowAccount(t, "", `"email": "*@contoso.com", "provider": "outlook", "oauth_flow": "Client_Credentials", "tenant": "contoso.com",
		"client_id": "c", "client_secret": "s", "refresh_token": "r", "auth_identity": "x@contoso.com", "auth_mechanism": "OAUTHBEARER"`)
	if a.Flow != account.FlowClientCredentials || !a.IsCatchAll() || a.Mechanism != account.MechanismOAUTHBEARER ||
		a.TokenURL != "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token" || a.Scope != "https://outlook.office365.com/.default" ||
		a.ClientSecret.Reveal() != "s" || !a.RefreshToken.IsZero() {
		t.Errorf("%+v", a)
	}
	checkReport(t, report, "accounts[].refresh_token: ignored: oauth_flow client_credentials does not use it")
	checkReport(t, report, `accounts[].auth_identity = "x@contoso.com": ignored: the name that clients log in with is the mailbox`)

	a, _ = flowAccount(t, "", `"email": "u@contoso.com", "provider": "outlook-usgov", "oauth_flow": "client_credentials", "oauth_token_url": "https://t.example.com/",
		"client_id": "c", "scope": "own", "client_certificate": `+quoted(somePEM)+`, "client_private_key": `+quoted(somePEM+"\n"))
	if a.Certificate != somePEM || a.PrivateKey.Reveal() != somePEM || a.TokenURL != "https://t.example.com/" || a.Scope != "own" || a.SMTP.Host != "smtp.office365.us" {
		t.Errorf("%+v", a)
	}
}

func TestFlowServiceAccount(t *testing.T) {
	key := quoted(`{"type": "service_account", "client_email": "sa@p.example.com", "private_key_id": "k1", "private_key": ` + quoted(somePEM) + `,
		"token_uri": "https://sa.example.com/token"}`)
	a, report := flowAccount(t, "", `"email": "u@example.com", "provider": "gmail", "oauth_flow": "service_account", "subject": "v@example.com", "client_secret": "s", "service_account_key": `+key)
	if a.ClientID != "sa@p.example.com" || a.PrivateKey.Reveal() != somePEM || a.PrivateKeyID != "k1" || a.TokenSubject() != "v@example.com" ||
		a.TokenURL != "https://sa.example.com/token" || a.Scope != "https://mail.google.com/" || !a.ClientSecret.IsZero() {
		t.Errorf("%+v", a)
	}
	checkReport(t, report, "accounts[].client_secret: ignored: oauth_flow service_account does not use it")

	a, _ = flowAccount(t, "", `"email": "u@example.com", "provider": "gmail", "oauth_flow": "service_account", "client_id": "sa", "private_key_id": "k2", "client_private_key": `+quoted(somePEM))
	if a.ClientID != "sa" || a.PrivateKeyID != "k2" || a.TokenSubject() != "u@example.com" || a.TokenURL != account.Gmail().TokenURL {
		t.Errorf("%+v", a)
	}
}

func TestFlowExternal(t *testing.T) {
	a, report := flowAccount(t, "", `"email": "*@example.com", "provider": "gmail", "oauth_flow": "external", "client_id": "c", "token_command": ["/bin/token", "-v"]`)
	if !slices.Equal(a.TokenCommand, []string{"/bin/token", "-v"}) || a.TokenURL != "" || a.ClientID != "" {
		t.Errorf("%+v", a)
	}
	checkReport(t, report, `accounts[].client_id = "c": ignored: oauth_flow external does not use it`)
	a, _ = flowAccount(t, "", `"email": "u@example.com", "provider": "gmail", "oauth_flow": "external", "client_secret": "s", "oauth_token_url": "http://127.0.0.1:1/"`)
	if a.TokenURL != "http://127.0.0.1:1/" || a.ClientSecret.Reveal() != "s" {
		t.Errorf("%+v", a)
	}
}

func TestFlowOfProvider(t *testing.T) {
	a, _ := oneAccount(t, "own", `{"providers": {"own": {`+own+`"auth_url": "https://a.example.com/", "device_url": "https://d.example.com/",
		"consent_scope": "consent", "app_scope": "app", "keep_alive": "0"}}}`, ``)
	if a.KeepAlive >= 0 {
		t.Errorf("refresh tokens are kept alive: %v", a.KeepAlive)
	}
	s, _, _ := mustLoad(t, `{"providers": {"own": {`+own+`"auth_url": "https://a.example.com/", "device_url": "https://d.example.com/",
		"consent_scope": "consent", "app_scope": "app", "keep_alive": "48h"}}}`, "")
	if p := s.Providers["own"]; p.AuthURL != "https://a.example.com/" || p.DeviceURL != "https://d.example.com/" ||
		p.ConsentScope != "consent" || p.AppScope != "app" || p.KeepAlive != 48*time.Hour {
		t.Errorf("%+v", p)
	}
	for _, cloud := range account.Clouds() {
		if s.Providers[cloud.Name] == nil {
			t.Errorf("%s is not known", cloud.Name)
		}
	}
	a, _ = oneAccount(t, "gmail", "", `"oauth_keep_alive": "24h", "oauth_proxy": "http://u:p@proxy:3128"`)
	if a.KeepAlive != 24*time.Hour || a.TokenProxy.Reveal() != "http://u:p@proxy:3128" {
		t.Errorf("%+v, %s", a, a.TokenProxy.Reveal())
	}
}

// TestSecretExpires: the end of a client secret is the account's, else the provider's, and
// has no effect where no secret is sent.
func TestSecretExpires(t *testing.T) {
	day := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	provider := func(name string) string {
		return `{"providers": {"` + name + `": {"client_secret_expires": "2027-03-01T14:30:00+02:00"}}}`
	}
	for _, tt := range []struct {
		provider, config, keys string
		want                   time.Time
	}{
		{"gmail", "", "", time.Time{}},
		{"gmail", "", `"client_secret_expires": "2027-03-01"`, day},
		{"gmail", provider("gmail"), "", day.Add(12*time.Hour + 30*time.Minute)},
		{"gmail", provider("gmail"), `"client_secret_expires": "2027-03-01"`, day},
		{"outlook", provider("outlook"), `"client_secret_expires": "2027-03-01"`, time.Time{}},
		{"outlook", provider("outlook"), `"send_client_secret": true`, day.Add(12*time.Hour + 30*time.Minute)},
	} {
		a, report := oneAccount(t, tt.provider, tt.config, tt.keys)
		if !a.SecretExpires.Equal(tt.want) {
			t.Errorf("%s, %s, %s: %v, want %v", tt.provider, tt.config, tt.keys, a.SecretExpires, tt.want)
		}
		if tt.want.IsZero() && strings.Contains(tt.keys, "expires") {
			checkReport(t, report, `accounts[].client_secret_expires = "2027-03-01": ignored: no client_secret is sent`)
		}
	}
}

// TestSecretsAreResolved has every secret of both files elsewhere.
func TestSecretsAreResolved(t *testing.T) {
	key := seal.GenerateKey()
	ring, err := seal.ParseKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ring.Seal("canary-sealed", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_SEAL_KEY", key)
	t.Setenv("TEST_SECRET", "canary-env-0123456789")
	t.Setenv("TEST_PROXY", "http://u:canary@proxy:3128")
	dir := t.TempDir()
	write(t, dir, "credential", "canary-credential\n")
	write(t, dir, "pem", somePEM+"\n")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	s, snapshot, report := mustLoad(t, `{"admin": {"token": "env:TEST_SECRET"}, "server": {"shared_password": "env:TEST_SECRET"},
		"oauth": {"proxy": "env:TEST_PROXY", "keep_alive": 0, "token_store": "tokens.db"}, "secrets": {"key": "env:TEST_SEAL_KEY"}}`,
		fmt.Sprintf(`[{"email": "u@contoso.com", "provider": "outlook", "client_id": "c", "refresh_token": %q, "client_password": "env:TEST_SECRET",
			"client_secret": "credential:credential", "send_client_secret": true, "oauth_proxy": "env:TEST_PROXY"},
			{"email": "v@contoso.com", "provider": "outlook", "client_id": "c", "oauth_flow": "client_credentials", "tenant": "t",
			"client_certificate": "file:%s", "client_private_key": "file:%[2]s"}]`, sealed, filepath.Join(dir, "pem")))
	a, app := snapshot.All()[0], snapshot.All()[1]
	for _, tt := range []struct {
		name string
		got  account.Secret
		want string
	}{
		{"admin.token", s.Admin.Token, "canary-env-0123456789"},
		{"server.shared_password", s.Server.SharedPassword, "canary-env-0123456789"},
		{"oauth.proxy", s.OAuth.Proxy, "http://u:canary@proxy:3128"},
		{"refresh_token", a.RefreshToken, "canary-sealed"},
		{"client_password", a.ClientPassword, "canary-env-0123456789"},
		{"client_secret", a.ClientSecret, "canary-credential"},
		{"oauth_proxy", a.TokenProxy, "http://u:canary@proxy:3128"},
		{"client_private_key", app.PrivateKey, somePEM},
	} {
		if tt.got.Reveal() != tt.want {
			t.Errorf("%s is %q, want %q", tt.name, tt.got.Reveal(), tt.want)
		}
	}
	if s.OAuth.KeepAlive != 0 || s.OAuth.TokenStore != "tokens.db" || s.Secrets.Key.ID() != ring.ID() || app.Certificate != somePEM {
		t.Errorf("%+v", s.OAuth)
	}
	if said := fmt.Sprint(report.Lines(), s); strings.Contains(said, "canary") || strings.Contains(said, key) {
		t.Errorf("a secret is shown: %s", said)
	}
	e := new(accountfile.Entry)
	for k, v := range map[string]string{"email": "w@contoso.com", "provider": "outlook", "client_id": "c", "refresh_token": sealed} {
		e.Set(k, v)
	}
	if w, err := accountfile.ReadEntry(s.Accounts(), e); err != nil || w.RefreshToken.Reveal() != "canary-sealed" {
		t.Errorf("an account by itself: %v, %v", w, err)
	}
}

func TestNoTokenStoreIsSaid(t *testing.T) {
	_, _, report := mustLoad(t, "", "")
	checkReport(t, report, "warning: no oauth.token_store")
}
