package flow

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
)

// MaxRetryAfter is the longest wait that an endpoint can impose: a mistaken
// header must not silence an account for days.
const MaxRetryAfter = time.Hour

// errorClasses is the class of each "error" in an answer (RFC 6749 sections 4.1.2.1
// and 5.2, RFC 8628 section 3.5, OpenID Connect, and what Google and Microsoft
// add). isRefusal decides for others.
var errorClasses = map[string]Class{
	"invalid_grant":              ClassInvalidGrant,
	"interaction_required":       ClassInteractionRequired,
	"login_required":             ClassInteractionRequired,
	"account_selection_required": ClassInteractionRequired,
	"consent_required":           ClassInteractionRequired,
	"access_denied":              ClassInteractionRequired,
	"expired_token":              ClassInteractionRequired, // of a device code
	"authorization_declined":     ClassInteractionRequired, // Microsoft's access_denied of a device code
	"admin_policy_enforced":      ClassInteractionRequired, // Google
	"org_internal":               ClassInteractionRequired, // Google
	"invalid_client":             ClassInvalidClient,
	"deleted_client":             ClassInvalidClient, // Google
	"disabled_client":            ClassInvalidClient, // Google
	"unauthorized_client":        ClassMisconfigured,
	"unsupported_grant_type":     ClassMisconfigured,
	"invalid_scope":              ClassMisconfigured,
	"invalid_request":            ClassMisconfigured,
	"invalid_resource":           ClassMisconfigured,
	"invalid_target":             ClassMisconfigured, // RFC 8707
	"redirect_uri_mismatch":      ClassMisconfigured, // Google
	"authorization_pending":      ClassUnavailable,
	"temporarily_unavailable":    ClassUnavailable,
	"server_error":               ClassUnavailable,
	"internal_failure":           ClassUnavailable, // Google
	"slow_down":                  ClassThrottled,
	"rate_limit_exceeded":        ClassThrottled, // Google
}

// Hints for the operator.
const (
	HintReconsent    = "authorize the account again and put the new refresh token into the accounts file"
	hintInvalid      = "the refresh token is expired, revoked or of another client (Google: password changed, 6 months unused, or 7 days old while the consent screen is in testing); " + HintReconsent
	hintClient       = "check client_id and client_secret; every account of this client is affected"
	hintRequest      = "check token URL, tenant, client_id and scope of the account"
	HintScope        = "check the scope of the account: it must be one that was consented to"
	hintUnknown      = "the provider refuses the request for a reason that the proxy does not know: look at its text in the log, and act on it; a reload or a release of the account has it asked again"
	hintEndpoint     = "check the token URL of the account: the server that it names has no token endpoint there"
	hintPublicClient = "the client is public and must send no secret: leave client_secret out, or set send_client_secret to false"
	hintOwnTenant    = "the application belongs to one tenant, and the request names none or another one: set the account's tenant to the application's own"
	hintRapt         = "the session control of the user's Google Workspace wants the user to sign in again: have its administrator trust the client or exempt the user (Google Admin console, Google Cloud session control), then " + HintReconsent
	hintInteraction  = "sign in as this user once to see what is asked for, then " + HintReconsent
)

// LoopDetected is the ProviderCode of a client that asks for tokens in a loop.
const LoopDetected = aadsts + "50196"

// classHints are for failures of which nothing more precise is known.
var classHints = map[Class]string{
	ClassInvalidGrant:        hintInvalid,
	ClassInteractionRequired: hintInteraction,
	ClassInvalidClient:       hintClient,
	ClassMisconfigured:       hintRequest,
	ClassNoEndpoint:          hintEndpoint,
	ClassTokenRefused:        "check that the token is for SMTP (scope), that its user may send as the mailbox, and that SMTP AUTH is enabled for it",
	ClassStore:               "the newest refresh token of the account is in it: see the log, then restart the proxy",
	ClassMailboxes:           "try again in some minutes, or raise oauth.max_mailboxes",
	ClassRemoved:             "log in again",
}

// codeHints are for those values of "error" whose class says too little.
var codeHints = map[string]string{
	"invalid_scope":         HintScope,
	"invalid_resource":      HintScope,
	"deleted_client":        "the OAuth client was deleted at the provider (Google deletes clients that were not used for six months): restore it within 30 days, or make another one and authorize all its accounts again",
	"disabled_client":       "the OAuth client is disabled at the provider: enable it there; every account of this client is affected",
	"admin_policy_enforced": "a policy of the user's organization does not let this client have the scope: have its administrator trust the client (Google Admin console, API controls), then " + HintReconsent,
	"org_internal":          "the OAuth client is for users of its own organization only: use a client of the user's organization, or make the user type of the consent screen external",
}

