package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
)

func newSandbox(t *testing.T, cfg sandbox.Config) *sandbox.Server {
	t.Helper()
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the sandbox: %v", err)
		}
	})
	return s
}

const (
	gmailUser   = "user@gmail.com"
	outlookUser = "user@outlook.com"
	appScope    = "https://outlook.office365.com/.default"
	svcEmail    = "svc@project.iam.gserviceaccount.com"
)

// sandboxAccount is the proxy's side of an account of the sandbox.
func sandboxAccount(s *sandbox.Server, email string) *account.Account {
	for _, a := range s.Accounts() {
		if a.Email == email {
			return &account.Account{ID: a.ID, Email: email, Provider: a.Provider, ClientID: a.ClientID,
				ClientSecret: account.NewSecret(a.ClientSecret), RefreshToken: account.NewSecret(a.RefreshToken),
				TokenURL: s.TokenURL()}
		}
	}
	panic("the sandbox has no " + email)
}

// pemKey returns a key in PEM form, and its public half.
func pemKey(t *testing.T, key crypto.Signer) (private account.Secret, public string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return account.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}))
}

func pemCertificate(t *testing.T, key crypto.Signer) string {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestFlows gets a token by every flow from a provider that checks what it is
// sent.
func TestFlows(t *testing.T) {
	appKey, svcKey := rsaKey(t), rsaKey(t)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	appPrivate, _ := pemKey(t, appKey)
	ecPrivate, _ := pemKey(t, ecKey)
	svcPrivate, svcPublic := pemKey(t, svcKey)
	appCert, ecCert := pemCertificate(t, appKey), pemCertificate(t, ecKey)
	s := newSandbox(t, sandbox.Config{Clients: []sandbox.Client{
		{ID: "app", Secret: "app-secret"},
		{ID: "app-rsa", Certificate: appCert},
		{ID: "app-ec", Certificate: ecCert},
		{ID: svcEmail, PublicKey: svcPublic, KeyID: "key-1"},
	}})
	external := newTokenServer(t)
	external.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		form := external.requests()[0]
		if r.Header.Get("Authorization") != "Bearer door-key" || form.Get("account_id") != "acct" || form.Get("email") != outlookUser {
			t.Errorf("request %v %v", r.Header, form)
		}
		giveJSON(w, http.StatusOK, map[string]any{"access_token": "from-endpoint", "expires_in": 600})
	})
	app := func(id string, change func(*account.Account)) *account.Account {
		return accountLike(&account.Account{Email: outlookUser, Flow: account.FlowClientCredentials, ClientID: id, Scope: appScope, TokenURL: s.TokenURL()}, change)
	}
	tests := []struct {
		name    string
		account *account.Account
		user    string // whose mailbox the token opens at the sandbox; "": none
	}{
		{"refresh token", sandboxAccount(s, gmailUser), gmailUser},
		{"refresh token, rotated", sandboxAccount(s, outlookUser), outlookUser},
		{"client secret", app("app", func(a *account.Account) { a.ClientSecret = account.NewSecret("app-secret") }), outlookUser},
		{"certificate, RSA", app("app-rsa", func(a *account.Account) {
			a.Certificate, a.PrivateKey, a.ClientSecret = appCert, appPrivate, account.NewSecret("not sent")
		}), outlookUser},
		{"certificate, EC", app("app-ec", func(a *account.Account) { a.Certificate, a.PrivateKey = ecCert, ecPrivate }), outlookUser},
		{"service account", &account.Account{Email: gmailUser, Flow: account.FlowServiceAccount, ClientID: svcEmail, PrivateKey: svcPrivate,
			PrivateKeyID: "key-1", Scope: "https://mail.google.com/", TokenURL: s.TokenURL()}, gmailUser},
		{"service account, other subject", &account.Account{Email: "alias@gmail.com", Subject: gmailUser, Flow: account.FlowServiceAccount,
			ClientID: svcEmail, PrivateKey: svcPrivate, PrivateKeyID: "key-1", Scope: "https://mail.google.com/", TokenURL: s.TokenURL()}, gmailUser},
		{"endpoint", &account.Account{Email: outlookUser, Flow: account.FlowExternal, TokenURL: external.URL, ClientSecret: account.NewSecret("door-key")}, ""},
		{"command", commandAccount(t, "token"), ""},
	}
	m := testManager(t, testConfig())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := accountLike(tt.account, func(a *account.Account) { a.ID = "acct" })
			tok := mustGet(t, m.Source(a))
			if tt.user != "" && !s.Opens(tt.user, tok.Access) {
				t.Error("the token does not open the mailbox")
			}
		})
	}
}

