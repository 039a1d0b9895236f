package refusal

import (
	"encoding/base64"
	"strings"
	"testing"

	"xoauth2-proxy/oauth/internal/flow"
)

func TestExplainAuthRefusal(t *testing.T) {
	const google = `{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`
	tests := []struct {
		name, provider string
		code           int
		enhanced, text string
		challenge      string
		class          flow.Class
		hint           string // a part of it
	}{
		{"tenant", "outlook", 535, "5.7.139", "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled", "", flow.ClassLoginRefused, "Set-TransportConfig"},
		{"mailbox", "outlook", 535, "5.7.139", "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", "", flow.ClassLoginRefused, "Set-CASMailbox"},
		{"code in the text", "outlook", 535, "", "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", "", flow.ClassLoginRefused, "Set-CASMailbox"},
		{"defaults", "outlook", 535, "5.7.139", "Authentication unsuccessful, user is locked by your organization's security defaults policy.", "", flow.ClassLoginRefused, "security defaults"},
		{"locked", "outlook", 535, "5.7.139", "Authentication unsuccessful, the account is locked", "", flow.ClassLoginRefused, "locked"},
		{"conditional access", "outlook", 535, "5.7.139", "Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.", "", flow.ClassLoginRefused, "conditional access"},
		{"basic authentication", "outlook", 535, "5.7.139", "Authentication unsuccessful, basic authentication is disabled.", "", flow.ClassLoginRefused, "password login"},
		{"wrong scope or mailbox", "outlook", 535, "5.7.3", "Authentication unsuccessful [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]", "", flow.ClassTokenRefused, "SMTP.Send"},
		{"national cloud", "outlook-china", 535, "", "Authentication unsuccessful", "", flow.ClassTokenRefused, "SMTP.Send"},
		{"near expiry", "outlook", 501, "5.5.127", "Token expires soon", "", flow.ClassTokenRefused, "margin"},
		{"basic off", "outlook", 550, "5.7.30", "Basic authentication is not supported for Client Submission.", "", flow.ClassLoginRefused, "password login"},
		{"fourth connection", "outlook", 432, "4.3.2", "Concurrent connections limit exceeded", "", flow.ClassThrottled, "lower"},
		{"Google", "gmail", 535, "5.7.8", "Username and Password not accepted.", "", flow.ClassTokenRefused, "withdrawn"},
		{"Google, challenge", "gmail", 535, "5.7.8", "Username and Password not accepted.", google, flow.ClassTokenRefused, "https://mail.google.com/"},
		{"Google, challenge in base64", "gmail", 535, "5.7.8", "", base64.StdEncoding.EncodeToString([]byte(google)), flow.ClassTokenRefused, "https://mail.google.com/"},
		{"Google, expired", "gmail", 535, "5.7.8", "", `{"status":"401"}`, flow.ClassTokenRefused, "expired"},
		{"scope missing", "gmail", 535, "5.7.8", "", `{"status":"insufficient_scope","scope":"https://mail.google.com/"}`, flow.ClassTokenRefused, "lacks the scope"},
		{"scope missing elsewhere", "example", 535, "", "", `{"status":"insufficient_scope","scope":"mail"}`, flow.ClassTokenRefused, "scope"},
		{"browser", "gmail", 534, "5.7.9", "Please log in with your web browser and then try again.", "", flow.ClassInteractionRequired, "browser"},
		{"too many logins", "gmail", 454, "4.7.0", "Too many login attempts, please try again later.", "", flow.ClassThrottled, "lower"},
		{"temporary", "gmail", 454, "4.7.0", "Cannot authenticate due to temporary system problem.", "", flow.ClassUnavailable, "passing"},
		{"anything", "example", 535, "", "no", "not JSON", flow.ClassTokenRefused, "scope"},
		{"permanent and unknown", "example", 550, "", "go away", "", flow.ClassLoginRefused, "scope"},
	}
	for _, tt := range tests {
		class, id := Explain(tt.provider, tt.code, tt.enhanced, tt.text, tt.challenge)
		if class != tt.class || !strings.Contains(id.Remedy(), tt.hint) {
			t.Errorf("%s: %v, %v; want %v and %q", tt.name, class, id, tt.class, tt.hint)
		}
	}
}
