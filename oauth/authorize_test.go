package oauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
)

const outlookConsentScope = "https://outlook.office.com/SMTP.Send offline_access"

// sandboxAuthorizer asks the sandbox for consent to an account of its.
func sandboxAuthorizer(t *testing.T, s *sandbox.Server, email string, change func(*AuthorizeConfig)) *Authorizer {
	t.Helper()
	a := sandboxAccount(s, email)
	base := strings.TrimSuffix(s.TokenURL(), "/token")
	c := AuthorizeConfig{ClientID: a.ClientID, ClientSecret: a.ClientSecret, AuthURL: base + "/authorize",
		DeviceURL: base + "/devicecode", TokenURL: s.TokenURL(), Scope: outlookConsentScope, LoginHint: email}
	if a.Provider == sandbox.PresetGmail {
		c.Scope = "https://mail.google.com/"
	}
	if change != nil {
		change(&c)
	}
	z := NewAuthorizer(testConfig(), c)
	z.second = time.Millisecond
	t.Cleanup(z.Close)
	return z
}

// leapingClock moves on by itself, so that no poll is too early.
func leapingClock(step time.Duration) func() time.Time {
	var n atomic.Int64
	start := time.Now()
	return func() time.Time { return start.Add(time.Duration(n.Add(1)) * step) }
}

// checkConsent checks that a consent is one to the account.
func checkConsent(t *testing.T, s *sandbox.Server, email string, c *Consent, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if c.RefreshToken.Reveal() != s.RefreshToken(email) || !s.Opens(email, c.Token.Access) || c.Scope == "" {
		t.Error("the tokens are not those of the account")
	}
	a := accountLike(sandboxAccount(s, email), func(a *account.Account) { a.RefreshToken = c.RefreshToken })
	mustGet(t, testManager(t, testConfig()).Source(a))
}

func TestDeviceAuthorize(t *testing.T) {
	for _, email := range []string{outlookUser, gmailUser} { // one public client, one with a secret
		s := newSandbox(t, sandbox.Config{Now: leapingClock(10 * time.Second)})
		var shown DevicePrompt
		c, err := sandboxAuthorizer(t, s, email, nil).DeviceAuthorize(t.Context(), func(p DevicePrompt) { shown = p })
		checkConsent(t, s, email, c, err)
		if shown.Code == "" || !strings.HasPrefix(shown.URL, "http://") || !strings.Contains(shown.URLWithCode, shown.Code) || shown.Expiry.Before(time.Now()) {
			t.Errorf("prompt %+v", shown)
		}
	}
}

func TestDeviceAuthorizeErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(*AuthorizeConfig)
		deny   bool
		want   error
		code   string
	}{
		{"denied", nil, true, ErrInteractionRequired, "access_denied"},
		{"no device flow", func(c *AuthorizeConfig) { c.DeviceURL = "" }, false, errNoDeviceFlow, ""},
		{"in the clear", func(c *AuthorizeConfig) { c.DeviceURL = "http://login.example.com/devicecode" }, false, errAuthURL, ""},
		{"unknown client", func(c *AuthorizeConfig) { c.ClientID = "x" }, false, ErrMisconfigured, "unauthorized_client"},
		{"no refresh token", func(c *AuthorizeConfig) { c.Scope = "https://outlook.office.com/SMTP.Send" }, false, errNoRefreshToken, ""},
		{"not reachable", func(c *AuthorizeConfig) { c.DeviceURL = "http://127.0.0.1:1/devicecode" }, false, ErrUnavailable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSandbox(t, sandbox.Config{Now: leapingClock(10 * time.Second)})
			_, err := sandboxAuthorizer(t, s, outlookUser, tt.change).DeviceAuthorize(t.Context(), func(p DevicePrompt) {
				if tt.deny {
					if _, err := s.Consent(p.Code, ""); err != nil {
						t.Error(err)
					}
				}
			})
			e, ok := errors.AsType[*Error](err)
			if !errors.Is(err, tt.want) || !ok || e.Code != tt.code {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
		})
	}
}

