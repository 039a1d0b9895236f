package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
)

// consentServer takes every request as a consent. It gives the refresh tokens of a
// sandbox, whose token endpoint does everything else.
type consentServer struct {
	*httptest.Server
	t     *testing.T
	box   *sandbox.Server
	email string

	// secret is what a confidential client must send, "" for a public client, which must
	// send none. certified clients send an assertion.
	secret    string
	certified bool
	hint      string // of the login; "" is email

	mu        sync.Mutex // guards what follows
	challenge string
	polls     int
}

func newConsentServer(t *testing.T, box *sandbox.Server, email string) *consentServer {
	c := &consentServer{t: t, box: box, email: email}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", c.authorize)
	mux.HandleFunc("POST /device", c.device)
	mux.HandleFunc("POST /token", c.token)
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

// authorize sends the browser back with a code.
func (c *consentServer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("login_hint") != cmp.Or(c.hint, c.email) {
		c.t.Errorf("authorization request %v", q)
	}
	c.mu.Lock()
	c.challenge = q.Get("code_challenge")
	c.mu.Unlock()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		c.t.Error(err)
	}
	back.RawQuery = url.Values{"code": {"canary-code"}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

func (c *consentServer) device(w http.ResponseWriter, _ *http.Request) {
	c.answer(w, 200, map[string]any{"device_code": "canary-device", "user_code": "ABCD-EFGH",
		"verification_uri": "https://example.com/device", "expires_in": 900, "interval": 1})
}

// token exchanges codes; the first poll for a device is too early.
func (c *consentServer) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if refusal := c.refusal(r.Form); refusal != "" {
		c.answer(w, 401, map[string]any{"error": "invalid_client", "error_description": refusal})
		return
	}
	switch r.Form.Get("grant_type") {
	case "authorization_code":
		sum := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
		if r.Form.Get("code") != "canary-code" || base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
			c.answer(w, 400, map[string]any{"error": "invalid_grant"})
			return
		}
	case "urn:ietf:params:oauth:grant-type:device_code":
		if c.polls++; c.polls == 1 {
			c.answer(w, 400, map[string]any{"error": "authorization_pending"})
			return
		}
	default: // refresh_token: the sandbox knows
		for _, proof := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
			r.Form.Del(proof) // the sandbox's client is public
		}
		resp, err := http.PostForm(c.box.TokenURL(), r.Form)
		if err != nil {
			c.t.Error(err)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		return
	}
	c.answer(w, 200, map[string]any{"access_token": c.box.IssueToken(c.email, time.Hour), "token_type": "Bearer",
		"expires_in": 3599, "refresh_token": c.box.RefreshToken(c.email), "scope": "mail"})
}

// refusal returns why the client of a request is refused, as Microsoft says it.
func (c *consentServer) refusal(form url.Values) string {
	secret, assertion := form.Get("client_secret"), form.Get("client_assertion")
	switch {
	case c.certified && assertion == "":
		return "AADSTS700027: Client assertion failed signature validation."
	case c.certified:
	case c.secret == "" && secret != "":
		return "AADSTS700025: Client is public so neither 'client_assertion' nor 'client_secret' should be presented."
	case c.secret != "" && secret == "":
		return "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
	case secret != c.secret:
		return "AADSTS7000215: Invalid client secret provided."
	}
	return ""
}

func (c *consentServer) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		c.t.Error(err)
	}
}

// screen is what the person sees; it tells when an address has come.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	urls chan string
}

var addressLine = regexp.MustCompile(`(?m)^  (https?://\S+)$`)

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	if m := addressLine.FindStringSubmatch(s.text.String()); m != nil {
		select {
		case s.urls <- m[1]:
		default:
		}
	}
	return len(p), nil
}

// authorize runs the command; act is the person, who sees an address and may
// type.
func authorize(t *testing.T, c *authorizeCmd, act func(address string, keyboard io.Writer)) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), apptest.Patience)
	defer cancel()
	sc := &screen{urls: make(chan string, 1)}
	in, keyboard := io.Pipe()
	defer keyboard.Close()
	done := make(chan error, 1)
	go func() { done <- c.run(ctx, in, sc) }()
	select {
	case address := <-sc.urls:
		act(address, keyboard)
	case err := <-done:
		return sc.text.String(), err
	}
	err := <-done
	apptest.CheckCanaries(t, "the screen", sc.text.String()+fmt.Sprint(err))
	return sc.text.String(), err
}

