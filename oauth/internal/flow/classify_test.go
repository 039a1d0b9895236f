package flow

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/tokentest"
)

func TestClassify(t *testing.T) {
	const sts = "AADSTS%: Something. Trace ID: 8f7b3a52-0f2a-4d5e-9f44-5b2f7a3d1c00 Timestamp: 2026-01-27 10:00:00Z"
	ms := func(number string) string { return strings.Replace(sts, "%", number, 1) }
	tests := []struct {
		name              string
		status            int
		code, description string
		want              error
		permanent         bool
		hint              string // part of it
	}{
		{"Google, revoked", 400, "invalid_grant", "Token has been expired or revoked.", ErrInvalidGrant, true, "authorize the account again"},
		{"Microsoft, 90 days", 400, "invalid_grant", ms("700082"), ErrInvalidGrant, true, "not used for too long"},
		{"password changed", 400, "invalid_grant", ms("50173"), ErrInvalidGrant, true, "password was changed"},
		{"MFA, as a grant", 400, "invalid_grant", ms("50076"), ErrInvalidGrant, true, "multi-factor"},
		{"interaction", 400, "interaction_required", ms("50079"), ErrInteractionRequired, true, "enrol"},
		{"interaction without number", 400, "interaction_required", "", ErrInteractionRequired, true, "sign in"},
		{"consent", 400, "consent_required", ms("65001"), ErrInteractionRequired, true, "consent"},
		{"wrong secret", 401, "invalid_client", ms("7000215"), ErrInvalidClient, true, "the secret's value"},
		{"expired secret", 401, "invalid_client", ms("7000222"), ErrInvalidClient, true, "client_secret has expired"},
		{"Google, wrong client", 401, "invalid_client", "The OAuth client was not found.", ErrInvalidClient, true, "every account of this client"},
		{"unauthorized_client", 400, "unauthorized_client", ms("700016"), ErrMisconfigured, true, "client_id"},
		{"unsupported_grant_type", 400, "unsupported_grant_type", "", ErrMisconfigured, true, "token URL"},
		{"invalid_scope", 400, "invalid_scope", "", ErrMisconfigured, true, "scope"},
		{"invalid_resource", 400, "invalid_resource", "", ErrMisconfigured, true, "scope"},
		{"invalid_request, tenant", 400, "invalid_request", ms("90002"), ErrMisconfigured, true, "tenant does not exist"},
		{"invalid_request, scope", 400, "invalid_request", ms("900144"), ErrMisconfigured, true, "scope"},
		{"error in a 200", 200, "invalid_grant", "", ErrInvalidGrant, true, "authorize"},
		{"number without error", 400, "", ms("50057"), ErrInteractionRequired, true, "disabled"},
		{"temporarily_unavailable", 400, "temporarily_unavailable", "", ErrUnavailable, false, ""},
		{"server_error", 400, "server_error", "", ErrUnavailable, false, ""},
		{"retryable number", 400, "invalid_grant", ms("70012"), ErrUnavailable, false, ""},
		{"retryable number 50033", 400, "invalid_request", ms("50033"), ErrUnavailable, false, ""},
		{"500 whatever it says", 500, "invalid_grant", "", ErrUnavailable, false, ""},
		{"502 without a body", 502, "", "", ErrUnavailable, false, ""},
		{"429", 429, "invalid_request", "", ErrThrottled, false, ""},
		{"token loop", 400, "invalid_grant", ms("50196"), ErrThrottled, false, "loop"},
		{"slow_down", 400, "slow_down", "", ErrThrottled, false, ""},
		{"unknown 4xx", 418, "", "", ErrUnavailable, false, ""},
		{"redirect", 302, "", "", ErrUnavailable, false, "redirect"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := classify(&oauth2.RetrieveError{
				Response:  &http.Response{StatusCode: tt.status, Header: http.Header{"Retry-After": {"120"}}},
				ErrorCode: tt.code, ErrorDescription: tt.description,
			}, nil, time.Now())
			if !errors.Is(e, tt.want) || e.Permanent() != tt.permanent {
				t.Errorf("%v (permanent %v), want %v (%v)", e, e.Permanent(), tt.want, tt.permanent)
			}
			if !strings.Contains(e.Hint.Remedy(), tt.hint) || tt.hint == "" && e.Hint != hint.None {
				t.Errorf("hint %q, want %q in it", e.Hint, tt.hint)
			}
			if e.RetryAfter != 2*time.Minute || e.Status != tt.status || e.Code != tt.code {
				t.Errorf("got %+v", e)
			}
			if p := e.Public(); p == "" || len(p) > maxPublic || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("Public() = %q is no reply text", p)
			}
		})
	}
}

