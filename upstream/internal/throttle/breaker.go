package throttle

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
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

// Breakers are the circuit breakers of the providers' endpoints. A breaker looks at
// no account: any reply of the provider, and be it a refusal of the login, is a sign
// of life. The pause of an account that cannot log in is its own, see Backoff. They
// are safe for concurrent use.
type Breakers struct {
	cfg     BreakerConfig
	own     map[string]BreakerConfig
	log     *zap.Logger
	changes [numBreakerStates]*metrics.Counter // by gobreaker.State
	open    atomic.Int64                       // breakers that are not closed

	byAddr sync.Map // "host:port": *Breaker
}

// Breaker is the one of an endpoint.
type Breaker struct {
	steps *gobreaker.TwoStepCircuitBreaker[struct{}] // nil: none
}

// States of a breaker, in the order of gobreaker.State.
const numBreakerStates = 3

var breakerNames = [numBreakerStates]string{gobreaker.StateClosed: "closed", gobreaker.StateHalfOpen: "half_open", gobreaker.StateOpen: "open"}

// NewBreakers returns the breakers of all endpoints: as cfg says for those that have
// no configuration in own, by "host:port". It puts its metrics into set.
func NewBreakers(cfg BreakerConfig, own map[string]BreakerConfig, log *zap.Logger, set *metrics.Set) *Breakers {
	b := &Breakers{cfg: cfg, own: own, log: log}
	for i, name := range breakerNames {
		b.changes[i] = set.NewCounter(`upstream_breaker_changes_total{to="` + name + `"}`)
	}
	set.NewGauge("upstream_breakers_open", func() float64 { return float64(b.open.Load()) })
	return b
}

// Of returns the breaker of an endpoint. A nil receiver has one that never opens.
func (b *Breakers) Of(addr account.Endpoint) *Breaker {
	if b == nil {
		return new(Breaker)
	}
	name := addr.String()
	if v, ok := b.byAddr.Load(name); ok {
		return v.(*Breaker)
	}
	v, _ := b.byAddr.LoadOrStore(name, b.make(name))
	return v.(*Breaker)
}

func (b *Breakers) make(name string) *Breaker {
	cfg := b.cfg
	if own, ok := b.own[name]; ok {
		cfg = own
	}
	if cfg.Failures <= 0 {
		return new(Breaker)
	}
	return &Breaker{gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:          name,
		MaxRequests:   1,
		Timeout:       cfg.Recovery,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return int64(c.ConsecutiveFailures) >= int64(cfg.Failures) },
		IsExcluded:    func(err error) bool { return err == errOwnFault },
		OnStateChange: b.changed,
	})}
}

// changed is called with the lock of the breaker held.
func (b *Breakers) changed(name string, from, to gobreaker.State) {
	if from == gobreaker.StateClosed {
		b.open.Add(1)
	}
	if to == gobreaker.StateClosed {
		b.open.Add(-1)
	}
	b.changes[to].Inc()
	b.log.Warn("circuit breaker of an endpoint", zap.String("upstream", name), zap.Stringer("from", from), zap.Stringer("to", to))
}

// Try is what a try to connect says about the endpoint.
type Try uint8

const (
	Alive    Try = iota // the provider has replied
	Dead                // it failed, and the provider had not said a word
	OwnFault            // it failed for a reason that says nothing about the endpoint
)

var (
	errDead     = errors.New("no reply")
	errOwnFault = errors.New("fault of this host")
)

// Enter asks whether a connection may be tried. If so, leave is to be called with
// what came of it up to the reply to EHLO.
func (b *Breaker) Enter() (leave func(Try), ok bool) {
	if b.steps == nil {
		return func(Try) {}, true
	}
	done, err := b.steps.Allow()
	if err != nil {
		return nil, false
	}
	return func(t Try) { done([...]error{Alive: nil, Dead: errDead, OwnFault: errOwnFault}[t]) }, true
}
