package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/watchdog"
)

// Server accepts clients and runs their sessions.
type Server struct {
	cfg      Config
	accounts *account.Store
	tokens   Tokens
	relay    Relay
	budget   *codec.Budget
	log      *zap.Logger
	metrics  *serverMetrics
	helo     codec.Reply
	greeting []byte

	engine     *gnet.Client
	loops      []*loop
	listeners  []*listener
	handshakes handshakes
	passwords  *password.Checker
	failures   *password.Failures
	shared     password.Secret
	learned    atomic.Pointer[account.Snapshot] // what passwords and the offers know
	news       chan struct{}                    // there is more to learn
	stopTicks  chan struct{}
	accepting  sync.WaitGroup // listeners whose socket is open
	running    sync.WaitGroup // the ticking and the learning goroutine

	started  time.Time // what loops count from
	nextID   atomic.Uint64
	active   atomic.Int64 // sessions, from accept to close
	draining atomic.Bool
	empty    chan struct{}
}

// New makes a server that is not listening yet. Its figures go into set.
func New(cfg Config, accounts *account.Store, tokens Tokens, relay Relay, log *zap.Logger, set *metrics.Set) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, accounts: accounts, tokens: tokens, relay: relay, log: log,
		budget:    codec.NewBudget(cfg.ContentBudget),
		started:   time.Now(),
		news:      make(chan struct{}, 1),
		stopTicks: make(chan struct{}),
		empty:     make(chan struct{}, 1),
	}
	if !cfg.SharedPassword.IsZero() {
		var err error
		if s.shared, err = password.Parse(cfg.SharedPassword.Reveal()); err != nil {
			return nil, fmt.Errorf("server: shared password: %w", err)
		}
	}
	s.handshakes.limit = maxHandshakes
	s.failures = password.NewFailures(cfg.Failures, time.Now())
	s.metrics = newMetrics(set, s)
	s.greeting = codec.Reply{Code: 220, Text: cfg.Hostname + " ESMTP service ready"}.AppendTo(nil)
	s.helo = codec.Reply{Code: 250, Text: cfg.Hostname}
	return s, nil
}

// Start starts the loops and then the listeners. On an error nothing is left
// running.
func (s *Server) Start() error {
	if err := s.listen(); err != nil {
		return err
	}
	if err := s.startLoops(); err != nil {
		s.closeListeners()
		return err
	}
	s.passwords = password.New(s.cfg.Checks, s.checkPanicked)
	accounts := s.accounts.Load()
	s.learned.Store(accounts)
	s.prepare(accounts)
	s.running.Add(2)
	go s.tickLoops()
	go s.keepLearning()
	for _, l := range s.listeners {
		s.accept(l)
	}
	return nil
}

// accept has all loops accept from l.
func (s *Server) accept(l *listener) {
	s.accepting.Add(1)
	l.loops.Store(int32(len(s.loops)))
	s.postAll(message{kind: msgListen, listener: l})
}

// Addrs are the addresses listened on, in the order of Config.Listeners.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.socket.address()
	}
	return addrs
}

// Active is the number of open sessions.
func (s *Server) Active() int64 { return s.active.Load() }

// NotReady says why new mail would not be taken; nil if it would.
func (s *Server) NotReady() (reasons []string) {
	if s.draining.Load() {
		reasons = append(reasons, "draining")
	}
	if s.accounts.Load().Len() == 0 {
		reasons = append(reasons, "there are no accounts")
	}
	if s.active.Load() >= int64(s.cfg.MaxConnections) {
		reasons = append(reasons, "as many clients as there may be")
	}
	if s.budgetHigh(0) {
		reasons = append(reasons, "the memory for content is used up")
	}
	return reasons
}

// budgetHigh reports whether n more octets of content are above the mark from
// which no new transaction is begun. What is running may use the rest.
func (s *Server) budgetHigh(n int64) bool {
	return s.budget.Used()+n > s.budget.Limit()/10*8
}