// numbers is the meaning of the numbers in Microsoft's answers, and of what Google says
// beside "error". The class follows "error", as Microsoft asks. A number chooses the
// hint, gives the class if "error" is missing, and makes a refusal a passing failure if
// its own class is passing.
var numbers = map[string]struct {
	class Class
	hint  string
}{
	"70000":     {ClassInvalidGrant, "the refresh token is invalid for this client or endpoint; " + HintReconsent},
	"70008":     {ClassInvalidGrant, "the refresh token expired; " + HintReconsent},
	"700082":    {ClassInvalidGrant, "the refresh token expired because it was not used for too long; " + HintReconsent},
	"50173":     {ClassInvalidGrant, "the user's sessions were revoked or the password was changed; " + HintReconsent},
	"50076":     {ClassInteractionRequired, "multi-factor authentication is required; " + HintReconsent},
	"50079":     {ClassInteractionRequired, "the user must enrol for multi-factor authentication; " + HintReconsent},
	"50057":     {ClassInteractionRequired, "the user is disabled in the tenant; enable it, then " + HintReconsent},
	"50034":     {ClassInteractionRequired, "the user does not exist in the tenant; check the account and the tenant of its token URL"},
	"53003":     {ClassInteractionRequired, "a conditional access policy blocks the sign-in; have it exempt this client"},
	"65001":     {ClassInteractionRequired, "nobody has consented to the scope for this client; consent, then " + HintReconsent},
	"7000215":   {ClassInvalidClient, "client_secret is wrong; put in the secret's value, not its ID"},
	"7000222":   {ClassInvalidClient, "client_secret has expired; create a new one in the app registration"},
	"70002":     {ClassInvalidClient, "the client's credentials are refused; check client_secret, and leave it out for a public client"},
	"700016":    {ClassInvalidClient, "the application is not known in the tenant; check client_id and the tenant of the token URL"},
	"7000218":   {ClassInvalidClient, "the provider wants a client_secret: set send_client_secret to true for the account, or allow public client flows in the app registration"},
	"700025":    {ClassInvalidClient, hintPublicClient},
	"90023":     {ClassInvalidClient, hintPublicClient},
	"700027":    {ClassInvalidClient, "the client's certificate is not the one of the app registration, or has expired there; upload it there, and check client_certificate and client_private_key"},
	"700024":    {ClassInvalidClient, "the client's assertion is not valid now; check the clock of this machine"},
	"7000229":   {ClassInvalidClient, "the application has no service principal in the tenant; have an administrator of the tenant consent to it"},
	"90002":     {ClassMisconfigured, "the tenant does not exist; check the token URL"},
	"50194":     {ClassMisconfigured, hintOwnTenant},
	"900023":    {ClassMisconfigured, hintOwnTenant},
	"50059":     {ClassMisconfigured, hintOwnTenant},
	"9002331":   {ClassMisconfigured, "the application is for personal accounts only; set the tenant consumers"},
	invalidRAPT: {ClassInteractionRequired, hintRapt},
	"900144":    {ClassMisconfigured, "a parameter is missing, usually the scope; set the scope of the account"},
	"50033":     {ClassUnavailable, ""},
	"50087":     {ClassUnavailable, ""},
	"90006":     {ClassUnavailable, ""},
	"70012":     {ClassUnavailable, ""},
	"40010":     {ClassUnavailable, ""},
	"50196":     {ClassThrottled, "the endpoint sees a loop of token requests; find what else uses this client and user"},
}

// classify turns an error of x/oauth2 into an *Error without any of the secrets.
// x/oauth2's own error has the whole reply in it and is dropped.
func classify(err error, secrets []string, now time.Time) *Error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return Local(err)
	}
	decodeAnswer(answer)
	if low := strings.ToLower(strings.TrimSpace(answer.ErrorCode)); isKnownCode(low) {
		answer.ErrorCode = low
	}
	e := &Error{Code: knownCode(answer.ErrorCode, secrets), Description: redact(answer.ErrorDescription, secrets)}
	if answer.Response != nil {
		e.Status = answer.Response.StatusCode
		e.RetryAfter = retryAfter(answer.Response.Header.Get("Retry-After"), now)
	}
	number, shown := providerNumber(answer)
	known, numbered := numbers[number]
	if number != "" && !sharesSecret(number, secrets) {
		e.ProviderCode = shown
	}
	class, coded := errorClasses[answer.ErrorCode]
	switch {
	case e.ProviderCode == LoopDetected || e.Status == http.StatusTooManyRequests:
		e.Class = ClassThrottled
	case e.Status >= 500 || numbered && !known.class.Permanent():
		e.Class = ClassUnavailable
	case coded:
		e.Class = class
	case numbered:
		e.Class = known.class
	case isRefusal(e.Status, answer.ErrorCode):
		e.Class, e.Hint = ClassMisconfigured, hintUnknown
		return e
	case e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed:
		e.Class = ClassNoEndpoint
	}
	e.Hint = hint(e, answer.ErrorCode, known.hint)
	return e
}