// TestAADSTS has every number that means something to us, with the "error" that
// Microsoft sends with it, or none: the class follows "error", a passing failure
// is passing whatever "error" says, and each refusal says what to do.
func TestAADSTS(t *testing.T) {
	tests := []struct {
		number, code string
		coded, alone error // with code, and without one
		dead         bool  // with code
		hint         string
	}{
		{"70000", "invalid_grant", ErrInvalidGrant, ErrInvalidGrant, true, "authorize the account again"},
		{"70008", "invalid_grant", ErrInvalidGrant, ErrInvalidGrant, true, "expired"},
		{"700082", "invalid_grant", ErrInvalidGrant, ErrInvalidGrant, true, "not used for too long"},
		{"50173", "invalid_grant", ErrInvalidGrant, ErrInvalidGrant, true, "password was changed"},
		{"50076", "invalid_grant", ErrInvalidGrant, ErrInteractionRequired, false, "multi-factor"},
		{"50079", "interaction_required", ErrInteractionRequired, ErrInteractionRequired, false, "enrol"},
		{"50057", "invalid_grant", ErrInvalidGrant, ErrInteractionRequired, false, "disabled"},
		{"50034", "invalid_grant", ErrInvalidGrant, ErrInteractionRequired, false, "does not exist in the tenant"},
		{"53003", "invalid_grant", ErrInvalidGrant, ErrInteractionRequired, false, "conditional access"},
		{"65001", "invalid_grant", ErrInvalidGrant, ErrInteractionRequired, false, "consented"},
		{"7000215", "invalid_client", ErrInvalidClient, ErrInvalidClient, false, "the secret's value"},
		{"7000222", "invalid_client", ErrInvalidClient, ErrInvalidClient, false, "has expired"},
		{"70002", "invalid_client", ErrInvalidClient, ErrInvalidClient, false, "check client_secret"},
		{"700016", "unauthorized_client", ErrMisconfigured, ErrInvalidClient, false, "check client_id"},
		{"7000218", "invalid_client", ErrInvalidClient, ErrInvalidClient, false, "send_client_secret to true"},
		{"700025", "invalid_client", ErrInvalidClient, ErrInvalidClient, false, "leave client_secret out"},
		{"90023", "unauthorized_client", ErrMisconfigured, ErrInvalidClient, false, "leave client_secret out"},
		{"700027", "invalid_client", ErrInvalidClient, ErrInvalidClient, false, "certificate"},
		{"7000229", "unauthorized_client", ErrMisconfigured, ErrInvalidClient, false, "administrator of the tenant consent"},
		{"700024", "invalid_client", ErrInvalidClient, ErrInvalidClient, false, "clock"},
		{"50194", "invalid_request", ErrMisconfigured, ErrMisconfigured, false, "set the account's tenant"},
		{"900023", "invalid_request", ErrMisconfigured, ErrMisconfigured, false, "set the account's tenant"},
		{"50059", "invalid_request", ErrMisconfigured, ErrMisconfigured, false, "set the account's tenant"},
		{"9002331", "invalid_request", ErrMisconfigured, ErrMisconfigured, false, "tenant consumers"},
		{invalidRAPT, "invalid_grant", ErrInvalidGrant, ErrInteractionRequired, false, "session control"},
		{"90002", "invalid_request", ErrMisconfigured, ErrMisconfigured, false, "tenant does not exist"},
		{"900144", "invalid_request", ErrMisconfigured, ErrMisconfigured, false, "the scope"},
		{"50033", "invalid_grant", ErrUnavailable, ErrUnavailable, false, ""},
		{"50087", "invalid_grant", ErrUnavailable, ErrUnavailable, false, ""},
		{"90006", "invalid_request", ErrUnavailable, ErrUnavailable, false, ""},
		{"70012", "invalid_grant", ErrUnavailable, ErrUnavailable, false, ""},
		{"40010", "invalid_request", ErrUnavailable, ErrUnavailable, false, ""},
		{"50196", "invalid_grant", ErrThrottled, ErrThrottled, false, "loop"},
		{"99999999", "invalid_grant", ErrInvalidGrant, ErrUnavailable, false, ""},
	}
	if len(tests) != len(numbers)+1 {
		t.Errorf("%d numbers are known, %d are looked at", len(numbers), len(tests)-1)
	}
	for _, tt := range tests {
		shown, description := "AADSTS"+tt.number, "AADSTS"+tt.number+": Something. Trace ID: 8f7b3a52"
		if tt.number == invalidRAPT {
			shown, description = invalidRAPT, "reauth related error (invalid_rapt)"
		}
		answer := func(code string) *Error {
			return classify(&oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}, ErrorCode: code, ErrorDescription: description}, nil, time.Now())
		}
		e, alone := answer(tt.code), answer("")
		if !errors.Is(e, tt.coded) || !errors.Is(alone, tt.alone) {
			t.Errorf("%s: %v, want %v; without error: %v, want %v", tt.number, e, tt.coded, alone, tt.alone)
		}
		if e.RefreshTokenDead() != tt.dead {
			t.Errorf("%s: the refresh token is dead: %t, want %t", tt.number, e.RefreshTokenDead(), tt.dead)
		}
		if !strings.Contains(e.Hint.Remedy(), tt.hint) || e.ProviderCode != shown {
			t.Errorf("%s: hint %q, want %q in it; code %q", tt.number, e.Hint, tt.hint, e.ProviderCode)
		}
	}
	google := classify(&oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}, ErrorCode: "invalid_grant",
		ErrorDescription: "Token has been expired or revoked."}, nil, time.Now())
	if !google.RefreshTokenDead() {
		t.Error("what Google has revoked is not dead")
	}
}

