package tokend

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
	"xoauth2-proxy/internal/testkit"
)

type tokenAnswer struct {
	Status           int    `json:"-"`
	RetryAfter       string `json:"-"`
	Raw              string `json:"-"`
	AccessToken      string `json:"access_token"`
	RefreshToken     string `json:"refresh_token"`
	ExpiresIn        int    `json:"expires_in"`
	RefreshExpiresIn int    `json:"refresh_token_expires_in"`
	Scope            string `json:"scope"`
	Error            string `json:"error"`
	Description      string `json:"error_description"`
	Codes            []int  `json:"error_codes"`
}

// refresh asks the token endpoint with the account's grant, changed by edit.
func refresh(t *testing.T, s *fixture, email string, edit func(url.Values)) (tokenAnswer, error) {
	t.Helper()
	a := s.Mailbox(email)
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {a.ClientID}, "refresh_token": {s.RefreshToken(email)}}
	if a.ClientSecret != "" {
		form.Set("client_secret", a.ClientSecret)
	}
	if edit != nil {
		edit(form)
	}
	resp, text, err := testkit.TryPost(nil, s.TokenURL(), form)
	if resp == nil {
		return tokenAnswer{}, err
	}
	ans := tokenAnswer{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After"), Raw: text}
	json.Unmarshal([]byte(text), &ans) // garbage is one of the answers
	return ans, err
}

