package flow

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// A secondary is what an answer says in a secondary field, and what becomes of it.
type secondary struct {
	field, value string        // the value in JSON; "": the field is not there
	life         time.Duration // of the token; 0: an hour
	odd          bool
	refresh      string        // the refresh token that comes; "": R2
	refreshLife  time.Duration // of the refresh token; 0: it is not known
}

// secondaries has the fields beside the access token, each with good values and odd
// ones.
var secondaries = []secondary{
	{field: "expires_in", value: ``},
	{field: "expires_in", value: `null`},
	{field: "expires_in", value: `600`, life: 10 * time.Minute},
	{field: "expires_in", value: `600.0`, life: 10 * time.Minute},
	{field: "expires_in", value: `600.9`, life: 10 * time.Minute},
	{field: "expires_in", value: `6e2`, life: 10 * time.Minute},
	{field: "expires_in", value: `6.0E+2`, life: 10 * time.Minute},
	{field: "expires_in", value: `"600"`, life: 10 * time.Minute},
	{field: "expires_in", value: `" 600.0 "`, life: 10 * time.Minute},
	{field: "expires_in", value: `"6e2"`, life: 10 * time.Minute},
	{field: "expires_in", value: `86400`, life: 24 * time.Hour},
	{field: "expires_in", value: `86401`, life: 24 * time.Hour},
	{field: "expires_in", value: `"86401"`, life: 24 * time.Hour},
	{field: "expires_in", value: `2147483648`, life: 24 * time.Hour},
	{field: "expires_in", value: `9223372036854775808`, life: 24 * time.Hour},
	{field: "expires_in", value: `1e30`, life: 24 * time.Hour},
	{field: "expires_in", value: `1e999`, life: 24 * time.Hour},
	{field: "expires_in", value: `""`, odd: true},
	{field: "expires_in", value: `0`, odd: true},
	{field: "expires_in", value: `"0"`, odd: true},
	{field: "expires_in", value: `0.5`, odd: true},
	{field: "expires_in", value: `1e-999`, odd: true},
	{field: "expires_in", value: `-1`, odd: true},
	{field: "expires_in", value: `"-3600"`, odd: true},
	{field: "expires_in", value: `-1e999`, odd: true},
	{field: "expires_in", value: `"soon"`, odd: true},
	{field: "expires_in", value: `"Inf"`, odd: true},
	{field: "expires_in", value: `"NaN"`, odd: true},
	{field: "expires_in", value: `"0x10"`, odd: true},
	{field: "expires_in", value: `"3599s"`, odd: true},
	{field: "expires_in", value: `"3,599"`, odd: true},
	{field: "expires_in", value: `"1e"`, odd: true},
	{field: "expires_in", value: `"2026-11-30T12:00:00Z"`, odd: true},
	{field: "expires_in", value: `true`, odd: true},
	{field: "expires_in", value: `[]`, odd: true},
	{field: "expires_in", value: `[600]`, odd: true},
	{field: "expires_in", value: `{"seconds":600}`, odd: true},
	// What is no JSON.
	{field: "expires_in", value: `0600`, life: 10 * time.Minute},
	{field: "expires_in", value: `+600`, life: 10 * time.Minute},
	{field: "expires_in", value: `NaN`, odd: true},
	{field: "expires_in", value: `Infinity`, odd: true},
	{field: "expires_in", value: `-Infinity`, odd: true},
	{field: "expires_in", value: `undefined`, odd: true},
	{field: "expires_in", value: `[NaN,{"a":Infinity}]`, odd: true},
	{field: "ext_expires_in", value: `NaN`},
	{field: "error", value: `None`, odd: true},
	{field: "scope", value: `undefined`, odd: true},
	{field: "refresh_token", value: `None`, odd: true, refresh: "-"},
	{field: "error_description", value: "\"a\tb: NaN, \\\"Infinity\\\"\""},
	{field: "token_type", value: ``},
	{field: "token_type", value: `null`},
	{field: "token_type", value: `""`},
	{field: "token_type", value: `"bearer"`},
	{field: "token_type", value: `" BEARER "`},
	{field: "token_type", value: `"BearerToken"`},
	{field: "token_type", value: `true`, odd: true},
	{field: "token_type", value: `["Bearer"]`, odd: true},
	{field: "token_type", value: `{}`, odd: true},
	{field: "refresh_token", value: `""`, refresh: "-"},
	{field: "refresh_token", value: `null`, refresh: "-"},
	{field: "refresh_token", value: `12345678901234567890`, refresh: "12345678901234567890"},
	{field: "refresh_token", value: `false`, odd: true, refresh: "-"},
	{field: "refresh_token", value: `[]`, odd: true, refresh: "-"},
	{field: "refresh_token", value: `{"value":"R3"}`, odd: true, refresh: "-"},
	{field: "scope", value: `""`},
	{field: "scope", value: `null`},
	{field: "scope", value: `["a","b"]`},
	{field: "scope", value: `7`},
	{field: "scope", value: `{}`, odd: true},
	{field: "scope", value: `[1]`, odd: true},
	{field: "error", value: `null`},
	{field: "error", value: `""`},
	{field: "error", value: `0`, odd: true},
	{field: "error", value: `false`, odd: true},
	{field: "error", value: `{}`, odd: true},
	{field: "error", value: `[]`, odd: true},
	{field: "error_description", value: `""`},
	{field: "error_description", value: `{}`, odd: true},
	// What is not read.
	{field: "error_uri", value: `{}`},
	{field: "error_codes", value: `"x"`},
	{field: "id_token", value: `"no.token"`},
	{field: "id_token", value: `{}`},
	{field: "ext_expires_in", value: `"x"`},
	{field: "expires_on", value: `{}`},
	{field: "refresh_token_expires_in", value: `-1`},
	{field: "refresh_token_expires_in", value: `"soon"`},
	{field: "refresh_token_expires_in", value: `null`},
	{field: "refresh_token_expires_in", value: `604799`, refreshLife: 604799 * time.Second},
	{field: "refresh_token_expires_in", value: `"604799.5"`, refreshLife: 604799 * time.Second},
	{field: "refresh_token_expires_in", value: `1e30`, refreshLife: longestRefresh},
	{field: "refresh_expires_in", value: `1800`, refreshLife: 30 * time.Minute},
	{field: "refresh_expires_in", value: `0`}, // Keycloak's offline tokens
	{field: "not_before", value: `[]`},
	{field: "correlation_id", value: `7`},
	{field: "expires", value: `-1`},
	{field: "state", value: `{}`},
	{field: "session_state", value: `[]`},
}