// command authorizes the account of the consent server.
func (c *consentServer) command(f sandbox.ProxyFiles, method string) *authorizeCmd {
	return &authorizeCmd{
		files: files{Config: f.Config, Accounts: f.Accounts},
		newAccount: newAccount{Email: c.email, ClientID: "sandbox-client-outlook", OAuthTokenURL: c.URL + "/token",
			OAuthEndpoint: "localhost:" + c.box.Addr("outlook")[strings.LastIndexByte(c.box.Addr("outlook"), ':')+1:]},
		Method: method, AuthURL: c.URL + "/authorize", DeviceURL: c.URL + "/device", Consent: "mail", Timeout: apptest.Patience, Verify: true,
	}
}

// browse opens an address as a browser does. Who does not follow gets the
// address that it would be sent to.
func browse(t *testing.T, address string, follow bool) (location string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if !follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	resp, err := client.Get(address)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Header.Get("Location")
}

func TestAuthorize(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		act          func(t *testing.T, address string, keyboard io.Writer)
	}{
		{"browser", "browser", func(t *testing.T, address string, _ io.Writer) { browse(t, address, true) }},
		{"browser elsewhere", "browser", func(t *testing.T, address string, keyboard io.Writer) {
			fmt.Fprintln(keyboard, browse(t, address, false))
		}},
		{"pasted after nonsense", "browser", func(t *testing.T, address string, keyboard io.Writer) {
			for _, nonsense := range []string{"I do not know", "http://localhost:1/", "http://localhost:1/?code=canary-x&state=other"} {
				fmt.Fprintln(keyboard, nonsense)
			}
			fmt.Fprintln(keyboard, "<"+strings.TrimPrefix(browse(t, address, false), "http://")+">")
		}},
		{"device", "auto", func(*testing.T, string, io.Writer) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			box, f := apptest.NewSandbox(t, "user@outlook.com")
			c := newConsentServer(t, box, "user@outlook.com")
			apptest.WriteFile(t, f.Accounts, "[]")
			text, err := authorize(t, c.command(f, tt.method), func(address string, keyboard io.Writer) { tt.act(t, address, keyboard) })
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			apptest.CheckParts(t, text, "Consent was given.")
			if refused := strings.Count(text, "Paste the address"); refused != 3 && tt.name == "pasted after nonsense" {
				t.Errorf("%d answers are refused on the screen:\n%s", refused, text)
			}
			if tt.method == "auto" {
				apptest.CheckParts(t, text, "ABCD-EFGH", "https://example.com/device")
			}
			apptest.CheckParts(t, apptest.ReadAll(t, f.Accounts), `"email": "user@outlook.com"`, `"refresh_token": "`)
			apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "1 of 1 accounts work")
		})
	}
}

// TestAuthorizeAgain needs no more than the address of an account that is there.
func TestAuthorizeAgain(t *testing.T) {
	box, f := apptest.NewSandbox(t, "user@outlook.com")
	c := newConsentServer(t, box, "user@outlook.com")
	text := strings.Replace(apptest.ReadAll(t, f.Accounts), "canary-refresh-user@outlook.com", "canary-dead", 1)
	apptest.WriteFile(t, f.Accounts, strings.Replace(text, `"provider"`, `"_note": "mine", "provider"`, 1))
	cmd := c.command(f, "browser")
	cmd.newAccount = newAccount{Email: "USER@outlook.com", OAuthTokenURL: c.URL + "/token"}
	if text, err := authorize(t, cmd, func(address string, _ io.Writer) { browse(t, address, true) }); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	saved := apptest.ReadAll(t, f.Accounts)
	apptest.CheckParts(t, saved, `"_note": "mine"`, `"client_id": "sandbox-client-outlook"`)
	if strings.Contains(saved, "canary-dead") {
		t.Error("the old refresh token is still there")
	}
}

// TestAuthorizeCompletes has an account in the file to which nothing is wanting
// but the refresh token.
func TestAuthorizeCompletes(t *testing.T) {
	for name, others := range map[string][]string{"the only account": nil, "beside a right one": {"other@outlook.com"}} {
		t.Run(name, func(t *testing.T) { authorizeCompletes(t, others...) })
	}
}

