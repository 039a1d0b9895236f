package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
)

// What is done about a refusal.
const (
	retrySoon   = "soon"   // by the account's back-off, at most every BackoffMax
	retryClient = "client" // the circuit of the client: one account at long intervals
	retryNever  = "never"  // not before an operator acts
)

// TestErrorCodes has every value of "error" that Google, Microsoft and the RFCs
// have, and ones that nobody knows: what class it is, when it is asked again, what
// AUTH answers, and what the operator reads.
func TestErrorCodes(t *testing.T) {
	tests := []struct {
		status int
		code   string
		class  Class
		retry  string
		auth   int    // the code of the reply to AUTH: server's tokenReply goes by Permanent
		hint   string // part of it; "": none
	}{
		{400, "invalid_grant", ClassInvalidGrant, retryNever, 535, "authorize the account again"},
		{400, "invalid_request", ClassMisconfigured, retryNever, 535, "token URL, tenant"},
		{401, "invalid_client", ClassInvalidClient, retryClient, 535, "client_secret"},
		{400, "invalid_scope", ClassMisconfigured, retryNever, 535, "scope"},
		{401, "unauthorized_client", ClassMisconfigured, retryNever, 535, "client_id"},
		{400, "unsupported_grant_type", ClassMisconfigured, retryNever, 535, "token URL"},
		{403, "access_denied", ClassInteractionRequired, retryNever, 535, "sign in"},
		{400, "server_error", ClassUnavailable, retrySoon, 454, ""},
		{400, "temporarily_unavailable", ClassUnavailable, retrySoon, 454, ""},
		{400, "expired_token", ClassInteractionRequired, retryNever, 535, "sign in"},
		{400, "authorization_pending", ClassUnavailable, retrySoon, 454, ""},
		{400, "slow_down", ClassThrottled, retrySoon, 454, ""},
		{400, "invalid_target", ClassMisconfigured, retryNever, 535, "scope"},
		// Google
		{401, "deleted_client", ClassInvalidClient, retryClient, 535, "was deleted"},
		{401, "disabled_client", ClassInvalidClient, retryClient, 535, "disabled"},
		{403, "disabled_client", ClassInvalidClient, retryClient, 535, "disabled"},
		{403, "org_internal", ClassInteractionRequired, retryNever, 535, "own organization"},
		{400, "admin_policy_enforced", ClassInteractionRequired, retryNever, 535, "administrator"},
		{400, "redirect_uri_mismatch", ClassMisconfigured, retryNever, 535, "client_id"},
		{400, "internal_failure", ClassUnavailable, retrySoon, 454, ""},
		{403, "rate_limit_exceeded", ClassThrottled, retrySoon, 454, ""},
		// Microsoft
		{400, "interaction_required", ClassInteractionRequired, retryNever, 535, "sign in"},
		{400, "login_required", ClassInteractionRequired, retryNever, 535, "sign in"},
		{400, "account_selection_required", ClassInteractionRequired, retryNever, 535, "sign in"},
		{400, "consent_required", ClassInteractionRequired, retryNever, 535, "sign in"},
		{400, "invalid_resource", ClassMisconfigured, retryNever, 535, "scope"},
		{400, "authorization_declined", ClassInteractionRequired, retryNever, 535, "sign in"},
		// An OAuth error that is not known is an answer with 400, 401, 403 only.
		{400, "brand_new_reason", ClassMisconfigured, retryNever, 535, "its text in the log"},
		{401, "brand_new_reason", ClassMisconfigured, retryNever, 535, "its text in the log"},
		{403, "brand-new.reason 2", ClassMisconfigured, retryNever, 535, "its text in the log"},
		{200, "brand_new_reason", ClassUnavailable, retrySoon, 454, ""},
		{418, "brand_new_reason", ClassUnavailable, retrySoon, 454, ""},
		{400, "not \"of\" the RFC", ClassUnavailable, retrySoon, 454, ""},
		{400, "caf\u00e9", ClassUnavailable, retrySoon, 454, ""},
		{400, "", ClassUnavailable, retrySoon, 454, ""},
		{403, "", ClassUnavailable, retrySoon, 454, ""},
		{404, "", ClassNoEndpoint, retryClient, 454, "token URL"},
		{405, "", ClassNoEndpoint, retryClient, 454, "token URL"},
		{404, "brand_new_reason", ClassNoEndpoint, retryClient, 454, "token URL"},
		{404, "invalid_client", ClassInvalidClient, retryClient, 535, "client_secret"},
		{500, "deleted_client", ClassUnavailable, retrySoon, 454, ""},
		{429, "brand_new_reason", ClassThrottled, retrySoon, 454, ""},
		{503, "", ClassUnavailable, retrySoon, 454, ""},
	}
	seen := make(map[string]bool)
	ts := newTokenServer(t)
	for i, tt := range tests {
		seen[tt.code] = true
		t.Run(fmt.Sprintf("%d %s", tt.status, tt.code), func(t *testing.T) {
			ts.setAnswer(giveError(tt.status, tt.code, ""))
			m := testManager(t, testConfig())
			a := accountLike(testAccount(ts.URL), func(a *account.Account) { a.ClientID = fmt.Sprint("client-", i) })
			_, err := m.Source(a).Get(t.Context())
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Class != tt.class || e.Permanent() != (tt.auth == 535) {
				t.Fatalf("%v, want class %v", err, tt.class)
			}
			if !strings.Contains(e.Hint, tt.hint) || tt.hint == "" && e.Hint != "" {
				t.Errorf("hint %q, want %q in it", e.Hint, tt.hint)
			}
			if p := e.Public(); len(p) >= maxPublic || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("Public() = %q", p)
			}
			other := accountLike(a, func(a *account.Account) { a.ID, a.Email = "other", "other@example.com" })
			retry := retrySoon
			if refusal := m.clients.refusal(clientKey(other), time.Now().Add(noEndpointMin-time.Second)); refusal != nil && refusal.Class == tt.class {
				retry = retryClient
			} else if e.Permanent() {
				retry = retryNever
			}
			if tt.status != http.StatusTooManyRequests && retry != tt.retry {
				t.Errorf("asked again: %s, want %s", retry, tt.retry)
			}
		})
	}
	for code := range errorClasses {
		if !seen[code] {
			t.Errorf("%q is known and not looked at", code)
		}
	}
}

