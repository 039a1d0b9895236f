package failure

import (
	"errors"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
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
	// ErrLoginSyntax: the provider did not understand a line of the login. It has
	// not judged the token.
	ErrLoginSyntax = errors.New("not understood, the token was not refused")
	// ErrRefused: the upstream's reply was a refusal.
	ErrRefused = smtpclient.ErrRefused
)

// Error says at which phase a transaction failed, and why.
type Error struct {
	Phase throttle.Phase
	// Reply is what the upstream said; zero if it said nothing.
	Reply codec.Reply
	// Err is the cause: ErrRefused with a Reply, else what happened here.
	Err error
	// Upstream is the endpoint, for the text; may be empty.
	Upstream string
	// Provider, Carried and Phase are what throttle.Judge looks at beside Reply. Own: the
	// reply is not the provider's, we refused what it cannot take.
	Provider throttle.Provider
	Carried  bool
	Own      bool
	// Class and Hint explain a refusal of AUTH or EHLO, and what is wrong on this host;
	// Hint is None for all else.
	Class oauth.Class
	Hint  hint.ID
	// Temporary: the client is to keep the message although Reply is permanent.
	Temporary bool
}

func (e *Error) Error() string { return smtpclient.Describe(e.Phase, e.Reply, e.Err) }

// Explain says what a refusal of AUTH or EHLO means, or that this host cannot connect,
// and what the operator should do. ok is false for every other error.
func (e *Error) Explain() (class oauth.Class, id hint.ID, ok bool) {
	return e.Class, e.Hint, e.Hint != hint.None
}

// Entry is the entry of the catalogue that explains e to a client and an operator.
func (e *Error) Entry() hint.ID { return e.ClientReply().Hint }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// MaybeAccepted is true if the upstream may have taken the message although
// it did not say so: the end of the content may have left and no reply came.
func (e *Error) MaybeAccepted() bool { return e.Phase == throttle.PhaseFinal && e.Reply.IsZero() }

// Verdict is what the provider's reply in e means; nothing if there is none.
func (e *Error) Verdict() throttle.Verdict {
	if e == nil || e.Own {
		return throttle.Verdict{}
	}
	return throttle.Judge(throttle.Occasion{Provider: e.Provider, Phase: e.Phase, Carried: e.Carried}, &e.Reply)
}

// Refusal is what the provider's refusal in e says of the account; nil if e is none.
func (e *Error) Refusal() *throttle.Refusal {
	if e == nil || e.Own || e.Reply.IsZero() || !errors.Is(e.Err, ErrRefused) {
		return nil
	}
	return &throttle.Refusal{Phase: e.Phase, Account: e.Verdict().Account, Reason: Quote(e)}
}

// Graver returns of two failures, each of which may be nil, the one that means
// more for the account; a if they mean the same and it is not nil.
func Graver(a, b *Error) *Error {
	if a == nil || b != nil && b.Verdict().Account > a.Verdict().Account {
		return b
	}
	return a
}

// Quote is a refusal in text that is safe to show.
func Quote(e *Error) string { return smtpclient.Cut(e.Reply.String()) }
