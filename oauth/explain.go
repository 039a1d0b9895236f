package oauth

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"xoauth2-proxy/internal/hint"
)

// refusalRule gives the class and hint of a refusal at login. Empty fields match
// anything.
type refusalRule struct {
	provider, enhanced, text string // text in lower case
	code                     int
	class                    Class
	hint                     hint.ID
}

// refusalRules are tried in order.
var refusalRules = []refusalRule{
	{enhanced: "5.7.139", text: "disabled for the tenant", class: ClassLoginRefused, hint: hint.SMTPAuthDisabledTenant},
	{enhanced: "5.7.139", text: "disabled for the mailbox", class: ClassLoginRefused, hint: hint.SMTPAuthDisabledMailbox},
	{enhanced: "5.7.139", text: "smtpclientauthentication is disabled", class: ClassLoginRefused, hint: hint.SMTPAuthDisabledTenant},
	{enhanced: "5.7.139", text: "security defaults", class: ClassLoginRefused, hint: hint.SecurityDefaults},
	{enhanced: "5.7.139", text: "locked", class: ClassLoginRefused, hint: hint.MailboxLocked},
	{enhanced: "5.7.139", text: "criteria", class: ClassLoginRefused, hint: hint.LoginPolicy},
	{enhanced: "5.7.139", class: ClassLoginRefused, hint: hint.PasswordLogin},
	{enhanced: "5.7.30", class: ClassLoginRefused, hint: hint.PasswordLogin},
	{enhanced: "5.7.3", class: ClassTokenRefused, hint: hint.TokenNotForMailbox},
	{code: 501, enhanced: "5.5.124", class: ClassTokenRefused, hint: hint.TokenNearExpiry},
	{code: 501, enhanced: "5.5.127", class: ClassTokenRefused, hint: hint.TokenNearExpiry},
	{enhanced: "5.7.9", class: ClassInteractionRequired, hint: hint.BrowserLogin},
	{enhanced: "5.7.14", class: ClassInteractionRequired, hint: hint.BrowserLogin},
	{code: 534, class: ClassInteractionRequired, hint: hint.BrowserLogin},
	{code: 432, class: ClassThrottled, hint: hint.TooManyLogins},
	{code: 454, text: "too many", class: ClassThrottled, hint: hint.TooManyLogins},
	{code: 421, text: "too many", class: ClassThrottled, hint: hint.TooManyLogins},
	{provider: "gmail", code: 535, class: ClassTokenRefused, hint: hint.TokenNotGoogles},
	{provider: "outlook", code: 535, class: ClassTokenRefused, hint: hint.TokenNotForMailbox},
	{code: 535, class: ClassTokenRefused, hint: hint.TokenNotForSMTP},
}

// ExplainAuthRefusal says what a refusal of AUTH means and what the operator
// should do.
//
//   - provider is the account's; names that begin with "outlook" are Microsoft's.
//   - code, enhanced ("5.7.139", may be empty) and text are the reply.
//   - challenge is the error that XOAUTH2 or OAUTHBEARER (RFC 7628 section 3.2.2)
//     gave before the reply in a 334, as JSON or base64 of JSON; it may be empty.
//
// ClassTokenRefused means that another access token may help; ClassLoginRefused
// and ClassInteractionRequired, that no token helps before a person acts;
// ClassThrottled and ClassUnavailable, that the failure passes.
func ExplainAuthRefusal(provider string, code int, enhanced, text, challenge string) (Class, hint.ID) {
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
			if r.class == ClassTokenRefused {
				return r.class, challengeHint(challenge).Or(r.hint)
			}
			return r.class, r.hint
		}
	}
	if h := challengeHint(challenge); h != hint.None && code >= 500 {
		return ClassTokenRefused, h // whatever the code of the reply
	}
	if code >= 500 {
		return ClassLoginRefused, hint.TokenNotForSMTP
	}
	return ClassUnavailable, hint.LoginFailing
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