// body is an answer with the field beside the tokens.
func (s secondary) body() string {
	given := []string{`"access_token":"A1"`}
	if s.field != "refresh_token" {
		given = append(given, `"refresh_token":"R2"`)
	}
	if s.value != "" {
		given = append(given, fmt.Sprintf("%q:%s", s.field, s.value))
	}
	return "{" + strings.Join(given, ",") + "}"
}

// TestSecondaryFields has every secondary field of an answer with values that it may and
// may not have, in every flow: the access token and the refresh token come through.
func TestSecondaryFields(t *testing.T) {
	private, _ := tokentest.PEMKey(t, tokentest.RSAKey(t))
	ts, f := tokentest.NewServer(t), testFlows(t)
	printed := t.TempDir() + "/printed"
	flows := map[string]*account.Account{
		"refresh_token":      tokentest.Account(ts.URL),
		"client_credentials": {Flow: account.FlowClientCredentials, ClientID: "c", ClientSecret: account.NewSecret("s")},
		"service_account":    {Flow: account.FlowServiceAccount, ClientID: tokentest.SvcEmail, PrivateKey: private},
		"external":           {Flow: account.FlowExternal},
		"command":            {Flow: account.FlowExternal, TokenCommand: []string{"/bin/cat", printed}},
	}
	for flow, base := range flows {
		a := tokentest.AccountLike(base, func(a *account.Account) { a.ID, a.Email, a.TokenURL = "acct", tokentest.GmailUser, ts.URL })
		for _, s := range secondaries {
			body := s.body()
			if flow == "command" {
				if err := os.WriteFile(printed, []byte(body), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
			got, err := fetch(t, f, a, time.Minute)
			if err != nil || got.Access != "A1" {
				t.Errorf("%s: %s: token %q, %v", flow, body, got.Access, err)
				continue
			}
			life := s.life
			if life == 0 {
				life = time.Hour
			}
			if left := time.Until(got.Expiry); left > life || left < life-5*time.Minute {
				t.Errorf("%s: %s: the token is good for %v, want %v", flow, body, left, life)
			}
			if s.refreshLife > 0 && flow == "refresh_token" {
				if left := time.Until(got.RefreshEnds); left > s.refreshLife || left < s.refreshLife-5*time.Minute {
					t.Errorf("%s: the refresh token is good for %v, want %v", body, left, s.refreshLife)
				}
			} else if s.refreshLife == 0 && !got.RefreshEnds.IsZero() {
				t.Errorf("%s: %s: the refresh token ends at %v", flow, body, got.RefreshEnds)
			}
			if odd := slices.Contains(got.Odd, s.field); odd != s.odd || len(got.Odd) > 1 {
				t.Errorf("%s: %s: odd are %q", flow, body, got.Odd)
			}
			if flow != "refresh_token" {
				continue
			}
			want := map[string]string{"": "R2", "-": a.RefreshToken.Reveal()}[s.refresh] // x/oauth2 repeats the one that was sent
			if want == "" {
				want = s.refresh
			}
			if got.Refresh.Reveal() != want {
				t.Errorf("%s: refresh token %q, want %q", body, got.Refresh.Reveal(), want)
			}
		}
	}
}

// A token of another type is not used, and the refresh token beside it is kept.
func TestTokenOfAnotherType(t *testing.T) {
	ts := tokentest.NewServer(t)
	for _, kind := range []string{"mac", "pop", "DPoP", "N_A"} {
		ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) {
			tokentest.GiveToken(w, map[string]any{"access_token": "A1", "token_type": kind, "refresh_token": "R2"})
		})
		got, err := fetch(t, testFlows(t), tokentest.Account(ts.URL), time.Minute)
		if err == nil || got.Access != "" || got.Refresh.Reveal() != "R2" || !strings.Contains(err.Error(), "not of the type Bearer") {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
	}
}

func FuzzPlainFields(f *testing.F) {
	for _, s := range secondaries {
		f.Add([]byte(s.body()))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		plain, odd := plainFields(body)
		if !isObject(body) || !json.Valid(body) {
			return
		}
		var r struct {
			externalReply
			RefreshToken string `json:"refresh_token"`
			Interval     int64  `json:"interval"`
		}
		if err := json.Unmarshal(plain, &r); err != nil {
			t.Fatalf("%s cannot be read, odd are %q: %v", plain, odd, err)
		}
		if r.ExpiresIn < 0 || r.ExpiresIn > 24*3600 || r.Interval < 0 || r.Interval > 300 {
			t.Errorf("%s: out of bounds", plain)
		}
	})
}
