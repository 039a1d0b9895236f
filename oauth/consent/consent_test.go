package consent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const outlookConsentScope = "https://outlook.office.com/SMTP.Send offline_access"

// sandboxAuthorizer asks the sandbox for consent to one of its accounts.
func sandboxAuthorizer(t *testing.T, s *sandbox.Server, email string, change func(*Config)) *Authorizer {
	t.Helper()
	a := tokentest.SandboxAccount(s, email)
	base := strings.TrimSuffix(s.TokenURL(), "/token")
	c := Config{Account: a, AuthURL: base + "/authorize", DeviceURL: base + "/devicecode", Scope: outlookConsentScope}
	if a.Provider == sandbox.PresetGmail {
		c.Scope = "https://mail.google.com/"
	}
	if change != nil {
		change(&c)
	}
	z := New(oauth.DefaultConfig(), c)
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
func checkConsent(t *testing.T, s *sandbox.Server, email string, c *Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	login, err := base64.StdEncoding.DecodeString(string(c.Token.XOAUTH2))
	if want := "user=" + email + "\x01auth=Bearer " + c.Token.Access + "\x01\x01"; err != nil || string(login) != want {
		t.Errorf("the initial response is not one of %s", email)
	}
	if c.RefreshToken.Reveal() != s.RefreshToken(email) || !s.Opens(email, c.Token.Access) || c.Scope == "" {
		t.Error("the tokens are not those of the account")
	}
	a := tokentest.AccountLike(tokentest.SandboxAccount(s, email), func(a *account.Account) { a.RefreshToken = c.RefreshToken })
	m := oauth.New(oauth.DefaultConfig(), nil, nil)
	t.Cleanup(m.Close)
	if _, err := m.Source(a).Get(t.Context()); err != nil {
		t.Errorf("the refresh token brings no token: %v", err)
	}
}

func TestDeviceAuthorize(t *testing.T) {
	for _, email := range []string{tokentest.OutlookUser, tokentest.GmailUser} { // one public client, one with a secret
		s := tokentest.NewSandbox(t, sandbox.Config{Now: leapingClock(10 * time.Second)})
		var shown Prompt
		c, err := sandboxAuthorizer(t, s, email, nil).DeviceAuthorize(t.Context(), func(p Prompt) { shown = p })
		checkConsent(t, s, email, c, err)
		if shown.Code == "" || !strings.HasPrefix(shown.URL, "http://") || !strings.Contains(shown.URLWithCode, shown.Code) || shown.Expiry.Before(time.Now()) {
			t.Errorf("prompt %+v", shown)
		}
	}
}

func TestDeviceAuthorizeErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		deny   bool
		want   error
		code   string
	}{
		{"denied", nil, true, flow.ErrInteractionRequired, "access_denied"},
		{"no device flow", func(c *Config) { c.DeviceURL = "" }, false, errNoDeviceFlow, ""},
		{"in the clear", func(c *Config) { c.DeviceURL = "http://login.example.com/devicecode" }, false, errAuthURL, ""},
		{"unknown client", func(c *Config) { c.Account.ClientID = "x" }, false, flow.ErrMisconfigured, "unauthorized_client"},
		{"no refresh token", func(c *Config) { c.Scope = "https://outlook.office.com/SMTP.Send" }, false, errNoRefreshToken, ""},
		{"not reachable", func(c *Config) { c.DeviceURL = "http://127.0.0.1:1/devicecode" }, false, flow.ErrUnavailable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tokentest.NewSandbox(t, sandbox.Config{Now: leapingClock(10 * time.Second)})
			_, err := sandboxAuthorizer(t, s, tokentest.OutlookUser, tt.change).DeviceAuthorize(t.Context(), func(p Prompt) {
				if tt.deny {
					if _, err := s.Consent(p.Code, ""); err != nil {
						t.Error(err)
					}
				}
			})
			e, ok := errors.AsType[*oauth.Error](err)
			if !errors.Is(err, tt.want) || !ok || e.Code != tt.code {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
		})
	}
}

// The endpoint says slow_down, and connections are lost: the consent is not.
func TestDevicePolling(t *testing.T) {
	ts := tokentest.NewServer(t)
	var polls []time.Time
	ts.SetAnswer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/devicecode" {
			tokentest.GiveJSON(w, 200, map[string]any{"device_code": "dc", "user_code": "UC", "verification_uri": "https://example.com", "interval": 1, "expires_in": 900})
			return
		}
		polls = append(polls, time.Now())
		switch len(polls) {
		case 1:
			tokentest.GiveError(400, "authorization_pending", "")(w, r)
		case 2:
			tokentest.GiveError(400, "slow_down", "")(w, r)
		case 3:
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Le")
			_ = rw.Flush()
			c.Close()
		default:
			tokentest.GiveToken(w, map[string]any{"access_token": "A", "refresh_token": "R"})
		}
	})
	z := New(oauth.DefaultConfig(), Config{Account: tokentest.Account(ts.URL), DeviceURL: ts.URL + "/devicecode", Scope: "s"})
	z.second = 10 * time.Millisecond
	defer z.Close()
	c, err := z.DeviceAuthorize(t.Context(), func(Prompt) {})
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
	s := tokentest.NewSandbox(t, sandbox.Config{Tokens: sandbox.TokenConfig{Consent: "manual"}})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := sandboxAuthorizer(t, s, tokentest.OutlookUser, nil).DeviceAuthorize(ctx, func(Prompt) { cancel() })
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