func TestFlowErrors(t *testing.T) {
	private, public := pemKey(t, rsaKey(t))
	otherPrivate, _ := pemKey(t, rsaKey(t))
	cert := pemCertificate(t, rsaKey(t))
	s := newSandbox(t, sandbox.Config{Clients: []sandbox.Client{
		{ID: "app", Secret: "app-secret"}, {ID: "app-rsa", Certificate: cert}, {ID: svcEmail, PublicKey: public},
	}})
	base := account.Account{Email: gmailUser, TokenURL: s.TokenURL(), Scope: "https://mail.google.com/", ClientID: svcEmail,
		Flow: account.FlowServiceAccount, PrivateKey: private}
	app := account.Account{Email: outlookUser, TokenURL: s.TokenURL(), Scope: appScope, ClientID: "app",
		Flow: account.FlowClientCredentials, ClientSecret: account.NewSecret("app-secret")}
	tests := []struct {
		name   string
		base   account.Account
		change func(*account.Account)
		want   error
		hint   string // a part of it
	}{
		{"service account: unknown mailbox", base, func(a *account.Account) { a.Subject = "nobody@gmail.com" }, ErrInvalidGrant, "mailbox exists"},
		{"service account: other key", base, func(a *account.Account) { a.PrivateKey = otherPrivate }, ErrInvalidGrant, "clock"},
		{"service account: scope not delegated", base, func(a *account.Account) { a.Scope = "openid" }, ErrMisconfigured, "domain-wide delegation"},
		{"service account: no key", base, func(a *account.Account) { a.PrivateKey = account.Secret{} }, errPrivateKey, "private key"},
		{"service account: not a key", base, func(a *account.Account) { a.PrivateKey = account.NewSecret("-----BEGIN X-----") }, errPrivateKey, "private key"},
		{"client: wrong secret", app, func(a *account.Account) { a.ClientSecret = account.NewSecret("x") }, ErrInvalidClient, "client_secret is wrong"},
		{"client: no secret", app, func(a *account.Account) { a.ClientSecret = account.Secret{} }, ErrMisconfigured, "certificate"},
		{"client: delegated scope", app, func(a *account.Account) { a.Scope = "https://outlook.office.com/SMTP.Send" }, ErrMisconfigured, ""},
		{"client: key of another certificate", app, func(a *account.Account) { a.ClientID, a.Certificate, a.PrivateKey = "app-rsa", cert, private }, errCertificateKey, "certificate"},
		{"client: certificate not registered", app, func(a *account.Account) {
			key := rsaKey(t)
			a.ClientID, a.Certificate = "app-rsa", pemCertificate(t, key)
			a.PrivateKey, _ = pemKey(t, key)
		}, ErrInvalidClient, ""},
		{"unknown flow", app, func(a *account.Account) { a.Flow = "password" }, errFlow, "flow"},
		{"bad proxy", app, func(a *account.Account) { a.TokenProxy = account.NewSecret("socks5://x") }, errProxyURL, "proxy"},
	}
	m := testManager(t, testConfig())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := accountLike(&tt.base, tt.change)
			a.ID = tt.name
			_, err := m.Source(a).Get(t.Context())
			e, ok := errors.AsType[*Error](err)
			if !errors.Is(err, tt.want) || !ok || !e.Permanent() || !strings.Contains(e.Hint, tt.hint) {
				t.Errorf("%v, hint %q; want %v with %q", err, e.Hint, tt.want, tt.hint)
			}
		})
	}
}

// When x/oauth2 drops the cause of a failure, it is told all the same.
func TestServiceAccountUnreachable(t *testing.T) {
	private, _ := pemKey(t, rsaKey(t))
	a := &account.Account{ID: "acct", Email: gmailUser, Flow: account.FlowServiceAccount, ClientID: svcEmail,
		PrivateKey: private, TokenURL: "http://127.0.0.1:1/token"}
	_, err := testManager(t, testConfig()).Source(a).Get(t.Context())
	if !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "malformed") {
		t.Errorf("err = %v, want what the network said", err)
	}
}

// commandAccount is an account whose tokens come from this test binary, run as
// the command named.
func commandAccount(t *testing.T, command string) *account.Account {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &account.Account{ID: "acct", Email: outlookUser, Flow: account.FlowExternal, Scope: "a scope; $(not) a `shell`",
		TokenCommand: []string{self, "-test.run=^TestTokenCommandHelper$", "--", command}}
}

