package upstream

import (
	"errors"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

var (
	// ErrQueueFull: too many transactions wait for a connection; come back later.
	ErrQueueFull = errors.New("too many messages are waiting")
	// ErrClosed: the relay is shutting down.
	ErrClosed = errors.New("shutting down")
	// ErrTransactionExpired: the upstream part of an opened transaction ended
	// before the client's; the session owns the transaction.
	ErrTransactionExpired = errors.New("the upstream transaction is over")
	// ErrRecipients: a transaction submitted with content must have exactly one
	// recipient, one without must have at least one.
	ErrRecipients = errors.New("unsuitable number of recipients")
	// ErrStuck: the shard of the account does not come back from what it is at.
	ErrStuck = errors.New("this part of the proxy is stuck")
	// ErrBusy: all connections that the account may have were busy for too long.
	ErrBusy = errors.New("all connections of the account are busy")
	// ErrEndpointDown: the endpoint failed again and again and is being left alone.
	ErrEndpointDown = errors.New("the provider does not answer, it is tried again shortly")
	// ErrAbandoned: the client gave up before anything of the message was sent.
	ErrAbandoned = errors.New("the client has given up")
	// ErrProtocol: the upstream said something that SMTP does not allow there.
	ErrProtocol = smtpclient.ErrProtocol
	// ErrRefused: the upstream's reply was a refusal.
	ErrRefused = smtpclient.ErrRefused
)

// Phase is a step on the way of a message to the upstream.
type Phase = throttle.Phase

// The phases, in their order.
const (
	PhaseQueue    = throttle.PhaseQueue
	PhaseToken    = throttle.PhaseToken
	PhaseConnect  = throttle.PhaseConnect
	PhaseTLS      = throttle.PhaseTLS
	PhaseGreeting = throttle.PhaseGreeting
	PhaseEHLO     = throttle.PhaseEHLO
	PhaseAuth     = throttle.PhaseAuth
	PhaseMail     = throttle.PhaseMail
	PhaseRcpt     = throttle.PhaseRcpt
	PhaseData     = throttle.PhaseData
	PhaseContent  = throttle.PhaseContent
	PhaseFinal    = throttle.PhaseFinal
)

// Error says at which phase a transaction failed, and why.
type Error struct {
	Phase Phase
	// Reply is what the upstream said; zero if it said nothing.
	Reply codec.Reply
	// Err is the cause: ErrRefused with a Reply, else what happened here.
	Err error
	// upstream is the endpoint, for the text; may be empty.
	upstream string
	// provider, carried and Phase are what throttle.Judge looks at beside Reply. own: the
	// reply is not the provider's, we refused what it cannot take.
	provider throttle.Provider
	carried  bool
	own      bool
	// class and hint explain a refusal of AUTH; hint is empty for all else.
	class oauth.Class
	hint  string
	// temporary: the client is to keep the message although Reply is permanent.
	temporary bool
}

func (e *Error) Error() string { return smtpclient.Describe(e.Phase, e.Reply, e.Err) }

// Explain says what a refusal of AUTH means and what the operator should do,
// in text of ours. ok is false for every other error.
func (e *Error) Explain() (class oauth.Class, hint string, ok bool) {
	return e.class, e.hint, e.hint != ""
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// MaybeAccepted is true if the upstream may have taken the message although
// it did not say so: the end of the content may have left and no reply came.
func (e *Error) MaybeAccepted() bool { return e.Phase == PhaseFinal && e.Reply.IsZero() }

// verdict is what the provider's reply in e means; nothing if there is none.
func (e *Error) verdict() throttle.Verdict {
	if e == nil || e.own {
		return throttle.Verdict{}
	}
	return throttle.Judge(throttle.Occasion{Provider: e.provider, Phase: e.Phase, Carried: e.carried}, &e.Reply)
}

// refusal is what the provider's refusal in e says of the account; nil if e is none.
func (e *Error) refusal() *throttle.Refusal {
	if e == nil || e.own || e.Reply.IsZero() || !errors.Is(e.Err, ErrRefused) {
		return nil
	}
	return &throttle.Refusal{Phase: e.Phase, Account: e.verdict().Account, Reason: quote(e)}
}

// graver returns of two failures, each of which may be nil, the one that means
// more for the account; a if they mean the same and it is not nil.
func graver(a, b *Error) *Error {
	if a == nil || b != nil && b.verdict().Account > a.verdict().Account {
		return b
	}
	return a
}

// quote is a refusal in text that is safe to show.
func quote(e *Error) string { return smtpclient.Cut(e.Reply.String()) }
