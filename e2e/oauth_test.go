//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/consent"
)

// oidcServer starts oidc-provider, an OAuth2 server that is not ours, and
// returns its address.
func oidcServer(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("node_modules/oidc-provider"); err != nil {
		t.Fatalf("oidc-provider is missing: run e2e/install (%v)", err)
	}
	cmd := exec.Command(program(t, "node"), "oidc.mjs")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the server says no address: %v", err)
	}
	return strings.TrimSpace(address)
}

// browser is a person's, with cookies.
type browser struct {
	t *testing.T
	http.Client
}

func newBrowser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, Client: http.Client{Jar: jar, Timeout: time.Minute}}
}

// text returns the page of a response.
func (b *browser) text(resp *http.Response, err error) string {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s, %v\n%s", resp.Request.URL, resp.Status, err, page)
	}
	return string(page)
}

var xsrfField = regexp.MustCompile(`name="xsrf" value="([^"]*)"`)

// enterCode gives consent on the page for device codes: it enters the code, and
// confirms that it is the one on the device.
func (b *browser) enterCode(page, code string) {
	b.t.Helper()
	form := b.text(b.Get(page))
	for _, fields := range []url.Values{{}, {"confirm": {"yes"}}} {
		xsrf := xsrfField.FindStringSubmatch(form)
		if xsrf == nil {
			b.t.Fatalf("no form in %s", form)
		}
		fields.Set("xsrf", xsrf[1])
		fields.Set("user_code", code)
		form = b.text(b.PostForm(page, fields))
	}
}

// person asks for consent in the name of someone@example.com.
func person(t *testing.T, server string) *consent.Authorizer {
	z := consent.New(oauth.DefaultConfig(), consent.Config{
		Account: &account.Account{Email: "someone@example.com", ClientID: "person", TokenURL: server + "/token"},
		AuthURL: server + "/auth", DeviceURL: server + "/device/auth", Scope: "openid offline_access",
	})
	t.Cleanup(z.Close)
	return z
}

// TestConsentByBrowser is the authorization code grant with PKCE (RFC 7636).
func TestConsentByBrowser(t *testing.T) {
	server := oidcServer(t)
	request, err := person(t, server).AuthCode(consent.Redirect{})
	if err != nil {
		t.Fatal(err)
	}
	defer request.Close()
	b := newBrowser(t)
	b.text(b.Get(request.URL()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	given, err := request.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	refreshAgainAndAgain(t, server, given.RefreshToken)
}

// TestConsentByDeviceCode is the device authorization grant (RFC 8628).
func TestConsentByDeviceCode(t *testing.T) {
	server := oidcServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := newBrowser(t)
	given, err := person(t, server).DeviceAuthorize(ctx, func(p consent.Prompt) { b.enterCode(p.URL, p.Code) })
	if err != nil {
		t.Fatal(err)
	}
	refreshAgainAndAgain(t, server, given.RefreshToken)
}

// refreshAgainAndAgain uses a refresh token that the server replaces each time,
// over restarts. A second use of one loses the consent.
func refreshAgainAndAgain(t *testing.T, server string, refresh account.Secret) {
	t.Helper()
	a := &account.Account{ID: "a", Email: "someone@example.com", ClientID: "person", RefreshToken: refresh,
		TokenURL: server + "/token", RefreshMargin: time.Minute, Retry: account.RetryPolicy{MaxAttempts: 1, BackoffFactor: 1}}
	path := filepath.Join(t.TempDir(), "tokens.db")
	seen := make(map[string]bool)
	for range 3 {
		store, err := tokenstore.Open(tokenstore.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		cfg := oauth.DefaultConfig()
		cfg.Store = store
		m := oauth.New(cfg, nil, nil)
		for range 3 {
			if err := m.ForceRefresh(t.Context(), a); err != nil {
				t.Errorf("refresh %d: %v", len(seen), err)
			}
			record, ok, err := store.Load(oauth.ChainOf(a))
			if err != nil || !ok || record.Refresh.IsZero() || seen[record.Refresh.Reveal()] || seen[record.Access.Reveal()] {
				t.Errorf("refresh %d: no new tokens: %v, %v", len(seen), ok, err)
			}
			seen[record.Refresh.Reveal()], seen[record.Access.Reveal()] = true, true
		}
		m.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	// Without the store, the first one is used again.
	m := oauth.New(oauth.DefaultConfig(), nil, nil)
	defer m.Close()
	if err := m.ForceRefresh(t.Context(), a); !errors.Is(err, oauth.ErrInvalidGrant) {
		t.Errorf("a refresh token that was replaced: %v", err)
	}
}

// TestClientCredentials is the grant of an application for itself.
func TestClientCredentials(t *testing.T) {
	server := oidcServer(t)
	m := oauth.New(oauth.DefaultConfig(), nil, nil)
	defer m.Close()
	app := account.Account{ID: "app", Email: "*@example.com", Flow: account.FlowClientCredentials, ClientID: "app",
		ClientSecret: account.NewSecret("app-secret"), Scope: "mail", TokenURL: server + "/token", RefreshMargin: time.Minute,
		Retry: account.RetryPolicy{MaxAttempts: 1, BackoffFactor: 1}}
	if tok, err := m.Source(&app).Get(t.Context()); err != nil || time.Until(tok.Expiry) < 50*time.Minute {
		t.Errorf("%v, %v", tok, err)
	}
	wrong := app
	wrong.ID, wrong.ClientSecret = "wrong", account.NewSecret("wrong")
	if _, err := m.Source(&wrong).Get(t.Context()); !errors.Is(err, oauth.ErrInvalidClient) {
		t.Errorf("with a wrong secret: %v", err)
	}
}
