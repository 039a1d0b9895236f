package upstream

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/dial"
)

// BreakerConfig is when an endpoint is taken for dead.
type BreakerConfig struct {
	// Failures in a row open the breaker: of connecting, TLS, or getting the
	// greeting and the reply to EHLO. 0 is never.
	Failures int
	// Recovery is how long the endpoint is left alone then, before one
	// connection at a time tries it.
	Recovery time.Duration
}

// endpoints are the circuit breakers of the providers' endpoints, shared by all
// shards. A breaker looks at no account: any reply of the provider, and be it a
// refusal of the login, is a sign of life. The pause of an account that cannot
// log in is its own, see backoff.
type endpoints struct {
	cfg     Config
	log     *zap.Logger
	metrics *relayMetrics
	open    atomic.Int64 // breakers that are not closed

	byAddr sync.Map // "host:port": *endpoint
}

// endpoint is one of them.
type endpoint struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}] // nil: none
}

// of returns what is known of an endpoint. A nil receiver knows of none.
func (e *endpoints) of(addr account.Endpoint) *endpoint {
	if e == nil {
		return nil
	}
	name := addr.String()
	if v, ok := e.byAddr.Load(name); ok {
		return v.(*endpoint)
	}
	v, _ := e.byAddr.LoadOrStore(name, e.make(name))
	return v.(*endpoint)
}

func (e *endpoints) make(name string) *endpoint {
	cfg := e.cfg.Breaker
	if own, ok := e.cfg.Breakers[name]; ok {
		cfg = own
	}
	ep := new(endpoint)
	if cfg.Failures <= 0 {
		return ep
	}
	ep.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:          name,
		MaxRequests:   1,
		Timeout:       cfg.Recovery,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return int64(c.ConsecutiveFailures) >= int64(cfg.Failures) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errOwnFault) },
		OnStateChange: e.changed,
	})
	return ep
}

// changed is called with the lock of the breaker held.
func (e *endpoints) changed(name string, from, to gobreaker.State) {
	if from == gobreaker.StateClosed {
		e.open.Add(1)
	}
	if to == gobreaker.StateClosed {
		e.open.Add(-1)
	}
	e.metrics.breakers[to].Inc()
	e.log.Warn("circuit breaker of an endpoint", zap.String("upstream", name), zap.Stringer("from", from), zap.Stringer("to", to))
}

// enter asks whether a connection may be tried. If so, leave is to be called
// with what came of it up to the reply to EHLO; else the error is ErrEndpointDown.
func (e *endpoint) enter() (leave func(*Error), err error) {
	if e == nil {
		return func(*Error) {}, nil
	}
	done := func(error) {}
	if e.breaker != nil {
		if done, err = e.breaker.Allow(); err != nil {
			return nil, ErrEndpointDown
		}
	}
	return func(err *Error) {
		switch {
		case err == nil || !err.Reply.IsZero():
			done(nil)
		case ownFault(err):
			done(errOwnFault)
		default:
			done(err)
		}
	}, nil
}

// errOwnFault stands for failures that say nothing about the endpoint.
var errOwnFault = errors.New("fault of this host")

// ownFault: the source address of the account is not of this host, or has no
// way out; or the relay is being closed, or failed in itself.
func ownFault(e *Error) bool {
	for _, cause := range []error{errOwnFault, dial.ErrNoAddress, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(e.Err, cause) {
			return true
		}
	}
	return false
}