func newRequest(t *testing.T, z *Authorizer) *Request {
	t.Helper()
	r, err := z.AuthCode(Redirect{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestAuthCode(t *testing.T) {
	for _, email := range []string{tokentest.OutlookUser, tokentest.GmailUser} {
		s := tokentest.NewSandbox(t, sandbox.Config{})
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
	s := tokentest.NewSandbox(t, sandbox.Config{})
	z := sandboxAuthorizer(t, s, tokentest.OutlookUser, nil)
	paste := func(r *Request) string {
		resp, _ := testkit.Ask(t, nil, "GET", r.URL(), "")
		return resp.Header.Get("Location")
	}
	r := newRequest(t, z)
	c, err := r.Exchange(t.Context(), " "+paste(r)+"\n")
	checkConsent(t, s, tokentest.OutlookUser, c, err)
	u, _ := url.Parse(paste(r))
	c, err = r.Exchange(t.Context(), u.Query().Get("code"))
	checkConsent(t, s, tokentest.OutlookUser, c, err)

	for name, tt := range map[string]struct {
		pasted string
		want   error
	}{
		"used code":          {u.Query().Get("code"), flow.ErrInvalidGrant},
		"refused by someone": {r.RedirectURL() + "?error=access_denied&state=" + r.state, flow.ErrInteractionRequired},
	} {
		if _, err := r.Exchange(t.Context(), tt.pasted); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestAuthCodeRefused(t *testing.T) {
	s := tokentest.NewSandbox(t, sandbox.Config{Tokens: sandbox.TokenConfig{Consent: "manual"}})
	r := newRequest(t, sandboxAuthorizer(t, s, tokentest.OutlookUser, nil))
	waiting, _ := browser(t, r.URL())
	if _, page := browser(t, waiting.String()+"&account="); !strings.Contains(page, "not given") {
		t.Errorf("page %q", page)
	}
	_, err := r.Wait(t.Context())
	e, _ := errors.AsType[*oauth.Error](err)
	if !errors.Is(err, flow.ErrInteractionRequired) || !strings.Contains(e.Hint.Remedy(), "administrator") {
		t.Errorf("err = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newRequest(t, r.z).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// consentServer answers requests for device codes and for tokens with a wording.
func consentServer(t *testing.T, wd tokentest.Wording, contentType, object, form string) (*tokentest.Server, *Authorizer) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/device" && object != tokentest.ErrorObject {
			wd.Give(200, contentType, `{"device_code":"D","user_code":"U","verification_uri":"https://example.com/","expires_in":900,"interval":1}`,
				"device_code=D&user_code=U&verification_uri=https%3A%2F%2Fexample.com%2F&expires_in=900&interval=1")(w, r)
			return
		}
		wd.Give(200, contentType, object, form)(w, r)
	})
	z := New(oauth.DefaultConfig(), Config{Account: tokentest.Account(ts.URL), AuthURL: ts.URL + "/auth", DeviceURL: ts.URL + "/device"})
	z.second = time.Millisecond
	t.Cleanup(z.Close)
	return ts, z
}

func TestAnswerFormsOfConsent(t *testing.T) {
	ways := map[string]func(z *Authorizer) (*Result, error){
		"device": func(z *Authorizer) (*Result, error) { return z.DeviceAuthorize(t.Context(), func(Prompt) {}) },
		"code": func(z *Authorizer) (*Result, error) {
			r := newRequest(t, z)
			return r.Exchange(t.Context(), "the-code")
		},
	}
	for name, consent := range ways {
		for _, contentType := range []string{tokentest.Absent, "text/plain", "text/html", "application/json"} {
			for _, wd := range tokentest.Wordings {
				_, z := consentServer(t, wd, contentType, tokentest.TokenObject, tokentest.TokenForm)
				if c, err := consent(z); err != nil || c.RefreshToken.Reveal() != "R2" || c.Token.Access != "A1" {
					t.Errorf("%s, %s, %s: %v", name, contentType, wd.Name, err)
				}
				_, z = consentServer(t, wd, contentType, tokentest.ErrorObject, tokentest.ErrorForm)
				if _, err := consent(z); !errors.Is(err, flow.ErrInvalidGrant) {
					t.Errorf("%s, %s, %s: error object: %v", name, contentType, wd.Name, err)
				}
			}
		}
	}
}

// TestNoSecretOfConsent has an endpoint echo the requests, and looks for parts of
// secrets in the errors.
func TestNoSecretOfConsent(t *testing.T) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(tokentest.Echo(ts))
	a := tokentest.AccountLike(tokentest.Account(ts.URL), func(a *account.Account) { a.ClientSecret = account.NewSecret("CANARY~client secret") })
	z := New(oauth.DefaultConfig(), Config{Account: a, AuthURL: ts.URL + "/authorize", DeviceURL: ts.URL + "/devicecode", Scope: "s"})
	z.second = time.Millisecond
	defer z.Close()
	r := newRequest(t, z)
	for range 12 {
		_, deviceErr := z.DeviceAuthorize(t.Context(), func(Prompt) { t.Error("there is nothing to show") })
		_, codeErr := r.Exchange(t.Context(), "CANARYcode-1234567890")
		for _, err := range []error{deviceErr, codeErr} {
			text := fmt.Sprintf("%v %+v %#v", err, err, err)
			if err == nil || strings.Contains(text, "CANARY") || strings.Contains(text, r.verifier[:10]) {
				t.Errorf("err = %s", text)
			}
		}
	}
}
