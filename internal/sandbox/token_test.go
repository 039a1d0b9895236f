package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

type tokenAnswer struct {
	Status       int    `json:"-"`
	RetryAfter   string `json:"-"`
	Raw          string `json:"-"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
	Description  string `json:"error_description"`
	Codes        []int  `json:"error_codes"`
}

func account(s *Server, email string) Account { return s.Mailbox(email).Account }

// refresh asks the token endpoint with the account's grant, changed by edit.
func refresh(t *testing.T, s *Server, email string, edit func(url.Values)) (tokenAnswer, error) {
	t.Helper()
	a := account(s, email)
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {a.ClientID}, "refresh_token": {s.RefreshToken(email)}}
	if a.ClientSecret != "" {
		form.Set("client_secret", a.ClientSecret)
	}
	if edit != nil {
		edit(form)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.PostForm(s.TokenURL(), form)
	if err != nil {
		return tokenAnswer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ans := tokenAnswer{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After"), Raw: string(b)}
	json.Unmarshal(b, &ans) // garbage is one of the answers
	return ans, err
}

func TestToken(t *testing.T) {
	s := newServer(t, Config{Tokens: TokenConfig{Lifetime: Duration(time.Hour)}})
	for _, email := range []string{gmailUser, outlookUser} {
		ans, err := refresh(t, s, email, nil)
		if err != nil || ans.Status != 200 || ans.ExpiresIn != 3600 {
			t.Fatalf("%+v, %v", ans, err)
		}
		if rotated := ans.RefreshToken != ""; rotated != (email == outlookUser) {
			t.Errorf("%s: rotated = %v", email, rotated)
		}
		dial(t, s, s.Addr(account(s, email).Endpoint)).secure().cmd("AUTH XOAUTH2 "+xoauth2(email, ans.AccessToken), "235 ")
		if st := s.AccountStats(email); st.TokenRequests != 1 || st.TokensIssued != 1 || st.Logins != 1 {
			t.Errorf("%+v", st)
		}
	}
}

func TestTokenErrors(t *testing.T) {
	s := newServer(t, Config{})
	set := func(k, v string) func(url.Values) { return func(f url.Values) { f.Set(k, v) } }
	tests := []struct {
		name, email string
		edit        func(url.Values)
		status      int
		want        string
		aadsts      int
	}{
		{"no grant type", gmailUser, set("grant_type", ""), 400, "invalid_request", 0},
		{"grant type", gmailUser, set("grant_type", "password"), 400, "unsupported_grant_type", 0},
		{"no client", gmailUser, set("client_id", ""), 400, "invalid_request", 0},
		{"no refresh token", outlookUser, set("refresh_token", ""), 400, "invalid_request", 900144},
		{"unknown client", gmailUser, set("client_id", "x"), 401, "invalid_client", 0},
		{"unknown application", outlookUser, set("client_id", "x"), 400, "unauthorized_client", 700016},
		{"wrong secret", gmailUser, set("client_secret", "x"), 401, "invalid_client", 0},
		{"secret of a public client", outlookUser, set("client_secret", "x"), 401, "invalid_client", 7000215},
		{"unknown token", gmailUser, set("refresh_token", "x"), 400, "invalid_grant", 0},
		{"unknown token at outlook", outlookUser, set("refresh_token", "x"), 400, "invalid_grant", 70000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ans, err := refresh(t, s, tt.email, tt.edit)
			if err != nil || ans.Status != tt.status || ans.Error != tt.want {
				t.Fatalf("%+v, %v", ans, err)
			}
			if tt.aadsts != 0 && (len(ans.Codes) != 1 || ans.Codes[0] != tt.aadsts || !strings.HasPrefix(ans.Description, "AADSTS")) {
				t.Errorf("%+v", ans)
			}
		})
	}
	s.RevokeGrant(gmailUser)
	if ans, _ := refresh(t, s, gmailUser, set("refresh_token", account(s, gmailUser).RefreshToken)); ans.Error != "invalid_grant" {
		t.Errorf("revoked: %+v", ans)
	}
}

func TestTokenBasicAuthentication(t *testing.T) {
	s := newServer(t, Config{})
	a := account(s, gmailUser)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.RefreshToken}}
	req, _ := http.NewRequest("POST", s.TokenURL(), strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(a.ClientID), url.QueryEscape(a.ClientSecret))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestRotation(t *testing.T) {
	for _, invalidate := range []bool{false, true} {
		s := newServer(t, Config{Tokens: TokenConfig{Rotation: "on", InvalidateOld: invalidate}})
		first := s.RefreshToken(gmailUser)
		ans, err := refresh(t, s, gmailUser, nil)
		if err != nil || ans.RefreshToken == "" || ans.RefreshToken == first || ans.RefreshToken != s.RefreshToken(gmailUser) {
			t.Fatalf("%+v, %v", ans, err)
		}
		if again, _ := refresh(t, s, gmailUser, nil); again.Status != 200 {
			t.Errorf("new token: %+v", again)
		}
		old, _ := refresh(t, s, gmailUser, func(f url.Values) { f.Set("refresh_token", first) })
		if invalid := old.Error == "invalid_grant"; invalid != invalidate {
			t.Errorf("old token: %+v", old)
		}
		// A chain has a bound, and its end still works.
		for range keptRefreshTokens + 2 {
			refresh(t, s, gmailUser, nil)
		}
		if ans, _ := refresh(t, s, gmailUser, nil); ans.Status != 200 {
			t.Errorf("after many rotations: %+v", ans)
		}
	}
}

func TestTokenFaults(t *testing.T) {
	short := Duration(time.Millisecond)
	tests := []struct {
		name  string
		rule  Rule
		check func(ans tokenAnswer, err error) bool
	}{
		{"429", Rule{Action: ActionReply, Status: 429, RetryAfter: "7", Body: "{}"},
			func(a tokenAnswer, err error) bool { return a.Status == 429 && a.RetryAfter == "7" }},
		{"503", Rule{Action: ActionReply, Status: 503}, func(a tokenAnswer, err error) bool { return a.Status == 503 }},
		{"error", Rule{Action: ActionReply, Error: "temporarily_unavailable"},
			func(a tokenAnswer, err error) bool { return a.Status == 400 && a.Error == "temporarily_unavailable" }},
		{"delay", Rule{Action: ActionReply, Error: "server_error", Delay: short}, func(a tokenAnswer, err error) bool { return a.Error == "server_error" }},
		{"garbage", Rule{Action: ActionGarbage}, func(a tokenAnswer, err error) bool { return a.Status == 200 && strings.HasPrefix(a.Raw, "\x00") }},
		{"invalid grant", Rule{Action: ActionInvalidGrant}, func(a tokenAnswer, err error) bool { return a.Status == 400 && a.Error == "invalid_grant" }},
		{"huge", Rule{Action: ActionHuge, Size: 5000}, func(a tokenAnswer, err error) bool { return len(a.AccessToken) == 5000 }},
		{"close", Rule{Action: ActionClose}, func(a tokenAnswer, err error) bool { return err != nil }},
		{"reset", Rule{Action: ActionReset}, func(a tokenAnswer, err error) bool { return err != nil }},
		{"stall then go on", Rule{Action: ActionStall, For: short}, func(a tokenAnswer, err error) bool { return a.AccessToken != "" }},
		{"slow", Rule{Action: ActionSlow, Interval: Duration(time.Microsecond)}, func(a tokenAnswer, err error) bool { return a.AccessToken != "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.Phase, tt.rule.Account, tt.rule.Name = PhaseToken, gmailUser, "f"
			s := newServer(t, Config{Faults: []Rule{tt.rule}})
			if ans, err := refresh(t, s, gmailUser, nil); !tt.check(ans, err) {
				t.Errorf("%+v, %v", ans, err)
			}
			if s.Fired("f") == 0 {
				t.Error("not fired")
			}
			if ans, err := refresh(t, s, outlookUser, nil); err != nil || ans.AccessToken == "" {
				t.Errorf("neighbour: %+v, %v", ans, err)
			}
		})
	}
}

// TestTokenStall has a client that gives up, and a server that is closed while
// another one still waits.
func TestTokenStall(t *testing.T) {
	s := newServer(t, Config{Faults: []Rule{{Name: "f", Phase: PhaseToken, Action: ActionStall}}})
	done := make(chan error, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.PostForm(s.TokenURL(), url.Values{})
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	if err := s.WaitFired(testContext(t), "f", 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("a stalled request was answered")
	}
}

// TestTokenNotForSMTP: tokens that were issued, and that SMTP refuses.
func TestTokenNotForSMTP(t *testing.T) {
	for _, action := range []Action{ActionWrongScope, ActionRevoke} {
		s := newServer(t, Config{Faults: []Rule{{Phase: PhaseToken, Action: action, Times: 1}}})
		ans, err := refresh(t, s, outlookUser, nil)
		if err != nil || ans.AccessToken == "" {
			t.Fatalf("%+v, %v", ans, err)
		}
		if wrong := !strings.Contains(ans.Scope, "SMTP.Send"); wrong != (action == ActionWrongScope) {
			t.Errorf("scope %q", ans.Scope)
		}
		c := dial(t, s, s.Addr(PresetOutlook)).secure()
		c.cmd("AUTH XOAUTH2 "+xoauth2(outlookUser, ans.AccessToken), "535 5.7.3")
		ans, _ = refresh(t, s, outlookUser, nil)
		c.cmd("AUTH XOAUTH2 "+xoauth2(outlookUser, ans.AccessToken), "235 ")
	}
}
