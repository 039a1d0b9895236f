package failure

import (
	"context"
	"errors"
	"os"

	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/throttle"
)

// ByProvider reports whether what the client is told is the provider's verdict on the
// message or the recipient. Before MAIL it has given none.
func (e *Error) ByProvider() bool { return !e.Own && e.refusal() }

// refusal reports whether e is a refusal of the message or the recipient that is passed on.
func (e *Error) refusal() bool {
	return e.Phase >= throttle.PhaseMail && !e.Reply.IsZero() && errors.Is(e.Err, ErrRefused)
}

// ClassOf returns the class of a failure: one short word, which stays as it is.
func ClassOf(err error) string {
	e, ok := errors.AsType[*Error](err)
	switch {
	case ok && e.Own:
		return "declined"
	case !ok:
		e = new(Error)
	}
	if class := localClass(err); class != "" {
		return class
	}
	if o, ok := errors.AsType[*oauth.Error](err); ok {
		return o.Class.String()
	}
	switch {
	case !e.Reply.IsZero() && e.Hint != hint.None:
		return e.Class.String()
	case errors.Is(err, ErrLoginSyntax):
		return "login_syntax"
	case !e.Reply.IsZero() && errors.Is(err, ErrRefused):
		return e.Verdict().Class()
	case errors.Is(err, ErrProtocol):
		return "protocol"
	case e.Phase == throttle.PhaseTLS, isTLS(err):
		return "tls"
	case isDNS(err):
		return "dns"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case e.Phase > throttle.PhaseQueue && e.Phase < throttle.PhaseMail:
		return "connect"
	case isLost(err):
		return "lost"
	}
	return "internal"
}

// localClass is for what was decided here, without regard to a phase; "" for all else.
func localClass(err error) string {
	if e, ok := errors.AsType[*LimitError](err); ok {
		return e.Kind.Label()
	}
	if e, ok := errors.AsType[*stopError](err); ok {
		return e.kind.String()
	}
	for i := range localClasses {
		if errors.Is(err, localClasses[i].is) {
			return localClasses[i].class
		}
	}
	return ""
}

var localClasses = [...]struct {
	is    error
	class string
}{
	{ErrQueueFull, "queue_full"},
	{ErrClosed, "shutdown"},
	{ErrStuck, "stuck"},
	{share.ErrOutage, "share_outage"},
	{ErrBusy, "busy"},
	{ErrEndpointDown, "endpoint_down"},
	{ErrAbandoned, "client_gone"},
}
