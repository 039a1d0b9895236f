package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/httpc"
)

// The sentinels of the classes: each *Error is one of these under errors.Is. They
// say what to do about a missing token.
var (
	// ErrUnavailable: the token endpoint could not be asked, or gave no answer. Try
	// again later.
	ErrUnavailable = errors.New("token endpoint unavailable")
	// ErrThrottled: the token endpoint asked for fewer requests. Try later.
	ErrThrottled = errors.New("token endpoint throttles")
	// ErrNoEndpoint: the server at the token URL is no token endpoint. Asked again at
	// long intervals; all accounts of the client and URL are affected.
	ErrNoEndpoint = errors.New("token URL is no token endpoint")
	// ErrTokenRefused: the endpoint issues tokens that the provider's
	// submission server refuses. Asked again at long intervals.
	ErrTokenRefused = errors.New("access tokens are refused at login")
	// ErrStore: the store has the newest refresh token and cannot be read. Try again
	// later.
	ErrStore = errors.New("token store unavailable")
	// ErrMailboxes: the catch-all account has as many mailboxes in use as it may have.
	// Mailboxes that are unused for some minutes make room.
	ErrMailboxes = errors.New("too many mailboxes of the catch-all account are in use")
	// ErrRemoved: the account was removed or its credentials changed while the
	// token was asked for. The client is to log in again.
	ErrRemoved = errors.New("account removed or changed")
	// ErrClosed: the proxy is shutting down.
	ErrClosed = errors.New("shutting down")
	// ErrInvalidGrant: the refresh token is no longer good. An operator must authorize
	// the account again.
	ErrInvalidGrant = errors.New("refresh token refused")
	// ErrInteractionRequired: the provider wants a person to act (consent, a
	// second factor, a disabled user). Needs an operator.
	ErrInteractionRequired = errors.New("provider requires a person to act")
	// ErrInvalidClient: client_id or client_secret is wrong or has expired, or the
	// client was deleted or disabled. Needs an operator; all accounts of the client are
	// affected.
	ErrInvalidClient = errors.New("OAuth2 client refused")
	// ErrLoginRefused: the provider does not let the mailbox submit, whatever the
	// token. Needs an operator or the provider's administrator.
	ErrLoginRefused = errors.New("mailbox may not submit")
	// ErrMisconfigured: the request can never succeed as configured. Needs an
	// operator.
	ErrMisconfigured = errors.New("token request misconfigured")
)

// ErrPanic is the cause of an error of ours: the flow panicked. Its text is all that is shown.
var ErrPanic = errors.New("internal error")

// Class says what kind of failure an Error is. The zero value is ClassUnavailable.
type Class uint8

const (
	// ClassUnavailable is a passing failure: network, timeout, HTTP 5xx, and
	// everything that is not known to be permanent.
	ClassUnavailable Class = iota
	// ClassThrottled is HTTP 429 or the provider's equivalent.
	ClassThrottled
	// ClassNoEndpoint is HTTP 404 or 405 without a known "error".
	ClassNoEndpoint
	// ClassTokenRefused is a good answer whose token was refused at login.
	ClassTokenRefused
	// ClassStore is a token store that cannot be read. This class and the next three
	// come from us, not from an endpoint.
	ClassStore
	// ClassMailboxes is one mailbox too many of a catch-all account.
	ClassMailboxes
	// ClassRemoved is an account that was removed or has other credentials now.
	ClassRemoved
	// ClassClosed is a manager that is closed.
	ClassClosed
	// ClassInvalidGrant is a refresh token that is no longer good. This class and all
	// that follow are permanent.
	ClassInvalidGrant
	// ClassInteractionRequired is a provider that wants a person to act.
	ClassInteractionRequired
	// ClassInvalidClient is an OAuth2 client that the provider refuses.
	ClassInvalidClient
	// ClassMisconfigured is a request that can never succeed as configured.
	ClassMisconfigured
	// ClassLoginRefused is a refusal at login that no token can change. Flows and
	// sources never have it; see oauth.ExplainAuthRefusal.
	ClassLoginRefused

	// NumClasses is how many there are.
	NumClasses
)

var classes = [NumClasses]struct {
	label    string // of the metric, and String
	sentinel error
}{
	ClassUnavailable:         {"unavailable", ErrUnavailable},
	ClassThrottled:           {"throttled", ErrThrottled},
	ClassNoEndpoint:          {"no_endpoint", ErrNoEndpoint},
	ClassTokenRefused:        {"token_refused", ErrTokenRefused},
	ClassStore:               {"store_unavailable", ErrStore},
	ClassMailboxes:           {"mailboxes", ErrMailboxes},
	ClassRemoved:             {"removed", ErrRemoved},
	ClassClosed:              {"closed", ErrClosed},
	ClassInvalidGrant:        {"invalid_grant", ErrInvalidGrant},
	ClassInteractionRequired: {"interaction_required", ErrInteractionRequired},
	ClassInvalidClient:       {"invalid_client", ErrInvalidClient},
	ClassMisconfigured:       {"misconfigured", ErrMisconfigured},
	ClassLoginRefused:        {"login_refused", ErrLoginRefused},
}