func (s *Server) startLoops() error {
	n := s.cfg.Loops
	if n == 0 {
		n = runtime.NumCPU()
	}
	cpus, err := pinnedCPUs(s.cfg.Pin, n)
	if err != nil {
		return err
	}
	s.engine, err = gnet.NewClient(&events{srv: s},
		gnet.WithNumEventLoop(n),
		gnet.WithLockOSThread(cpus != nil),
		gnet.WithLogger(s.log.Named("gnet").WithOptions(zap.IncreaseLevel(zap.WarnLevel)).Sugar()),
		gnet.WithLogLevel(logging.WarnLevel))
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	if err := s.engine.Start(); err != nil {
		return fmt.Errorf("server: starting the loops: %w", err)
	}
	if s.loops, err = s.findLoops(n); err != nil {
		return errors.Join(err, s.engine.Stop())
	}
	for i, l := range s.loops {
		l.part = s.cfg.Watch.Add(watchdog.Task{Kind: watchdog.Loop, Number: i, Func: "server.(*loop).Run", On: l})
		if cpus != nil {
			if err := pin(l, cpus[i%len(cpus)]); err != nil {
				return errors.Join(err, s.engine.Stop())
			}
		}
	}
	return nil
}

// findLoops learns which loops the engine has: gnet offers no list, but it
// places a connection on the loop that has the fewest, so n of them reach all.
func (s *Server) findLoops(n int) ([]*loop, error) {
	var loops []*loop
	for range n {
		ours, theirs, err := socketPair()
		if err != nil {
			return nil, fmt.Errorf("server: finding the loops: %w", err)
		}
		defer theirs.Close()
		c, err := s.engine.EnrollContext(ours, nil)
		if err != nil {
			return nil, fmt.Errorf("server: finding the loops: %w", err)
		}
		defer c.Close()
		poller, err := pollerOf(c)
		if err != nil {
			return nil, err
		}
		loops = append(loops, &loop{srv: s, events: c.EventLoop(), poller: poller, sessions: make(map[*session]struct{}), plain: make([]byte, plainScratch), input: make([]byte, inputScratch)})
	}
	return loops, nil
}

// loopOf finds our side of an event loop. There are only a few.
func (s *Server) loopOf(el gnet.EventLoop) *loop {
	for _, l := range s.loops {
		if l.events == el {
			return l
		}
	}
	panic("server: connection on an unknown loop")
}

// tickLoops drives the wheels.
func (s *Server) tickLoops() {
	defer s.running.Done()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-s.stopTicks:
			return
		case now := <-t.C:
			for _, l := range s.loops {
				if !l.part.Stuck() { // else its mailbox would grow for ever
					l.part.Begin()
					l.post(message{kind: msgTick, at: now})
				}
			}
		}
	}
}

// Shutdown stops accepting, ends idle sessions with 421, lets running
// transactions finish until ctx ends, and then closes what is left. The relay
// must still be running. It returns the number of sessions that it cut off. The
// loops run on, for the relay's connections, until Stop. A second call does
// nothing.
func (s *Server) Shutdown(ctx context.Context) (cut int64) {
	if s.draining.Swap(true) {
		return 0
	}
	s.postAll(message{kind: msgDrain})
	s.accepting.Wait() // then all sessions that there will be are counted
	for s.active.Load() > 0 && cut == 0 {
		select {
		case <-s.empty:
		case <-ctx.Done():
			if cut = s.active.Load(); cut > 0 {
				s.postAll(message{kind: msgKill})
			}
		}
	}
	for s.active.Load() > 0 {
		<-s.empty
	}
	close(s.stopTicks)
	s.running.Wait()
	s.handshakes.wg.Wait()
	s.passwords.Close()
	return cut
}

// Stop ends the loops, when Shutdown has returned and the relay is closed.
func (s *Server) Stop() {
	for _, l := range s.loops {
		l.close()
		l.part.Remove()
	}
	if err := s.engine.Stop(); err != nil {
		s.log.Warn("stopping the loops", zap.Error(err))
	}
	for _, l := range s.loops {
		l.discard()
	}
}

func (s *Server) postAll(m message) {
	for _, l := range s.loops {
		l.post(m)
	}
}
