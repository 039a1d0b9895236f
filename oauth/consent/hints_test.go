package consent

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// refusedBy has a provider refuse a consent, in each way to ask for one.
var refusedBy = map[string]func(t *testing.T, code, description string) error{
	"device": func(t *testing.T, code, description string) error {
		_, err := (&polled{answers: []http.HandlerFunc{tokentest.GiveError(400, code, description)}}).authorize(t)
		return err
	},
	"code": func(t *testing.T, code, description string) error {
		ts := tokentest.NewServer(t)
		ts.SetAnswer(tokentest.GiveError(400, code, description))
		z := New(oauth.DefaultConfig(), Config{Account: tokentest.Account(ts.URL), AuthURL: ts.URL + "/auth"})
		z.second = time.Millisecond
		t.Cleanup(z.Close)
		_, err := newRequest(t, z).Exchange(t.Context(), "the-code")
		return err
	},
	"browser": func(t *testing.T, code, description string) error {
		_, z := consentServer(t, tokentest.Wordings[0], "application/json", tokentest.TokenObject, tokentest.TokenForm)
		r := newRequest(t, z)
		q := "error=" + code + "&error_description=" + strings.ReplaceAll(description, " ", "+") + "&state=" + r.state
		_, err := r.Exchange(t.Context(), r.RedirectURL()+"?"+q)
		return err
	},
}

// TestConsentRefusals has the provider refuse with every number that means something
// while consent is given, with others, and without one: the hint is by the number, and
// the provider's own text is there.
func TestConsentRefusals(t *testing.T) {
	const used = "the code was used already"
	tests := []struct{ code, number, hint string }{
		{"invalid_grant", "", used},
		{"invalid_grant", "54005", used},
		{"invalid_grant", "70000", "not good for this client"},
		{"invalid_grant", "70008", "too old"},
		{"invalid_grant", "53003", "use a browser"},
		{"invalid_grant", "530036", "use a browser"},
		{"access_denied", "530036", "use a browser"},
		{"invalid_grant", "50076", "multi-factor"},
		{"invalid_grant", "50057", "disabled"},
		{"invalid_grant", "65001", "consent"},
		{"access_denied", "65004", "the person refused"},
		{"access_denied", "90094", "administrator"},
		{"invalid_grant", "501481", "not of this request"},
		{"invalid_client", "7000215", "secret's value"},
		{"invalid_client", "7000218", "send_client_secret"},
		{"unauthorized_client", "700016", "check client_id"},
		{"unauthorized_client", "7000229", "service principal"},
		{"invalid_request", "50011", "redirect address"},
		{"invalid_request", "50194", "tenant"},
		{"invalid_request", "9002331", "consumers"},
		{"invalid_grant", "99999999", "act on its text"},
		{"unauthorized_client", "99999999", "act on its text"},
		{"authorization_declined", "99999999", "the person refused"},
		{"expired_token", "99999999", "in time"},
		{"unauthorized_client", "", "public client flows"},
	}
	for way, refused := range refusedBy {
		for _, tt := range tests {
			description := "Something about it."
			if tt.number != "" {
				description = "AADSTS" + tt.number + ": " + description
			}
			err := refused(t, tt.code, description)
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || !strings.Contains(e.Hint.Remedy(), tt.hint) || tt.hint != used && strings.Contains(e.Hint.Remedy(), used) {
				t.Errorf("%s: %s %s: %v, want %q", way, tt.code, tt.number, err, tt.hint)
				continue
			}
			if e.Description != description || tt.number != "" && e.ProviderCode != "AADSTS"+tt.number {
				t.Errorf("%s: %s %s: the provider's text is %q, its number %q", way, tt.code, tt.number, e.Description, e.ProviderCode)
			}
		}
	}
	for number := range numberHints {
		if e := explain(&oauth.Error{Class: oauth.ClassInvalidGrant, Code: "invalid_grant", ProviderCode: number}); e.Hint != numberHints[number] {
			t.Errorf("%s: %v", number, e.Hint)
		}
	}
}