// The endpoint says slow_down, and connections are lost: the consent is not.
func TestDevicePolling(t *testing.T) {
	ts := newTokenServer(t)
	var polls []time.Time
	ts.setAnswer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/devicecode" {
			giveJSON(w, 200, map[string]any{"device_code": "dc", "user_code": "UC", "verification_uri": "https://example.com", "interval": 1, "expires_in": 900})
			return
		}
		polls = append(polls, time.Now())
		switch len(polls) {
		case 1:
			giveError(400, "authorization_pending", "")(w, r)
		case 2:
			giveError(400, "slow_down", "")(w, r)
		case 3:
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Le")
			_ = rw.Flush()
			c.Close()
		default:
			giveToken(w, map[string]any{"access_token": "A", "refresh_token": "R"})
		}
	})
	z := NewAuthorizer(testConfig(), AuthorizeConfig{ClientID: "c", DeviceURL: ts.URL + "/devicecode", TokenURL: ts.URL + "/token", Scope: "s"})
	z.second = 10 * time.Millisecond
	defer z.Close()
	c, err := z.DeviceAuthorize(t.Context(), func(DevicePrompt) {})
	if err != nil || c.RefreshToken.Reveal() != "R" || len(polls) != 4 {
		t.Fatalf("%v after %d polls", err, len(polls))
	}
	for i, least := range []time.Duration{1, 6, 12} {
		if d := polls[i+1].Sub(polls[i]); d < least*z.second {
			t.Errorf("poll %d after %v, want %v at least", i+2, d, least*z.second)
		}
	}
}

func TestDeviceAuthorizeCancelled(t *testing.T) {
	s := newSandbox(t, sandbox.Config{Tokens: sandbox.TokenConfig{Consent: "manual"}})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := sandboxAuthorizer(t, s, outlookUser, nil).DeviceAuthorize(ctx, func(DevicePrompt) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

// browser opens a URL as a browser does, and returns where it ended.
func browser(t *testing.T, from string) (final *url.URL, page string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(from)
	if err != nil {
		t.Error(err)
		return new(url.URL), ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.Request.URL, string(body)
}

func newRequest(t *testing.T, z *Authorizer) *ConsentRequest {
	t.Helper()
	r, err := z.AuthCode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestAuthCode(t *testing.T) {
	for _, email := range []string{outlookUser, gmailUser} {
		s := newSandbox(t, sandbox.Config{})
		r := newRequest(t, sandboxAuthorizer(t, s, email, nil))
		if _, page := browser(t, r.RedirectURL()+"/favicon.ico"); page != "" { // changes nothing
			t.Errorf("icon: %q", page)
		}
		if _, page := browser(t, r.RedirectURL()+"?code=x&state=forged"); page != "" {
			t.Errorf("forged answer: %q", page)
		}
		if _, page := browser(t, r.URL()); !strings.Contains(page, "Consent was given") {
			t.Errorf("page %q", page)
		}
		c, err := r.Wait(t.Context())
		checkConsent(t, s, email, c, err)
	}
}

// On another machine the browser finds nothing at the redirect address: the
// person pastes it.
func TestAuthCodePasted(t *testing.T) {
	s := newSandbox(t, sandbox.Config{})
	z := sandboxAuthorizer(t, s, outlookUser, nil)
	paste := func(r *ConsentRequest) string {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := client.Get(r.URL())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Header.Get("Location")
	}
	r := newRequest(t, z)
	c, err := r.Exchange(t.Context(), " "+paste(r)+"\n")
	checkConsent(t, s, outlookUser, c, err)
	u, _ := url.Parse(paste(r))
	c, err = r.Exchange(t.Context(), u.Query().Get("code"))
	checkConsent(t, s, outlookUser, c, err)

	other := newRequest(t, z)
	for name, tt := range map[string]struct {
		pasted string
		want   error
	}{
		"nothing":            {"", errRedirect},
		"a sentence":         {"I do not know", errRedirect},
		"another request's":  {paste(other), errConsentState},
		"no code":            {r.RedirectURL() + "?state=" + r.state, errRedirect},
		"used code":          {u.Query().Get("code"), ErrInvalidGrant},
		"not a URL":          {"http://%zz", errRedirect},
		"refused by someone": {r.RedirectURL() + "?error=access_denied&state=" + r.state, ErrInteractionRequired},
	} {
		if _, err := r.Exchange(t.Context(), tt.pasted); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestAuthCodeRefused(t *testing.T) {
	s := newSandbox(t, sandbox.Config{Tokens: sandbox.TokenConfig{Consent: "manual"}})
	r := newRequest(t, sandboxAuthorizer(t, s, outlookUser, nil))
	waiting, _ := browser(t, r.URL())
	if _, page := browser(t, waiting.String()+"&account="); !strings.Contains(page, "not given") {
		t.Errorf("page %q", page)
	}
	_, err := r.Wait(t.Context())
	e, _ := errors.AsType[*Error](err)
	if !errors.Is(err, ErrInteractionRequired) || !strings.Contains(e.Hint, "administrator") {
		t.Errorf("err = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newRequest(t, r.z).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