func TestToken(t *testing.T) {
	s := newServer(t, Config{Lifetime: wait.Duration(time.Hour)})
	for _, email := range []string{gmailUser, outlookUser} {
		ans, err := refresh(t, s, email, nil)
		if err != nil || ans.Status != 200 || ans.ExpiresIn != 3600 {
			t.Fatalf("%+v, %v", ans, err)
		}
		if rotated := ans.RefreshToken != ""; rotated != (email == outlookUser) {
			t.Errorf("%s: rotated = %v", email, rotated)
		}
		if !s.Opens(email, ans.AccessToken) {
			t.Errorf("%s: the token does not open the mailbox", email)
		}
		if st := s.AccountStats(email); st.TokenRequests != 1 || st.TokensIssued != 1 {
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
	if ans, _ := refresh(t, s, gmailUser, set("refresh_token", s.Mailbox(gmailUser).RefreshToken)); ans.Error != "invalid_grant" {
		t.Errorf("revoked: %+v", ans)
	}
}

func TestTokenBasicAuthentication(t *testing.T) {
	s := newServer(t, Config{})
	a := s.Mailbox(gmailUser)
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
		s := newServer(t, Config{Rotation: "on", InvalidateOld: invalidate})
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
	short := wait.Duration(time.Millisecond)
	tests := []struct {
		name  string
		rule  fault.Rule
		check func(ans tokenAnswer, err error) bool
	}{
		{"429", fault.Rule{Action: fault.ActionReply, Status: 429, RetryAfter: "7", Body: "{}"},
			func(a tokenAnswer, err error) bool { return a.Status == 429 && a.RetryAfter == "7" }},
		{"503", fault.Rule{Action: fault.ActionReply, Status: 503}, func(a tokenAnswer, err error) bool { return a.Status == 503 }},
		{"error", fault.Rule{Action: fault.ActionReply, Error: "temporarily_unavailable"},
			func(a tokenAnswer, err error) bool { return a.Status == 400 && a.Error == "temporarily_unavailable" }},
		{"delay", fault.Rule{Action: fault.ActionReply, Error: "server_error", Delay: short}, func(a tokenAnswer, err error) bool { return a.Error == "server_error" }},
		{"garbage", fault.Rule{Action: fault.ActionGarbage}, func(a tokenAnswer, err error) bool { return a.Status == 200 && strings.HasPrefix(a.Raw, "\x00") }},
		{"invalid grant", fault.Rule{Action: fault.ActionInvalidGrant}, func(a tokenAnswer, err error) bool { return a.Status == 400 && a.Error == "invalid_grant" }},
		{"huge", fault.Rule{Action: fault.ActionHuge, Size: 5000}, func(a tokenAnswer, err error) bool { return len(a.AccessToken) == 5000 }},
		{"close", fault.Rule{Action: fault.ActionClose}, func(a tokenAnswer, err error) bool { return err != nil }},
		{"reset", fault.Rule{Action: fault.ActionReset}, func(a tokenAnswer, err error) bool { return err != nil }},
		{"stall then go on", fault.Rule{Action: fault.ActionStall, For: short}, func(a tokenAnswer, err error) bool { return a.AccessToken != "" }},
		{"slow", fault.Rule{Action: fault.ActionSlow, Interval: wait.Duration(time.Microsecond)}, func(a tokenAnswer, err error) bool { return a.AccessToken != "" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.rule.Phase, tt.rule.Account, tt.rule.Name = fault.PhaseToken, gmailUser, "f"
			s := newServer(t, Config{}, tt.rule)
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
	s := newServer(t, Config{}, fault.Rule{Name: "f", Phase: fault.PhaseToken, Action: fault.ActionStall})
	done := make(chan error, 1)
	go func() {
		_, _, err := testkit.TryPost(nil, s.TokenURL(), url.Values{})
		done <- err
	}()
	if err := s.WaitFired(t.Context(), "f", 1); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := <-done; err == nil {
		t.Error("a stalled request was answered")
	}
}

// TestTokenNotForSMTP has tokens that are issued and do not open the mailbox.
func TestTokenNotForSMTP(t *testing.T) {
	for _, action := range []fault.Action{fault.ActionWrongScope, fault.ActionRevoke} {
		s := newServer(t, Config{}, fault.Rule{Phase: fault.PhaseToken, Action: action, Times: 1})
		ans, err := refresh(t, s, outlookUser, nil)
		if err != nil || ans.AccessToken == "" {
			t.Fatalf("%+v, %v", ans, err)
		}
		if wrong := !strings.Contains(ans.Scope, "SMTP.Send"); wrong != (action == fault.ActionWrongScope) {
			t.Errorf("scope %q", ans.Scope)
		}
		if s.Opens(outlookUser, ans.AccessToken) {
			t.Errorf("%s: the token opens the mailbox", action)
		}
		if ans, _ = refresh(t, s, outlookUser, nil); !s.Opens(outlookUser, ans.AccessToken) {
			t.Errorf("%s: the next token does not open the mailbox", action)
		}
	}
}

// TestEnds: refresh tokens end unused, or a time after the consent, and secrets on a day.
func TestEnds(t *testing.T) {
	const day = 24 * time.Hour
	s := newServer(t, Config{})
	for email, a := range map[string]mailbox.Account{
		"idle@a.test":   {RefreshIdle: wait.Duration(90 * day)},
		"life@a.test":   {RefreshLife: wait.Duration(7 * day)},
		"secret@a.test": {ClientID: "own", ClientSecret: "s", SecretEnds: time.Now().Add(30 * day)},
	} {
		a.Email, a.Provider = email, mailbox.Outlook
		m, err := s.Directory.Add(a, map[string]bool{mailbox.Outlook: true})
		if err != nil {
			t.Fatal(err)
		}
		s.AddGrant(m)
	}
	gone := time.Duration(0)
	for _, tt := range []struct {
		after time.Duration
		email string
		code  int // AADSTS; 0: a token
		left  time.Duration
	}{
		{day, "life@a.test", 0, 6 * day},
		{7*day - time.Hour, "life@a.test", 0, time.Hour}, // by another token of the same consent
		{7*day + time.Hour, "life@a.test", 700084, 0},
		{30*day - time.Hour, "secret@a.test", 0, 0},
		{30*day + time.Hour, "secret@a.test", 7000222, 0},
		{89 * day, "idle@a.test", 0, 0},
		{178 * day, "idle@a.test", 0, 0},
		{268*day + time.Hour, "idle@a.test", 700082, 0},
	} {
		s.advance(tt.after - gone)
		gone = tt.after
		ans, err := refresh(t, s, tt.email, nil)
		left := tt.left - time.Duration(ans.RefreshExpiresIn)*time.Second
		if err != nil || (ans.Status == 200) != (tt.code == 0) || tt.code != 0 && !slices.Contains(ans.Codes, tt.code) || left.Abs() > 10*time.Minute {
			t.Errorf("%s after %v: %+v, %v", tt.email, tt.after, ans, err)
		}
	}
}