func authorizeCompletes(t *testing.T, others ...string) {
	box, f := apptest.NewSandbox(t, append(others, "user@outlook.com")...)
	c := newConsentServer(t, box, "user@outlook.com")
	text := strings.Replace(apptest.ReadAll(t, f.Accounts), `"canary-refresh-user@outlook.com"`, `"" /* to come */`, 1)
	apptest.WriteFile(t, f.Accounts, strings.ReplaceAll(text, box.TokenURL(), c.URL+"/token"))
	apptest.CheckParts(t, mustRun(t, exitConfig, with(f, "check")...), "refresh_token: is needed")
	cmd := c.command(f, "browser")
	cmd.newAccount = newAccount{Email: "user@outlook.com"}
	if text, err := authorize(t, cmd, func(address string, _ io.Writer) { browse(t, address, true) }); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	apptest.CheckParts(t, apptest.ReadAll(t, f.Accounts), "/* to come */", `"client_id": "sandbox-client-outlook"`)
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify", "user@outlook.com")...), "1 of 1 accounts work")
}

// TestAuthorizeAtTheTenant asks where the account's tokens come from: an
// application of one tenant alone is refused elsewhere, and a code is good at the
// authority that gave it.
func TestAuthorizeAtTheTenant(t *testing.T) {
	const common, own = "https://login.microsoftonline.com/common/oauth2/v2.0/", "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/"
	for _, tt := range []struct {
		name, account      string
		change             func(*authorizeCmd)
		auth, device, code string
	}{
		{"any tenant", `"email": "a@contoso.example"`, nil, common + "authorize", common + "devicecode", common + "token"},
		{"tenant of the account", `"email": "a@contoso.example", "tenant": "contoso.example"`, nil, own + "authorize", own + "devicecode", own + "token"},
		{"URL of the tenant", `"email": "a@contoso.example", "oauth_token_url": "` + own + `token"`, nil, own + "authorize", own + "devicecode", own + "token"},
		{"tenant of the command line", `"email": "a@contoso.example"`, func(c *authorizeCmd) { c.Tenant = "contoso.example" },
			own + "authorize", own + "devicecode", own + "token"},
		{"a person", `"email": "a@hotmail.com"`, nil, common + "authorize", common + "devicecode", common + "token"},
		{"another endpoint", `"email": "a@contoso.example", "oauth_token_url": "https://id.example/token"`, nil,
			common + "authorize", common + "devicecode", "https://id.example/token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, f := apptest.NewSandbox(t)
			apptest.WriteFile(t, f.Accounts, `[{`+tt.account+`, "provider": "outlook", "client_id": "c", "refresh_token": "canary"}]`)
			c := authorizeCmd{files: files{Config: f.Config, Accounts: f.Accounts}, Method: "auto"}
			settings, accounts, err := c.load()
			if err != nil {
				t.Fatal(err)
			}
			if c.Email = accounts.All()[0].Email; tt.change != nil {
				tt.change(&c)
			}
			old, err := c.adoptExisting(settings, c.entry(account.Secret{}, notYet))
			if err != nil {
				t.Fatal(err)
			}
			p, err := c.provider(settings, old)
			if err != nil {
				t.Fatal(err)
			}
			c.Overwrite = true
			e := func(token account.Secret) *accountfile.Entry { return c.entry(account.Secret{}, token) }
			what, err := c.what(settings, old, p, account.Secret{}, e)
			if err != nil || what.AuthURL != tt.auth || what.DeviceURL != tt.device || what.Account.TokenURL != tt.code {
				t.Errorf("%s, %s, %s, %v", what.AuthURL, what.DeviceURL, what.Account.TokenURL, err)
			}
		})
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	box, f := apptest.NewSandbox(t, "user@outlook.com")
	c := newConsentServer(t, box, "user@outlook.com")
	apptest.WriteFile(t, f.Accounts, "[]")
	for _, tt := range []struct {
		name   string
		change func(*authorizeCmd)
		want   string
	}{
		{"no client", func(a *authorizeCmd) { a.ClientID = "" }, "--client-id: is needed"},
		{"no provider", func(a *authorizeCmd) { a.Email = "user@example.com" }, "--provider: the domain"},
		{"unknown provider", func(a *authorizeCmd) { a.Provider = "yahoo" }, "neither gmail nor outlook"},
		{"no tenant", func(a *authorizeCmd) { a.Tenant = "a/b" }, "--tenant"},
		{"nobody answers", func(a *authorizeCmd) { a.Timeout = time.Millisecond }, "nobody answered in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := c.command(f, "browser")
			tt.change(cmd)
			_, err := authorize(t, cmd, func(string, io.Writer) {})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if apptest.ReadAll(t, f.Accounts) != "[]" {
				t.Error("something was saved")
			}
		})
	}
}