// TestClientGone has ten accounts of one client that Google has deleted, and ones
// whose token URL is wrong: one request, one alert, the same answer for all.
func TestClientGone(t *testing.T) {
	tests := []struct {
		status int
		code   string
		want   error
		alert  string
	}{
		{401, "deleted_client", ErrInvalidClient, "OAuth2 client refused"},
		{401, "disabled_client", ErrInvalidClient, "OAuth2 client refused"},
		{404, "", ErrNoEndpoint, "token URL is no token endpoint"},
		{405, "", ErrNoEndpoint, "token URL is no token endpoint"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %s", tt.status, tt.code), func(t *testing.T) {
			ts := newTokenServer(t)
			ts.setAnswer(giveError(tt.status, tt.code, ""))
			core, logs := observer.New(zap.ErrorLevel)
			m := New(testConfig(), zap.New(core), nil)
			t.Cleanup(m.Close)
			var accounts []*account.Account
			for i := range 11 {
				accounts = append(accounts, accountLike(testAccount(ts.URL), func(a *account.Account) {
					a.ID, a.Email = fmt.Sprint("acct", i), fmt.Sprintf("u%d@example.com", i)
				}))
			}
			m.Retain(snapshot(t, accounts...))
			for i, a := range accounts[:10] {
				if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("account %d: %v", i, err)
				}
				if st, _ := m.State(a.ID); st.LastError == nil || st.LastError.Hint == "" {
					t.Errorf("account %d: its state has no hint: %v", i, st.LastError)
				}
			}
			if n := len(ts.requests()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			if n := logs.FilterMessageSnippet(tt.alert).Len(); n != 1 || logs.Len() != 1 {
				t.Errorf("%d alerts in %d error lines, want one", n, logs.Len())
			}
			// The operator corrects it.
			ts.setAnswer(nil)
			m.Release("acct1")
			if _, err := m.Source(accounts[10]).Get(t.Context()); err != nil {
				t.Errorf("after its release: %v", err)
			}
		})
	}
}