// Refused returns what the error of an authorization endpoint's answer means (RFC 6749
// section 4.1.2.1). It holds nothing of the account's secrets.
func Refused(a *account.Account, code, description string) *Error {
	return classify(&oauth2.RetrieveError{
		Response:  &http.Response{StatusCode: http.StatusBadRequest},
		ErrorCode: code, ErrorDescription: description,
	}, secretsOf(a), time.Now())
}

// isRefusal reports whether an answer with an unknown "error" has the form of a
// refusal: the characters of RFC 6749 section 5.2 and a status that token endpoints
// refuse with. Such an answer comes from a working token endpoint, which would give
// it again.
func isRefusal(status int, code string) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return false
	}
	for _, c := range []byte(code) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return code != ""
}

// decodeAnswer fills in the error object of RFC 6749 section 5.2 if x/oauth2 left it
// in the body.
func decodeAnswer(answer *oauth2.RetrieveError) {
	if answer.ErrorCode != "" || len(answer.Body) == 0 {
		return
	}
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(answer.Body, &body) == nil {
		answer.ErrorCode, answer.ErrorDescription = body.Error, body.Description
	}
}

// flowHints say what a refusal means in a flow without a refresh token: the usual
// hint is about refresh tokens.
var flowHints = map[account.Flow]map[string]string{
	account.FlowClientCredentials: {
		"invalid_grant": "check tenant, client_id and scope of the account; app-only access needs a token URL with the tenant in it",
		"invalid_scope": "the scope of an application ends in /.default, such as https://outlook.office365.com/.default",
	},
	account.FlowServiceAccount: {
		"invalid_grant":       "check the clock of this machine, that the mailbox exists, and that the key of the service account was not deleted",
		"unauthorized_client": "allow the service account's client ID the scope https://mail.google.com/ in the Google Admin console (domain-wide delegation)",
		"invalid_client":      "check client_email and private_key of the service account; every mailbox of it is affected",
		"access_denied":       "allow the service account's client ID the scope https://mail.google.com/ in the Google Admin console (domain-wide delegation)",
	},
	account.FlowExternal: {
		"invalid_grant":  "the operator's own token service refuses the account; see there",
		"invalid_client": "the operator's own token service refuses the proxy; check client_secret, which is sent to it as bearer token",
	},
}

// hintForFlow replaces a hint about refresh tokens in flows that have none.
func hintForFlow(e *Error, a *account.Account) {
	if h := flowHints[a.TokenFlow()][e.Code]; h != "" && !e.NumberKnown() && e.Permanent() {
		e.Hint = h
	}
}

// hint chooses the hint for the operator.
func hint(e *Error, code, numbered string) string {
	switch {
	case e.Class == ClassUnavailable:
		if e.Status >= 300 && e.Status < 400 {
			return "the token URL answers with a redirect; check it"
		}
		return ""
	case numbered != "":
		return numbered
	case codeHints[code] != "":
		return codeHints[code]
	}
	return e.Class.Hint()
}

func isKnownCode(code string) bool {
	_, ok := errorClasses[code]
	return ok
}

// knownCode returns an "error" value that can be shown, "" for others: it must look
// like the codes of the RFC and have no part of a secret in it.
func knownCode(code string, secrets []string) string {
	if isKnownCode(code) {
		return code
	}
	if len(code) > 40 || sharesSecret(code, secrets) {
		return ""
	}
	for _, c := range []byte(code) {
		if (c < 'a' || c > 'z') && c != '_' {
			return ""
		}
	}
	return code
}

// invalidRAPT is what Google says when the session control of a Workspace wants the user
// to sign in again.
const invalidRAPT = "invalid_rapt"

// providerNumber returns the provider's own code in an answer, as numbers has it and as
// it is shown; "" if there is none.
func providerNumber(answer *oauth2.RetrieveError) (number, shown string) {
	var google struct {
		Subtype string `json:"error_subtype"`
	}
	if json.Unmarshal(answer.Body, &google) == nil && google.Subtype == invalidRAPT ||
		strings.Contains(answer.ErrorDescription, invalidRAPT) {
		return invalidRAPT, invalidRAPT
	}
	if number = aadstsNumber(answer.ErrorDescription); number != "" {
		shown = aadsts + number
	}
	return number, shown
}

// aadsts begins the numbers that Microsoft shows.
const aadsts = "AADSTS"

// aadstsNumber finds the first Microsoft error number in a description.
func aadstsNumber(description string) string {
	_, rest, ok := strings.Cut(description, aadsts)
	if !ok {
		return ""
	}
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	if n > 10 {
		return ""
	}
	return rest[:n]
}

// retryAfter reads the header of RFC 9110 section 10.2.3: seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if secs, err := strconv.ParseUint(value, 10, 31); err == nil {
		d = time.Duration(secs) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), MaxRetryAfter)
}
