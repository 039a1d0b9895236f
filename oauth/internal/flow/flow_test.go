package flow

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/oauth/internal/httpc"
	"xoauth2-proxy/oauth/internal/tokentest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testFlows are flows with short timeouts.
func testFlows(t *testing.T) *Flows {
	f := New(httpc.Config{Timeout: 5 * time.Second, ConnectTimeout: 5 * time.Second, IdleTimeout: time.Minute, ConnectionsPerHost: 32}, time.Hour)
	t.Cleanup(f.Close)
	return f
}

// fetch gets a token of an account with its configured refresh token.
func fetch(t *testing.T, f *Flows, a *account.Account, timeout time.Duration) (Issued, error) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	got, err := f.Fetch(ctx, Grant{Account: a, Refresh: a.RefreshToken})
	if err != nil {
		return got, err
	}
	return got, nil
}

// TestFlows gets a token by every flow from a provider that checks the requests.
func TestFlows(t *testing.T) {
	appKey, svcKey := tokentest.RSAKey(t), tokentest.RSAKey(t)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	appPrivate, _ := tokentest.PEMKey(t, appKey)
	ecPrivate, _ := tokentest.PEMKey(t, ecKey)
	svcPrivate, svcPublic := tokentest.PEMKey(t, svcKey)
	appCert, ecCert := tokentest.PEMCertificate(t, appKey), tokentest.PEMCertificate(t, ecKey)
	s := tokentest.NewSandbox(t, sandbox.Config{Clients: []sandbox.Client{
		{ID: "app", Secret: "app-secret"},
		{ID: "app-rsa", Certificate: appCert},
		{ID: "app-ec", Certificate: ecCert},
		{ID: tokentest.SvcEmail, PublicKey: svcPublic, KeyID: "key-1"},
	}})
	external := tokentest.NewServer(t)
	external.SetAnswer(func(w http.ResponseWriter, r *http.Request) {
		form := external.Requests()[0]
		if r.Header.Get("Authorization") != "Bearer door-key" || form.Get("account_id") != "acct" || form.Get("email") != tokentest.OutlookUser {
			t.Errorf("request %v %v", r.Header, form)
		}
		tokentest.GiveJSON(w, http.StatusOK, map[string]any{"access_token": "from-endpoint", "expires_in": 600})
	})
	app := func(id string, change func(*account.Account)) *account.Account {
		return tokentest.AccountLike(&account.Account{Email: tokentest.OutlookUser, Flow: account.FlowClientCredentials, ClientID: id, Scope: tokentest.AppScope, TokenURL: s.TokenURL()}, change)
	}
	tests := []struct {
		name    string
		account *account.Account
		user    string // whose mailbox the token opens at the sandbox; "": none
	}{
		{"refresh token", tokentest.SandboxAccount(s, tokentest.GmailUser), tokentest.GmailUser},
		{"refresh token, rotated", tokentest.SandboxAccount(s, tokentest.OutlookUser), tokentest.OutlookUser},
		{"client secret", app("app", func(a *account.Account) { a.ClientSecret = account.NewSecret("app-secret") }), tokentest.OutlookUser},
		{"certificate, RSA", app("app-rsa", func(a *account.Account) {
			a.Certificate, a.PrivateKey, a.ClientSecret = appCert, appPrivate, account.NewSecret("not sent")
		}), tokentest.OutlookUser},
		{"certificate, EC", app("app-ec", func(a *account.Account) { a.Certificate, a.PrivateKey = ecCert, ecPrivate }), tokentest.OutlookUser},
		{"service account", &account.Account{Email: tokentest.GmailUser, Flow: account.FlowServiceAccount, ClientID: tokentest.SvcEmail, PrivateKey: svcPrivate,
			PrivateKeyID: "key-1", Scope: "https://mail.google.com/", TokenURL: s.TokenURL()}, tokentest.GmailUser},
		{"service account, other subject", &account.Account{Email: "alias@gmail.com", Subject: tokentest.GmailUser, Flow: account.FlowServiceAccount,
			ClientID: tokentest.SvcEmail, PrivateKey: svcPrivate, PrivateKeyID: "key-1", Scope: "https://mail.google.com/", TokenURL: s.TokenURL()}, tokentest.GmailUser},
		{"endpoint", &account.Account{Email: tokentest.OutlookUser, Flow: account.FlowExternal, TokenURL: external.URL, ClientSecret: account.NewSecret("door-key")}, ""},
		{"command", commandAccount(t, "token"), ""},
	}
	f := testFlows(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tokentest.AccountLike(tt.account, func(a *account.Account) { a.ID = "acct" })
			tok, err := fetch(t, f, a, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if tt.user != "" && !s.Opens(tt.user, tok.Access) {
				t.Error("the token does not open the mailbox")
			}
		})
	}
}

