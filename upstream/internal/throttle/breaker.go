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
	"xoauth2-proxy/internal/metric"
)

// BreakerConfig says when an endpoint is taken for dead.
type BreakerConfig struct {
	// Failures is the number of failures in a row that opens the breaker: to
	// connect, of TLS, or to get the greeting and the reply to EHLO. 0: it never
	// opens.
	Failures int
	// Recovery is the time without an attempt after that. From then on one
	// connection at a time tries the endpoint.
	Recovery time.Duration
}

// Breakers are the circuit breakers of the providers' endpoints. They are safe for
// concurrent use.
//
// A breaker depends on no account: any reply of the provider is a sign of life, a
// refusal of the login too. An account that cannot log in has its own [Backoff].
type Breakers struct {
	cfg     BreakerConfig
	own     map[string]BreakerConfig
	log     *zap.Logger
	changes [numBreakerStates]*metrics.Counter // by gobreaker.State
	open    atomic.Int64                       // breakers that are not closed

	byAddr sync.Map // "host:port": *Breaker
}

// Breaker is the circuit breaker of one endpoint.
type Breaker struct {
	steps *gobreaker.TwoStepCircuitBreaker[struct{}] // nil: it never opens
}

// States of a breaker, in the order of gobreaker.State.
const numBreakerStates = 3

var breakerNames = [numBreakerStates]string{gobreaker.StateClosed: "closed", gobreaker.StateHalfOpen: "half_open", gobreaker.StateOpen: "open"}

// NewBreakers returns the breakers of all endpoints. own has the configuration of some
// endpoints by "host:port", cfg is for all others. The metrics go into set.
func NewBreakers(cfg BreakerConfig, own map[string]BreakerConfig, log *zap.Logger, set *metrics.Set) *Breakers {
	b := &Breakers{cfg: cfg, own: own, log: log}
	changes := metric.New(set, "upstream_breaker_changes_total", "Changes of circuit breakers of endpoints, by the new state.",
		"to: open, no attempts; half_open, one attempt; closed, in use again").
		Do("Often: the network to an endpoint comes and goes. The log names the endpoint.")
	for i, name := range breakerNames {
		b.changes[i] = changes.Counter(name)
	}
	metric.New(set, "upstream_breakers_open", "Endpoints whose circuit breaker is open.").
		Do("An endpoint does not answer: the log names it. Look at DNS, routes, firewalls and the provider's status page.").
		Gauge(func() float64 { return float64(b.open.Load()) })
	return b
}

// Of returns the breaker of an endpoint; from a nil receiver, one that never opens.
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
		IsExcluded:    func(err error) bool { return errors.Is(err, errOwnFault) },
		OnStateChange: b.changed,
	})}
}

// changed counts and logs a change of state. It runs under the lock of the breaker.
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

// Try is the result of an attempt to connect, as far as it concerns the endpoint.
type Try uint8

// The results.
const (
	Alive    Try = iota // the provider sent a reply
	Dead                // the attempt failed before any reply
	OwnFault            // the attempt failed for a reason on this host
)

var (
	errDead     = errors.New("no reply")
	errOwnFault = errors.New("fault of this host")
)

// Enter reports whether an attempt to connect may start. If so, the caller must call
// leave once, with the result up to the reply to EHLO.
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
