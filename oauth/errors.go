package oauth

import (
	"errors"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/refusal"
)

// Error is why there is no token. It is immutable and holds no secret.
type Error = flow.Error

// Class says what kind of failure an Error is.
type Class = flow.Class

// The classes that callers tell apart.
const (
	// ClassUnavailable is a passing failure: network, timeout, HTTP 5xx, and
	// everything that is not known to be permanent.
	ClassUnavailable = flow.ClassUnavailable
	// ClassThrottled is HTTP 429 or the provider's equivalent.
	ClassThrottled = flow.ClassThrottled
	// ClassTokenRefused is a good answer whose token was refused at login.
	ClassTokenRefused = flow.ClassTokenRefused
	// ClassInvalidGrant is a refresh token that is no longer good.
	ClassInvalidGrant = flow.ClassInvalidGrant
	// ClassInteractionRequired is a provider that wants a person to act.
	ClassInteractionRequired = flow.ClassInteractionRequired
	// ClassMisconfigured is a request that can never succeed as configured.
	ClassMisconfigured = flow.ClassMisconfigured
	// ClassLoginRefused is a refusal at login that no token can change. Sources
	// never have it; see ExplainAuthRefusal.
	ClassLoginRefused = flow.ClassLoginRefused
)

// What callers match with errors.Is.
var (
	// ErrUnavailable: the token endpoint could not be asked or had no answer.
	ErrUnavailable = flow.ErrUnavailable
	// ErrTokenRefused: the endpoint issues tokens that the provider's submission
	// server refuses.
	ErrTokenRefused = flow.ErrTokenRefused
	// ErrInvalidGrant: the refresh token is no longer good.
	ErrInvalidGrant = flow.ErrInvalidGrant
	// ErrInvalidClient: the OAuth2 client is refused.
	ErrInvalidClient = flow.ErrInvalidClient
)

// Causes of our own. Their texts are all that is shown.
var (
	errQueue       = errors.New("too many refreshes are waiting")
	errOvertaken   = errors.New("another process has used the refresh token")
	errWorkerStuck = errors.New("the worker that asks for the token is stuck")
)

// Answers that say nothing about the provider.
var (
	// errMailboxes answers a login that is one mailbox too many.
	errMailboxes = &Error{Class: flow.ClassMailboxes, Hint: flow.ClassMailboxes.Hint()}
	errRetired   = &Error{Class: flow.ClassRemoved, Hint: flow.ClassRemoved.Hint()}
	errClosing   = &Error{Class: flow.ClassClosed}
	// errStuck answers callers while the worker that fetches their token does not
	// come back.
	errStuck = &Error{Class: ClassUnavailable, Err: errWorkerStuck}
	// errRefused is for tokens that were refused at login.
	errRefused = &Error{Class: ClassTokenRefused, Hint: ClassTokenRefused.Hint()}
)

// CheckKeys reports, before the first token request, whether the account can sign
// with the configured keys: certificate and private key must belong together, and the
// key must be of a kind that signs. Accounts that do not sign are right. The error
// shows no secret.
func CheckKeys(a *account.Account) error { return flow.CheckKeys(a) }

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
	return refusal.Explain(provider, code, enhanced, text, challenge)
}