func TestFlowErrors(t *testing.T) {
	private, public := tokentest.PEMKey(t, tokentest.RSAKey(t))
	otherPrivate, _ := tokentest.PEMKey(t, tokentest.RSAKey(t))
	cert := tokentest.PEMCertificate(t, tokentest.RSAKey(t))
	s := tokentest.NewSandbox(t, sandbox.Config{Clients: []sandbox.Client{
		{ID: "app", Secret: "app-secret"}, {ID: "app-rsa", Certificate: cert}, {ID: tokentest.SvcEmail, PublicKey: public},
	}})
	base := account.Account{Email: tokentest.GmailUser, TokenURL: s.TokenURL(), Scope: "https://mail.google.com/", ClientID: tokentest.SvcEmail,
		Flow: account.FlowServiceAccount, PrivateKey: private}
	app := account.Account{Email: tokentest.OutlookUser, TokenURL: s.TokenURL(), Scope: tokentest.AppScope, ClientID: "app",
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
			key := tokentest.RSAKey(t)
			a.ClientID, a.Certificate = "app-rsa", tokentest.PEMCertificate(t, key)
			a.PrivateKey, _ = tokentest.PEMKey(t, key)
		}, ErrInvalidClient, ""},
		{"unknown flow", app, func(a *account.Account) { a.Flow = "password" }, errFlow, "flow"},
		{"bad proxy", app, func(a *account.Account) { a.TokenProxy = account.NewSecret("socks5://x") }, httpc.ErrProxyURL, "proxy"},
	}
	f := testFlows(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tokentest.AccountLike(&tt.base, tt.change)
			a.ID = tt.name
			_, err := fetch(t, f, a, time.Minute)
			e, ok := errors.AsType[*Error](err)
			if !errors.Is(err, tt.want) || !ok || !e.Permanent() || !strings.Contains(e.Hint.Remedy(), tt.hint) {
				t.Errorf("%v, hint %q; want %v with %q", err, e.Hint, tt.want, tt.hint)
			}
		})
	}
}

// TestRouteOfAccount has an endpoint over TLS that only the account's own file of
// authorities makes trusted, and a proxy that only one account goes through.
func TestRouteOfAccount(t *testing.T) {
	ts := tokentest.NewUnstartedServer(t)
	ts.StartTLS()
	caFile := tokentest.CAFile(t, ts)
	f := testFlows(t)
	for _, tt := range []struct {
		name, caFile, proxy string
		want                error
	}{
		{"trusts", caFile, "", nil},
		{"does not", "", "", errUntrusted},
		{"file missing", caFile + ".none", "", httpc.ErrCAFile},
		{"proxy not there", caFile, "http://127.0.0.1:1", syscall.ECONNREFUSED},
	} {
		a := tokentest.AccountLike(tokentest.Account(ts.URL), func(a *account.Account) {
			a.TokenCAFile, a.TokenProxy = tt.caFile, account.NewSecret(tt.proxy)
		})
		if _, err := fetch(t, f, a, time.Minute); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// The error has the cause of a failure that x/oauth2 drops.
func TestServiceAccountUnreachable(t *testing.T) {
	private, _ := tokentest.PEMKey(t, tokentest.RSAKey(t))
	a := &account.Account{ID: "acct", Email: tokentest.GmailUser, Flow: account.FlowServiceAccount, ClientID: tokentest.SvcEmail,
		PrivateKey: private, TokenURL: "http://127.0.0.1:1/token"}
	_, err := fetch(t, testFlows(t), a, time.Minute)
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
	return &account.Account{ID: "acct", Email: tokentest.OutlookUser, Flow: account.FlowExternal, Scope: "a scope; $(not) a `shell`",
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
		if os.Getenv("XOAUTH2_EMAIL") != tokentest.OutlookUser || os.Getenv("XOAUTH2_SCOPE") != "a scope; $(not) a `shell`" || os.Getenv("OAUTH_TEST_SECRET") != "" {
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
		out("ya29.token-in-the-clear is the token")
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
		{"garbage", errCommandReply, "by hand"},
		{"endless", errCommandOutput, "by hand"},
		{"hangs", ErrUnavailable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			timeout := time.Minute
			if tt.command == "hangs" {
				timeout = 100 * time.Millisecond
			}
			_, err := fetch(t, testFlows(t), commandAccount(t, tt.command), timeout)
			e, _ := errors.AsType[*Error](err)
			if !errors.Is(err, tt.want) || !strings.Contains(e.Hint.Remedy(), tt.hint) {
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
	if _, err := fetch(t, testFlows(t), a, time.Minute); !errors.Is(err, ErrMisconfigured) || !errors.Is(err, errCommandStart) {
		t.Errorf("missing command: %v", err)
	}
}

func TestExternalEndpointErrors(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"refused", tokentest.GiveError(http.StatusForbidden, "invalid_grant", "no such account"), ErrInvalidGrant},
		{"down", tokentest.GiveError(http.StatusBadGateway, "", ""), ErrUnavailable},
		{"error with 200", tokentest.GiveError(http.StatusOK, "invalid_client", ""), ErrInvalidClient},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, ErrUnavailable},
		{"not JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("token")) }, httpc.ErrMalformedReply},
		{"no token", func(w http.ResponseWriter, _ *http.Request) { tokentest.GiveJSON(w, 200, map[string]any{}) }, httpc.ErrMalformedReply},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ts := tokentest.NewServer(t)
			ts.SetAnswer(tt.answer)
			a := &account.Account{ID: "acct", Email: tokentest.OutlookUser, Flow: account.FlowExternal, TokenURL: ts.URL}
			if _, err := fetch(t, testFlows(t), a, time.Minute); !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
			if n := len(ts.Requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}
