package upstream

import (
	"errors"
	"fmt"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/oauth"
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
	ErrProtocol = errors.New("protocol error")
	// ErrRefused: the upstream's reply was a refusal.
	ErrRefused = errors.New("refused")
)

// Phase is a step on the way of a message to the upstream.
type Phase uint8

// The phases, in their order.
const (
	PhaseQueue    Phase = iota // waiting for a connection
	PhaseToken                 // getting an access token
	PhaseConnect               // DNS and TCP
	PhaseTLS                   // STARTTLS and the TLS handshake
	PhaseGreeting              // waiting for the greeting
	PhaseEHLO                  // EHLO
	PhaseAuth                  // AUTH
	PhaseMail                  // MAIL
	PhaseRcpt                  // RCPT
	PhaseData                  // DATA
	PhaseContent               // sending content; its end has not left yet
	PhaseFinal                 // the end of the content may have left
	numPhases
)

var phaseNames = [numPhases]string{
	"queue", "token", "connect", "TLS", "greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "content", "final reply",
}

// String names the phase as it appears in logs and replies.
func (p Phase) String() string {
	if p < numPhases {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// Error says at which phase a transaction failed, and why.
type Error struct {
	Phase Phase
	// Reply is what the upstream said; zero if it said nothing.
	Reply codec.Reply
	// Err is the cause: ErrRefused with a Reply, else what happened here.
	Err error
	// upstream is the endpoint, for the text; may be empty.
	upstream string
	// provider, carried and Phase are what judge looks at beside Reply. own: the
	// reply is not the provider's, we refused what it cannot take.
	provider provider
	carried  bool
	own      bool
	// class and hint explain a refusal of AUTH; hint is empty for all else.
	class oauth.Class
	hint  string
	// temporary: the client is to keep the message although Reply is permanent.
	temporary bool
}

func (e *Error) Error() string {
	if !e.Reply.IsZero() {
		return fmt.Sprintf("%v: %v: %q", e.Phase, e.Err, cut(e.Reply.String()))
	}
	return fmt.Sprintf("%v: %v", e.Phase, e.Err)
}

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

// maxQuoted caps remote text in logs and in replies of ours, in octets.
const maxQuoted = 200

// cut makes remote text safe to quote: printable ASCII on one line, not too long.
func cut(s string) string {
	more := len(s) > maxQuoted
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), maxQuoted)])
	if more {
		s += "..."
	}
	return s
}