func TestErrorTexts(t *testing.T) {
	e := &Error{
		Class: ClassInvalidGrant, Code: "invalid_grant", ProviderCode: "AADSTS700082", Status: 400,
		Description: "AADSTS700082: The refresh token has expired\r\n250 OK", Hint: hint.AccountChanged,
	}
	const (
		wantError  = `oauth: refresh token refused (HTTP 400, invalid_grant, AADSTS700082): "AADSTS700082: The refresh token has expired\r\n250 OK"`
		wantPublic = "refresh token refused (invalid_grant, AADSTS700082): log in again"
	)
	if got := e.Error(); got != wantError {
		t.Errorf("Error()\n got %s\nwant %s", got, wantError)
	}
	if got := e.Public(); got != wantPublic {
		t.Errorf("Public()\n got %s\nwant %s", got, wantPublic)
	}
	local := &Error{Class: ClassUnavailable, Err: context.DeadlineExceeded}
	if got := local.Error(); got != "oauth: token endpoint unavailable: context deadline exceeded" {
		t.Errorf("Error() = %s", got)
	}
	if !errors.Is(local, ErrUnavailable) || !errors.Is(local, context.DeadlineExceeded) || errors.Is(local, ErrInvalidGrant) {
		t.Error("errors.Is is wrong")
	}
	for c := range NumClasses {
		if classes[c].sentinel == nil || !errors.Is(&Error{Class: c}, classes[c].sentinel) || c.String() == "" {
			t.Errorf("class %d is not complete", c)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"30":                            30 * time.Second,
		"-30":                           0,
		"soon":                          0,
		"999999999":                     MaxRetryAfter,
		"99999999999999999999":          0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"Fri, 02 Jan 2026 03:03:05 GMT": 0,
		"Fri, 02 Jan 2027 03:03:05 GMT": MaxRetryAfter,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", in, got, want)
		}
	}
}

// TestNumberBeforeWord has each number beside each word, in each flow: the hint is by the
// number. A number that is not known does not take a flow's own hint away.
func TestNumberBeforeWord(t *testing.T) {
	for _, flow := range account.Flows {
		a := &account.Account{Flow: flow}
		refused := func(word, number string) *Error {
			_, e := new(Flows).outcome(new(exchange), Grant{Account: a}, nil, &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400},
				ErrorCode: word, ErrorDescription: "AADSTS" + number + ": Something."})
			return e
		}
		for word, class := range errorClasses {
			for number, known := range numbers {
				if number == invalidRAPT || known.hint == hint.None {
					continue
				}
				if e := refused(word, number); e.Permanent() && e.Hint != known.hint {
					t.Errorf("%s: %s with %s: hint %q", flow, word, number, e.Hint)
				}
			}
			e, plain := refused(word, "99999999"), refused(word, "")
			if class.Permanent() && (e.Hint == hint.None || e.Hint != plain.Hint) {
				t.Errorf("%s: %s with an unknown number: hint %q, without one %q", flow, word, e.Hint, plain.Hint)
			}
		}
	}
	ts := tokentest.NewServer(t)
	ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) {
		tokentest.GiveJSON(w, 400, map[string]any{"error": "invalid_grant", "error_description": "Bad Request", "error_subtype": "invalid_rapt"})
	})
	_, err := fetch(t, testFlows(t), tokentest.Account(ts.URL), time.Minute)
	if e, ok := errors.AsType[*Error](err); !ok || !strings.Contains(e.Hint.Remedy(), "session control") {
		t.Errorf("%v", err)
	}
}
