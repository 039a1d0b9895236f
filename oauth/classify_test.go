package oauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
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
		{"unknown error", 400, "slow_down", "", ErrUnavailable, false, ""},
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
			if !strings.Contains(e.Hint, tt.hint) || tt.hint == "" && e.Hint != "" {
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

func TestErrorTexts(t *testing.T) {
	e := &Error{
		Class: ClassInvalidGrant, Code: "invalid_grant", ProviderCode: "AADSTS700082", Status: 400,
		Description: "AADSTS700082: The refresh token has expired\r\n250 OK", Hint: "authorize the account again",
	}
	const (
		wantError  = `oauth: refresh token refused (HTTP 400, invalid_grant, AADSTS700082): "AADSTS700082: The refresh token has expired\r\n250 OK"`
		wantPublic = "refresh token refused (invalid_grant, AADSTS700082): authorize the account again"
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
	for c := range numClasses {
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
		"999999999":                     maxRetryAfter,
		"99999999999999999999":          0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute,
		"Fri, 02 Jan 2026 03:03:05 GMT": 0,
		"Fri, 02 Jan 2027 03:03:05 GMT": maxRetryAfter,
	} {
		if got := retryAfter(in, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", in, got, want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	tests := []struct {
		want string
		set  func(*Config)
	}{
		{"oauth.timeout: 0s is not positive", func(c *Config) { c.Timeout = 0 }},
		{"oauth.connect_timeout: -1s is not positive", func(c *Config) { c.ConnectTimeout = -time.Second }},
		{"oauth.idle_timeout: 0s is not positive", func(c *Config) { c.IdleTimeout = 0 }},
		{"oauth.queue_timeout: 0s is not positive", func(c *Config) { c.QueueTimeout = 0 }},
		{"oauth.backoff_min: 0s is not positive", func(c *Config) { c.BackoffMin = 0 }},
		{"oauth.backoff_max: 1ms is below backoff_min (1s)", func(c *Config) { c.BackoffMax = time.Millisecond }},
		{"oauth.early_refresh_window: -1s is negative", func(c *Config) { c.EarlyRefreshWindow = -time.Second }},
		{"oauth.max_parallel: 0 is not in 1..10000", func(c *Config) { c.MaxParallel = 0 }},
		{"oauth.max_parallel: 10001 is not in 1..10000", func(c *Config) { c.MaxParallel = 10001 }},
		{"oauth.connections_per_host: 0 is not in 1..10000", func(c *Config) { c.ConnectionsPerHost = 0 }},
		{"oauth.default_lifetime: 0s is not positive", func(c *Config) { c.DefaultLifetime = 0 }},
		{"oauth.ca_file: open /does/not/exist: no such file or directory", func(c *Config) { c.CAFile = "/does/not/exist" }},
		{"oauth.ca_file: config.go has no certificate in PEM form", func(c *Config) { c.CAFile = "config.go" }},
	}
	for _, tt := range tests {
		c := DefaultConfig()
		tt.set(&c)
		if err := c.Validate(); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
