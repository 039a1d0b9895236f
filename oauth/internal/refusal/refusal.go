// Package refusal says what a provider's refusal of a login means.
package refusal

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/flow"
)

// refusalRule gives the class and hint of a refusal at login. Empty fields match
// anything.
type refusalRule struct {
	provider, enhanced, text string // text in lower case
	code                     int
	class                    flow.Class
	hint                     hint.ID
}

// refusalRules are tried in order.
var refusalRules = []refusalRule{
	{enhanced: "5.7.139", text: "disabled for the tenant", class: flow.ClassLoginRefused, hint: hint.SMTPAuthDisabledTenant},
	{enhanced: "5.7.139", text: "disabled for the mailbox", class: flow.ClassLoginRefused, hint: hint.SMTPAuthDisabledMailbox},
	{enhanced: "5.7.139", text: "smtpclientauthentication is disabled", class: flow.ClassLoginRefused, hint: hint.SMTPAuthDisabledTenant},
	{enhanced: "5.7.139", text: "security defaults", class: flow.ClassLoginRefused, hint: hint.SecurityDefaults},
	{enhanced: "5.7.139", text: "locked", class: flow.ClassLoginRefused, hint: hint.MailboxLocked},
	{enhanced: "5.7.139", text: "criteria", class: flow.ClassLoginRefused, hint: hint.LoginPolicy},
	{enhanced: "5.7.139", class: flow.ClassLoginRefused, hint: hint.PasswordLogin},
	{enhanced: "5.7.30", class: flow.ClassLoginRefused, hint: hint.PasswordLogin},
	{enhanced: "5.7.3", class: flow.ClassTokenRefused, hint: hint.TokenNotForMailbox},
	{code: 501, enhanced: "5.5.124", class: flow.ClassTokenRefused, hint: hint.TokenNearExpiry},
	{code: 501, enhanced: "5.5.127", class: flow.ClassTokenRefused, hint: hint.TokenNearExpiry},
	{enhanced: "5.7.9", class: flow.ClassInteractionRequired, hint: hint.BrowserLogin},
	{enhanced: "5.7.14", class: flow.ClassInteractionRequired, hint: hint.BrowserLogin},
	{code: 534, class: flow.ClassInteractionRequired, hint: hint.BrowserLogin},
	{code: 432, class: flow.ClassThrottled, hint: hint.TooManyLogins},
	{code: 454, text: "too many", class: flow.ClassThrottled, hint: hint.TooManyLogins},
	{code: 421, text: "too many", class: flow.ClassThrottled, hint: hint.TooManyLogins},
	{provider: "gmail", code: 535, class: flow.ClassTokenRefused, hint: hint.TokenNotGoogles},
	{provider: "outlook", code: 535, class: flow.ClassTokenRefused, hint: hint.TokenNotForMailbox},
	{code: 535, class: flow.ClassTokenRefused, hint: hint.TokenNotForSMTP},
}

// Explain says what a refusal of AUTH means; see oauth.ExplainAuthRefusal.
func Explain(provider string, code int, enhanced, text, challenge string) (flow.Class, hint.ID) {
	if strings.HasPrefix(provider, "outlook") { // the national clouds answer alike
		provider = "outlook"
	}
	lower := strings.ToLower(text)
	if enhanced == "" {
		enhanced = leadingCode(text)
	}
	for _, r := range refusalRules {
		if (r.provider == "" || r.provider == provider) && (r.enhanced == "" || r.enhanced == enhanced) &&
			(r.code == 0 || r.code == code) && strings.Contains(lower, r.text) {
			if r.class == flow.ClassTokenRefused {
				return r.class, challengeHint(challenge).Or(r.hint)
			}
			return r.class, r.hint
		}
	}
	if h := challengeHint(challenge); h != hint.None && code >= 500 {
		return flow.ClassTokenRefused, h // whatever the code of the reply
	}
	if code >= 500 {
		return flow.ClassLoginRefused, hint.TokenNotForSMTP
	}
	return flow.ClassUnavailable, hint.LoginFailing
}

// leadingCode returns the enhanced status code (RFC 3463) that a text begins
// with, "" if none.
func leadingCode(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if strings.Count(word, ".") != 2 || strings.Trim(word, "0123456789.") != "" {
		return ""
	}
	return word
}

// challengeHint decodes the error of a 334 challenge. Google's status is 400 for a
// token that Google did not issue, and 401 for a token that has ended.
func challengeHint(challenge string) hint.ID {
	challenge = strings.TrimSpace(challenge)
	if raw, err := base64.StdEncoding.DecodeString(challenge); err == nil {
		challenge = string(raw)
	}
	var c struct {
		Status string `json:"status"`
		Scope  string `json:"scope"`
	}
	if json.Unmarshal([]byte(challenge), &c) != nil {
		return hint.None
	}
	switch c.Status {
	case "insufficient_scope", "403":
		if strings.Contains(c.Scope, "google") {
			return hint.TokenLacksGoogleScope
		}
		return hint.TokenLacksScope
	case "401":
		return hint.TokenExpired
	case "400", "invalid_token", "invalid_request":
		if strings.Contains(c.Scope, "google") {
			return hint.TokenOfOtherUser
		}
	}
	return hint.None
}
