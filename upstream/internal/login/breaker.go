package login

import (
	"errors"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/dial"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// errOwnFault stands for failures that say nothing about the endpoint: the relay is
// being closed, or failed in itself.
var errOwnFault = errors.New("fault of this host")

// enter asks the breaker of an endpoint whether a connection may be tried. If so,
// leave is to be called with what came of it up to the reply to EHLO; else the error
// is failure.ErrEndpointDown.
func (o *Opener) enter(endpoint account.Endpoint) (leave func(*failure.Error), err error) {
	told, ok := o.Breakers.Of(endpoint).Enter()
	if !ok {
		return nil, failure.ErrEndpointDown
	}
	return func(err *failure.Error) {
		switch {
		case err == nil || !err.Reply.IsZero():
			told(throttle.Alive)
		case errors.Is(err.Err, errOwnFault) || dial.OwnFault(err.Err):
			told(throttle.OwnFault)
		default:
			told(throttle.Dead)
		}
	}, nil
}
