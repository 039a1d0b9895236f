package flow

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// TestErrorCodes has every value of "error" that Google, Microsoft and the RFCs have,
// and unknown ones: their class, the reply to AUTH and the hint for the operator.
func TestErrorCodes(t *testing.T) {
	tests := []struct {
		status int
		code   string
		class  Class
		auth   int    // the code of the reply to AUTH: server's tokenReply goes by Permanent
		hint   string // part of it; "": none
	}{
		{400, "invalid_grant", ClassInvalidGrant, 535, "authorize the account again"},
		{400, "invalid_request", ClassMisconfigured, 535, "token URL, tenant"},
		{401, "invalid_client", ClassInvalidClient, 535, "client_secret"},
		{400, "invalid_scope", ClassMisconfigured, 535, "scope"},
		{401, "unauthorized_client", ClassMisconfigured, 535, "client_id"},
		{400, "unsupported_grant_type", ClassMisconfigured, 535, "token URL"},
		{403, "access_denied", ClassInteractionRequired, 535, "sign in"},
		{400, "server_error", ClassUnavailable, 454, ""},
		{400, "temporarily_unavailable", ClassUnavailable, 454, ""},
		{400, "expired_token", ClassInteractionRequired, 535, "sign in"},
		{400, "authorization_pending", ClassUnavailable, 454, ""},
		{400, "slow_down", ClassThrottled, 454, ""},
		{400, "invalid_target", ClassMisconfigured, 535, "scope"},
		// Google
		{401, "deleted_client", ClassInvalidClient, 535, "was deleted"},
		{401, "disabled_client", ClassInvalidClient, 535, "disabled"},
		{403, "disabled_client", ClassInvalidClient, 535, "disabled"},
		{403, "org_internal", ClassInteractionRequired, 535, "own organization"},
		{400, "admin_policy_enforced", ClassInteractionRequired, 535, "administrator"},
		{400, "redirect_uri_mismatch", ClassMisconfigured, 535, "client_id"},
		{400, "internal_failure", ClassUnavailable, 454, ""},
		{403, "rate_limit_exceeded", ClassThrottled, 454, ""},
		// Microsoft
		{400, "interaction_required", ClassInteractionRequired, 535, "sign in"},
		{400, "login_required", ClassInteractionRequired, 535, "sign in"},
		{400, "account_selection_required", ClassInteractionRequired, 535, "sign in"},
		{400, "consent_required", ClassInteractionRequired, 535, "sign in"},
		{400, "invalid_resource", ClassMisconfigured, 535, "scope"},
		{400, "authorization_declined", ClassInteractionRequired, 535, "sign in"},
		// An unknown "error" is a refusal with 400, 401 and 403 only.
		{400, "brand_new_reason", ClassMisconfigured, 535, "its text in the log"},
		{401, "brand_new_reason", ClassMisconfigured, 535, "its text in the log"},
		{403, "brand-new.reason 2", ClassMisconfigured, 535, "its text in the log"},
		{200, "brand_new_reason", ClassUnavailable, 454, ""},
		{418, "brand_new_reason", ClassUnavailable, 454, ""},
		{400, "not \"of\" the RFC", ClassUnavailable, 454, ""},
		{400, "caf\u00e9", ClassUnavailable, 454, ""},
		{400, "", ClassUnavailable, 454, ""},
		{403, "", ClassUnavailable, 454, ""},
		{404, "", ClassNoEndpoint, 454, "token URL"},
		{405, "", ClassNoEndpoint, 454, "token URL"},
		{404, "brand_new_reason", ClassNoEndpoint, 454, "token URL"},
		{404, "invalid_client", ClassInvalidClient, 535, "client_secret"},
		{500, "deleted_client", ClassUnavailable, 454, ""},
		{429, "brand_new_reason", ClassThrottled, 454, ""},
		{503, "", ClassUnavailable, 454, ""},
	}
	seen := make(map[string]bool)
	ts, f := tokentest.NewServer(t), testFlows(t)
	for _, tt := range tests {
		seen[tt.code] = true
		t.Run(fmt.Sprintf("%d %s", tt.status, tt.code), func(t *testing.T) {
			ts.SetAnswer(tokentest.GiveError(tt.status, tt.code, ""))
			_, err := fetch(t, f, tokentest.Account(ts.URL), time.Minute)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Class != tt.class || e.Permanent() != (tt.auth == 535) {
				t.Fatalf("%v, want class %v", err, tt.class)
			}
			if !strings.Contains(e.Hint.Remedy(), tt.hint) || tt.hint == "" && e.Hint != hint.None {
				t.Errorf("hint %q, want %q in it", e.Hint, tt.hint)
			}
			if p := e.Public(); len(p) >= maxPublic || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("Public() = %q", p)
			}
		})
	}
	for code := range errorClasses {
		if !seen[code] {
			t.Errorf("%q is known and not looked at", code)
		}
	}
}
