package smtpclient

import (
	"errors"
	"fmt"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/throttle"
)

var (
	// ErrProtocol: the provider said something that SMTP does not allow there.
	ErrProtocol = errors.New("protocol error")
	// ErrRefused: the provider's reply was a refusal.
	ErrRefused = errors.New("refused")

	errUnasked = errors.New("the provider said more than it was asked for")
)

// Error says at which phase a login failed, and why.
type Error struct {
	Phase throttle.Phase
	// Reply is what the provider said; zero if it said nothing.
	Reply codec.Reply
	// Err is the cause: ErrRefused with a Reply, else what happened here.
	Err error
}

func (e *Error) Error() string { return Describe(e.Phase, e.Reply, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Describe is the text of an error at a phase, with the provider's reply if there is
// one.
func Describe(p throttle.Phase, reply codec.Reply, err error) string {
	if !reply.IsZero() {
		return fmt.Sprintf("%v: %v: %q", p, err, Cut(reply.String()))
	}
	return fmt.Sprintf("%v: %v", p, err)
}

// maxQuoted caps remote text in logs and in replies of ours, in octets.
const maxQuoted = 200

// Cut makes remote text safe to quote: printable ASCII on one line, not too long.
func Cut(s string) string {
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

// protocolError makes an error of a reply that SMTP does not allow there.
func protocolError(p throttle.Phase, reply *codec.Reply) error {
	return fmt.Errorf("%w: %s answered by %q", ErrProtocol, p, Cut(reply.String()))
}