// TestTokenCommandHelper is no test: it is the token command of other ones.
func TestTokenCommandHelper(t *testing.T) {
	if os.Getenv("XOAUTH2_ACCOUNT_ID") == "" {
		t.Skip("run by other tests only")
	}
	out := func(s string) { os.Stdout.WriteString(s) }
	exit := 0
	switch os.Args[len(os.Args)-1] {
	case "token":
		if os.Getenv("XOAUTH2_EMAIL") != outlookUser || os.Getenv("XOAUTH2_SCOPE") != "a scope; $(not) a `shell`" || os.Getenv("OAUTH_TEST_SECRET") != "" {
			exit = 3
			break
		}
		out(`{"access_token":"from-command","expires_in":"600"}`)
	case "refused":
		out(`{"error":"invalid_grant","error_description":"gone"}`)
		exit = 1
	case "fails":
		os.Stderr.WriteString("cannot reach the vault " + strings.Repeat("S3CRET", 20) + "\n" + strings.Repeat("x ", maxComplaint))
		exit = 7
	case "garbage":
		out("ya29.token-in-the-clear")
	case "negative":
		out(`{"access_token":"A","expires_in":-1}`)
	case "endless":
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat("x", 4096)); err != nil {
				break
			}
		}
	case "hangs":
		child := exec.Command("/bin/sleep", "1000") // holds the output open
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			exit = 4
			break
		}
		child.Wait()
	}
	os.Exit(exit)
}

func TestTokenCommand(t *testing.T) {
	t.Setenv("OAUTH_TEST_SECRET", "of the proxy")
	tests := []struct {
		command string
		want    error
		hint    string
	}{
		{"refused", ErrInvalidGrant, "token service"},
		{"fails", errCommand, "by hand"},
		{"garbage", errMalformedReply, ""},
		{"negative", errMalformedReply, ""},
		{"endless", errCommandOutput, "by hand"},
		{"hangs", ErrUnavailable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			cfg := testConfig()
			if tt.command == "hangs" {
				cfg.Timeout = 100 * time.Millisecond
			}
			_, err := testManager(t, cfg).Source(commandAccount(t, tt.command)).Get(t.Context())
			e, _ := errors.AsType[*Error](err)
			if !errors.Is(err, tt.want) || !strings.Contains(e.Hint, tt.hint) {
				t.Errorf("%v, hint %q", err, e.Hint)
			}
			if strings.Contains(err.Error(), "S3CRET") || strings.Contains(err.Error(), "ya29") {
				t.Errorf("the error shows a secret: %v", err)
			}
			if tt.command == "fails" && !strings.Contains(err.Error(), "exit status 7 cannot reach the vault") {
				t.Errorf("the error hides what the command said: %v", err)
			}
		})
	}
	a := commandAccount(t, "token")
	a.TokenCommand = []string{filepath.Join(t.TempDir(), "missing")}
	if _, err := testManager(t, testConfig()).Source(a).Get(t.Context()); !errors.Is(err, ErrMisconfigured) || !errors.Is(err, errCommandStart) {
		t.Errorf("missing command: %v", err)
	}
}

func TestExternalEndpointErrors(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"refused", giveError(http.StatusForbidden, "invalid_grant", "no such account"), ErrInvalidGrant},
		{"down", giveError(http.StatusBadGateway, "", ""), ErrUnavailable},
		{"error with 200", giveError(http.StatusOK, "invalid_client", ""), ErrInvalidClient},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, ErrUnavailable},
		{"not JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("token")) }, errMalformedReply},
		{"no token", func(w http.ResponseWriter, _ *http.Request) { giveJSON(w, 200, map[string]any{}) }, errMalformedReply},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := newTokenServer(t)
			ts.setAnswer(tt.answer)
			a := &account.Account{ID: "acct", Email: outlookUser, Flow: account.FlowExternal, TokenURL: ts.URL}
			if _, err := testManager(t, testConfig()).Source(a).Get(t.Context()); !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
			if n := len(ts.requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestInitialResponses(t *testing.T) {
	ts := newTokenServer(t)
	a := accountLike(testAccount(ts.URL), func(a *account.Account) {
		a.AuthIdentity = "a=b,c@example.com"
		a.SMTP = account.Endpoint{Host: "smtp.example.com", Port: 587}
	})
	m := testManager(t, testConfig())
	tok := mustGet(t, m.Source(a))
	decode := func(b []byte) string {
		raw, err := base64.StdEncoding.DecodeString(string(b))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	if got := decode(tok.InitialResponse(account.MechanismXOAUTH2)); got != "user=a=b,c@example.com\x01auth=Bearer access-1\x01\x01" {
		t.Errorf("XOAUTH2 %q", got)
	}
	const want = "n,a=a=3Db=2Cc@example.com,\x01host=smtp.example.com\x01port=587\x01auth=Bearer access-1\x01\x01"
	if got := decode(tok.InitialResponse(account.MechanismOAUTHBEARER)); got != want {
		t.Errorf("OAUTHBEARER %q, want %q", got, want)
	}
	if first, second := tok.OAUTHBEARER(), tok.OAUTHBEARER(); &first[0] != &second[0] {
		t.Error("OAUTHBEARER is built more than once")
	}
	moved := accountLike(a, func(a *account.Account) { a.SMTP.Host = "" })
	m.Retain(snapshot(t, moved))
	if got := decode(m.Source(moved).Cached().OAUTHBEARER()); strings.Contains(got, "host=") {
		t.Errorf("after a reload: %q", got)
	}
}
