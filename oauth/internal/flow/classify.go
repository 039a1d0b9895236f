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
	"xoauth2-proxy/internal/hint"
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

// classHints are for failures of which nothing more precise is known.
var classHints = map[Class]hint.ID{
	ClassUnavailable:         hint.TokenEndpointDown,
	ClassThrottled:           hint.TokenEndpointBusy,
	ClassInvalidGrant:        hint.RefreshTokenRefused,
	ClassInteractionRequired: hint.InteractionRequired,
	ClassInvalidClient:       hint.ClientRefused,
	ClassMisconfigured:       hint.TokenRequestWrong,
	ClassNoEndpoint:          hint.NoTokenEndpoint,
	ClassTokenRefused:        hint.TokenNotForSMTP,
	ClassStore:               hint.TokenStoreUnreadable,
	ClassMailboxes:           hint.TooManyMailboxes,
	ClassRemoved:             hint.AccountChanged,
	ClassClosed:              hint.ShuttingDown,
	ClassLoginRefused:        hint.LoginRefused,
}

// codeHints are for those values of "error" whose class says too little.
var codeHints = map[string]hint.ID{
	"invalid_scope":         hint.ScopeRefused,
	"invalid_resource":      hint.ScopeRefused,
	"deleted_client":        hint.ClientDeleted,
	"disabled_client":       hint.ClientDisabled,
	"admin_policy_enforced": hint.AdminPolicy,
	"org_internal":          hint.InternalClient,
}

// numbers is the meaning of the numbers in Microsoft's answers, and of what Google says
// beside "error". The class follows "error", as Microsoft asks. A number chooses the
// hint, gives the class if "error" is missing, and makes a refusal a passing failure if
// its own class is passing.
var numbers = map[string]struct {
	class Class
	hint  hint.ID
}{
	"70000":     {ClassInvalidGrant, hint.RefreshTokenInvalid},
	"70008":     {ClassInvalidGrant, hint.RefreshTokenExpired},
	"700082":    {ClassInvalidGrant, hint.RefreshTokenUnused},
	"50173":     {ClassInvalidGrant, hint.SessionsRevoked},
	"50076":     {ClassInteractionRequired, hint.MFARequired},
	"50079":     {ClassInteractionRequired, hint.MFAEnrolment},
	"50057":     {ClassInteractionRequired, hint.UserDisabled},
	"50034":     {ClassInteractionRequired, hint.UserUnknown},
	"53003":     {ClassInteractionRequired, hint.ConditionalAccess},
	"65001":     {ClassInteractionRequired, hint.ConsentMissing},
	"7000215":   {ClassInvalidClient, hint.ClientSecretWrong},
	"7000222":   {ClassInvalidClient, hint.ClientSecretExpired},
	"70002":     {ClassInvalidClient, hint.ClientCredentialsRefused},
	"700016":    {ClassInvalidClient, hint.ClientUnknown},
	"7000218":   {ClassInvalidClient, hint.ClientSecretNeeded},
	"700025":    {ClassInvalidClient, hint.ClientSecretUnwanted},
	"90023":     {ClassInvalidClient, hint.ClientSecretUnwanted},
	"700027":    {ClassInvalidClient, hint.ClientCertificateRefused},
	"700024":    {ClassInvalidClient, hint.ClientAssertionTime},
	"7000229":   {ClassInvalidClient, hint.ServicePrincipalMissing},
	"90002":     {ClassMisconfigured, hint.TenantUnknown},
	"50194":     {ClassMisconfigured, hint.TenantOfClient},
	"900023":    {ClassMisconfigured, hint.TenantOfClient},
	"50059":     {ClassMisconfigured, hint.TenantOfClient},
	"9002331":   {ClassMisconfigured, hint.PersonalAccountsOnly},
	invalidRAPT: {ClassInteractionRequired, hint.SessionControl},
	"900144":    {ClassMisconfigured, hint.ScopeMissing},
	"50033":     {ClassUnavailable, hint.None},
	"50087":     {ClassUnavailable, hint.None},
	"90006":     {ClassUnavailable, hint.None},
	"70012":     {ClassUnavailable, hint.None},
	"40010":     {ClassUnavailable, hint.None},
	"50196":     {ClassThrottled, hint.TokenLoop},
}

// LoopDetected is the ProviderCode of a client that asks for tokens in a loop.
const LoopDetected = aadsts + "50196"

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
		e.Class, e.Hint = ClassMisconfigured, hint.TokenRequestRefused
		return e
	case e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed:
		e.Class = ClassNoEndpoint
	}
	e.Hint = hintOf(e, answer.ErrorCode, known.hint)
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
var flowHints = map[account.Flow]map[string]hint.ID{
	account.FlowClientCredentials: {
		"invalid_grant": hint.AppOnlyRefused,
		"invalid_scope": hint.AppOnlyScope,
	},
	account.FlowServiceAccount: {
		"invalid_grant":       hint.ServiceAccountRefused,
		"unauthorized_client": hint.DomainWideDelegation,
		"invalid_client":      hint.ServiceAccountKey,
		"access_denied":       hint.DomainWideDelegation,
	},
	account.FlowExternal: {
		"invalid_grant":  hint.TokenServiceRefusesAccount,
		"invalid_client": hint.TokenServiceRefusesProxy,
	},
}

// hintForFlow replaces a hint about refresh tokens in flows that have none.
func hintForFlow(e *Error, a *account.Account) {
	if h := flowHints[a.TokenFlow()][e.Code]; h != hint.None && !e.NumberKnown() && e.Permanent() {
		e.Hint = h
	}
}

// hintOf chooses the hint for the operator. Failures that pass need none.
func hintOf(e *Error, code string, numbered hint.ID) hint.ID {
	switch {
	case e.Class == ClassUnavailable && e.Status >= 300 && e.Status < 400:
		return hint.TokenURLRedirects
	case e.Class == ClassUnavailable, e.Class == ClassThrottled:
		return numbered
	}
	return numbered.Or(codeHints[code]).Or(e.Class.Hint())
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
