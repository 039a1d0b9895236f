package server

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/server/internal/counters"
	"xoauth2-proxy/server/internal/journal"
	"xoauth2-proxy/server/internal/shares"
)

// Server accepts clients and runs their sessions.
type Server struct {
	cfg      Config
	accounts *account.Store
	tokens   Tokens
	relay    Relay
	budget   *codec.Budget
	shares   *shares.Shares
	log      *zap.Logger
	journal  *journal.Journal
	metrics  *counters.Counters
	helo     codec.Reply
	greeting []byte
	lineEnd  codec.LineEnd // of clients' command lines
	patience time.Duration // of clients, see patienceOfClients

	engine       *loop.Engine
	loops        []*eventLoop
	listeners    []*listener
	passwords    *password.Checker
	guard        *password.Guard // of the passwords
	shared       password.Secret
	learned      atomic.Pointer[account.Snapshot] // from which passwords and EHLO replies were made
	news         chan struct{}                    // wakes keepLearning
	stopLearning chan struct{}
	accepting    sync.WaitGroup // listeners whose socket is open
	running      sync.WaitGroup // keepLearning

	nextID   atomic.Uint64
	active   atomic.Int64 // sessions, from accept to close
	started  atomic.Bool  // engine is set
	draining atomic.Bool
	empty    chan struct{}
}

// New makes a server that is not listening yet. It registers its metrics with set.
func New(
	cfg Config, accounts *account.Store, tokens Tokens, relay Relay, log *zap.Logger, set *metrics.Set,
) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, accounts: accounts, tokens: tokens, relay: relay, log: log,
		patience:     patienceOfClients,
		budget:       shares.Budget(cfg.ContentBudget, cfg.MaxMessageSize),
		news:         make(chan struct{}, 1),
		stopLearning: make(chan struct{}),
		empty:        make(chan struct{}, 1),
	}
	if !cfg.SharedPassword.IsZero() {
		var err error
		if s.shared, err = password.Parse(cfg.SharedPassword.Reveal()); err != nil {
			return nil, fmt.Errorf("server: shared password: %w", err)
		}
	}
	s.shares = shares.New(s.budget, cfg.MaxMessageSize)
	s.metrics = counters.New(set)
	s.journal = journal.New(log, s.metrics.LogDropped.Inc)
	counters.Gauges(set, s.Active, s.budget.Used, s.budget.Limit)
	s.greeting = codec.ReplyGreeting(cfg.Hostname).AppendTo(nil)
	s.helo = codec.ReplyHelo(cfg.Hostname)
	s.lineEnd = codec.LineEnd(cfg.NormaliseNewlines)
	return s, nil
}

// Addrs are the addresses listened on, in the order of Config.Listeners.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.socket.Addr()
	}
	return addrs
}

// Active is the number of open sessions.
func (s *Server) Active() int64 { return s.active.Load() }

// NotReady returns the reasons why the server would refuse new mail; nil: it would not.
func (s *Server) NotReady() (reasons []string) {
	if s.draining.Load() {
		reasons = append(reasons, "draining")
	}
	if s.accounts.Load().Len() == 0 {
		reasons = append(reasons, "there are no accounts")
	}
	if s.active.Load() >= int64(s.cfg.MaxConnections) {
		reasons = append(reasons, "client connection limit reached")
	}
	if s.budget.High() {
		reasons = append(reasons, "the memory for content is used up")
	}
	return reasons
}