// String is a short name in snake_case.
func (c Class) String() string { return classes[c].label }

// Permanent reports whether only a change of the account or of the provider's
// settings helps.
func (c Class) Permanent() bool { return c >= ClassInvalidGrant }

// Hint explains the class, for want of something more precise.
func (c Class) Hint() hint.ID { return classHints[c] }

// Error is why there is no token. It is immutable and holds no secret.
type Error struct {
	// Class is what kind of failure it is.
	Class Class
	// Code is the "error" of the endpoint's answer (RFC 6749 section 5.2), if
	// it gave one.
	Code string
	// ProviderCode is the provider's own code, such as AADSTS700082, if any.
	ProviderCode string
	// Description is the endpoint's text for people: remote text, without
	// secrets, cut. Not for SMTP replies.
	Description string
	// Hint says what the operator should do, in words that Public ends with; None if there
	// is nothing to do. See Entry.
	Hint hint.ID
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// RetryAfter is how long the endpoint asked us to wait, 0 if it did not.
	RetryAfter time.Duration
	// Err is the local cause (network, TLS, deadline), if any.
	Err error
	// Logged: the log has just told it.
	Logged bool
}

// IsLogged returns Logged, to those who know no more of the error.
func (e *Error) IsLogged() bool { return e.Logged }

// Entry explains the error; it is never None.
func (e *Error) Entry() hint.ID { return e.Hint.Or(e.Class.Hint()) }

// Permanent reports whether asking again is of no use before an operator acted.
func (e *Error) Permanent() bool { return e.Class.Permanent() }

// RefreshTokenDead reports whether the provider has said that the refresh token
// itself is gone, expired, revoked or never was one: only another consent brings the
// account back. Microsoft answers the same invalid_grant to a person who must log in
// again, who is disabled, or whom a policy bars. These may pass, and the number tells
// them apart; an unknown number proves nothing.
func (e *Error) RefreshTokenDead() bool {
	if e.Class != ClassInvalidGrant {
		return false
	}
	return e.ProviderCode == "" || numbers[strings.TrimPrefix(e.ProviderCode, aadsts)].class == ClassInvalidGrant
}

// NumberKnown reports whether Hint says what ProviderCode means.
func (e *Error) NumberKnown() bool {
	return numbers[strings.TrimPrefix(e.ProviderCode, aadsts)].hint != hint.None
}

// EndpointDown reports whether the endpoint itself cannot be reached or does not
// work.
func (e *Error) EndpointDown() bool {
	if e.Class != ClassUnavailable {
		return false
	}
	for _, own := range []error{
		context.Canceled, httpc.ErrMalformedReply, httpc.ErrReplyTooLarge, errTokenType,
		errCommand, errCommandOutput, ErrPanic,
	} {
		if errors.Is(e.Err, own) {
			return false
		}
	}
	return e.Status >= 500 || e.Status == 0 && e.Err != nil
}

// Is makes the sentinel of the class match.
func (e *Error) Is(target error) bool { return target == classes[e.Class].sentinel }

// Unwrap returns the local cause.
func (e *Error) Unwrap() error { return e.Err }

// Error implements error, for logs. It is one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("oauth: ")
	b.WriteString(e.summary(true))
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Description != "" {
		fmt.Fprintf(&b, ": %q", e.Description)
	}
	return b.String()
}

// maxPublic keeps the text within one SMTP reply line (RFC 5321 section
// 4.5.3.1.5), codes included.
const maxPublic = 440

// Public is a text for an SMTP reply: what happened and what to do, in one line of
// printable ASCII. Of the endpoint's words it has the error codes alone.
func (e *Error) Public() string {
	s := e.summary(false)
	if e.Hint != hint.None {
		s += ": " + e.Hint.Remedy()
	}
	if len(s) > maxPublic {
		s = s[:maxPublic]
	}
	return s
}

// summary is the class in words, then the codes.
func (e *Error) summary(status bool) string {
	var codes []string
	if status && e.Status != 0 {
		codes = append(codes, "HTTP "+strconv.Itoa(e.Status))
	}
	if e.Code != "" {
		codes = append(codes, e.Code)
	}
	if e.ProviderCode != "" {
		codes = append(codes, e.ProviderCode)
	}
	s := classes[e.Class].sentinel.Error()
	if len(codes) > 0 {
		s += " (" + strings.Join(codes, ", ") + ")"
	}
	return s
}
