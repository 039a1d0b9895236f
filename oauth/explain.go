package oauth

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"xoauth2-proxy/oauth/internal/flow"
)

const (
	hintMicrosoftScope = "the token is not for SMTP submission of this mailbox: consent to https://outlook.office.com/SMTP.Send " +
		"(app-only: the permission SMTP.SendAsApp, a service principal in Exchange and a mailbox permission for it), " +
		"and check that the user who consented is the mailbox that logs in"
	hintTenantSMTP = "SMTP AUTH is disabled for the tenant: Set-TransportConfig -SmtpClientAuthenticationDisabled $false, " +
		"or enable it for the mailbox: Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false"
	hintMailboxSMTP = "SMTP AUTH is disabled for the mailbox: Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false"
	hintDefaults    = "security defaults of the tenant block SMTP AUTH: turn them off, or allow the sign-in by conditional access"
	hintLocked      = "the mailbox's user is locked or blocked from signing in: unblock it in the admin center"
	hintCriteria    = "a conditional access policy of the tenant refuses the sign-in: have it exempt this client"
	hintBasic       = "Microsoft takes this for a password login: check that the account logs in with an access token and that SMTP AUTH is enabled for it"
	hintNearExpiry  = "the token is malformed or too near its expiry for this endpoint: a new one is fetched; raise the refresh margin of the provider if this repeats"
	hintGoogleToken = "Google does not take the token: the account may be of another user, consent may have been withdrawn, or the password changed; " + flow.HintReconsent
	hintGoogleScope = "the token lacks the scope https://mail.google.com/: consent to it, then put the new refresh token into the accounts file"
	hintGoogleWeb   = "Google wants the user to sign in with a browser once, or an administrator to allow the client; then " + flow.HintReconsent
	hintLogins      = "the provider takes no more logins of this account for a while: lower its connections and logins per minute"
	hintPassing     = "a passing failure at the provider; it is tried again"
)

// refusalRule gives the class and hint of a refusal at login. Empty fields match
// anything.
type refusalRule struct {
	provider, enhanced, text string // text in lower case
	code                     int
	class                    Class
	hint                     string
}

// refusalRules are tried in order.
var refusalRules = []refusalRule{
	{enhanced: "5.7.139", text: "disabled for the tenant", class: ClassLoginRefused, hint: hintTenantSMTP},
	{enhanced: "5.7.139", text: "disabled for the mailbox", class: ClassLoginRefused, hint: hintMailboxSMTP},
	{enhanced: "5.7.139", text: "smtpclientauthentication is disabled", class: ClassLoginRefused, hint: hintTenantSMTP},
	{enhanced: "5.7.139", text: "security defaults", class: ClassLoginRefused, hint: hintDefaults},
	{enhanced: "5.7.139", text: "locked", class: ClassLoginRefused, hint: hintLocked},
	{enhanced: "5.7.139", text: "criteria", class: ClassLoginRefused, hint: hintCriteria},
	{enhanced: "5.7.139", class: ClassLoginRefused, hint: hintBasic},
	{enhanced: "5.7.30", class: ClassLoginRefused, hint: hintBasic},
	{enhanced: "5.7.3", class: ClassTokenRefused, hint: hintMicrosoftScope},
	{code: 501, enhanced: "5.5.124", class: ClassTokenRefused, hint: hintNearExpiry},
	{code: 501, enhanced: "5.5.127", class: ClassTokenRefused, hint: hintNearExpiry},
	{enhanced: "5.7.9", class: ClassInteractionRequired, hint: hintGoogleWeb},
	{enhanced: "5.7.14", class: ClassInteractionRequired, hint: hintGoogleWeb},
	{code: 534, class: ClassInteractionRequired, hint: hintGoogleWeb},
	{code: 432, class: ClassThrottled, hint: hintLogins},
	{code: 454, text: "too many", class: ClassThrottled, hint: hintLogins},
	{code: 421, text: "too many", class: ClassThrottled, hint: hintLogins},
	{provider: "gmail", code: 535, class: ClassTokenRefused, hint: hintGoogleToken},
	{provider: "outlook", code: 535, class: ClassTokenRefused, hint: hintMicrosoftScope},
	{code: 535, class: ClassTokenRefused, hint: ClassTokenRefused.Hint()},
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
// ClassThrottled and ClassUnavailable, that the failure passes. The hint is our
// own text.
func ExplainAuthRefusal(provider string, code int, enhanced, text, challenge string) (class Class, hint string) {
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
			class, hint = r.class, r.hint
			if h := challengeHint(challenge); h != "" && class == ClassTokenRefused {
				hint = h
			}
			return class, hint
		}
	}
	if h := challengeHint(challenge); h != "" && code >= 500 {
		return ClassTokenRefused, h // whatever the code of the reply
	}
	if code >= 500 {
		return ClassLoginRefused, ClassTokenRefused.Hint()
	}
	return ClassUnavailable, hintPassing
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
func challengeHint(challenge string) string {
	challenge = strings.TrimSpace(challenge)
	if raw, err := base64.StdEncoding.DecodeString(challenge); err == nil {
		challenge = string(raw)
	}
	var c struct {
		Status string `json:"status"`
		Scope  string `json:"scope"`
	}
	if json.Unmarshal([]byte(challenge), &c) != nil {
		return ""
	}
	switch c.Status {
	case "insufficient_scope", "403":
		if strings.Contains(c.Scope, "google") {
			return hintGoogleScope
		}
		return "the token lacks a scope for mail: " + flow.HintScope
	case "401":
		return "the token has expired or was revoked: a new one is fetched; if this repeats, " + flow.HintReconsent
	case "400", "invalid_token", "invalid_request":
		if strings.Contains(c.Scope, "google") {
			return "the token is not good for this mailbox, or lacks the scope https://mail.google.com/: check that the user who consented is the mailbox, then " + flow.HintReconsent
		}
	}
	return ""
}
