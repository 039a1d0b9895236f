package oauth

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
)

// closeGrace is how long Close lets running refreshes finish: an aborted one
// may lose the refresh token that the endpoint has just rotated to.
const closeGrace = 3 * time.Second

// Manager owns the sources of all accounts and the workers that refresh them.
// All methods are safe for concurrent use.
type Manager struct {
	cfg       Config
	log       *zap.Logger
	flow      flow
	transport *transport // nil when flow brings its own
	metrics   *managerMetrics
	clients   clients
	started   time.Time

	sources  sync.Map                         // account ID -> *Source
	accounts atomic.Pointer[account.Snapshot] // nil before Retain

	ctx    context.Context // of running refreshes
	cancel context.CancelFunc

	seq     atomic.Uint64 // numbers tokens
	running atomic.Int64  // refreshes at the endpoint now

	quit       chan struct{} // closed by Close
	keepAliver sync.Once     // starts keepAlive

	setMu   sync.Mutex         // guards leaving, and what is in sources against lost replacements
	leaving map[string]*Source // of removed accounts, by ID; see Source.leave

	mu      sync.Mutex // guards the fields below
	closed  bool
	workers int
	queue   queue
	wg      sync.WaitGroup // workers and answers of Request
}

// New returns a manager. cfg must be valid. log may be nil; set takes the
// manager's metrics, so that one set serves one manager, and may be nil.
func New(cfg Config, log *zap.Logger, set *metrics.Set) *Manager {
	t := newTransport(cfg)
	m := newManager(cfg, &flows{rt: t, lifetime: cfg.DefaultLifetime}, log, set)
	m.transport = t
	if t.tlsErr != nil {
		m.log.Error("no token endpoint can be reached over https", zap.Error(t.tlsErr))
	}
	return m
}

func newManager(cfg Config, f flow, log *zap.Logger, set *metrics.Set) *Manager {
	if log == nil {
		log = zap.NewNop()
	}
	if set == nil {
		set = metrics.NewSet()
	}
	m := &Manager{cfg: cfg, flow: f, log: log, started: time.Now(), quit: make(chan struct{}), leaving: make(map[string]*Source)}
	m.clients = clients{cfg: &m.cfg, byKey: make(map[[sha256.Size]byte]*client)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.metrics = newManagerMetrics(m, set)
	return m
}

// Source returns the token source of a, making it on first use. Sources are
// kept by account ID: as long as the credentials are the same, an account of a
// later snapshot gets the same source, tokens and rotated refresh token
// included; with other credentials it gets a new one. Someone who still holds
// an account that was removed, or whose credentials have been replaced, gets a
// source that says ErrRemoved; for a removed one it has the last token for a
// while, so that messages under way are sent. It takes no lock when the source
// exists.
func (m *Manager) Source(a *account.Account) *Source {
	v, ok := m.sources.Load(a.ID)
	if ok {
		s := v.(*Source)
		if s.account.Load() == a {
			return s
		}
		if s.fingerprint == a.CredentialsFingerprint() {
			if m.isCurrent(a) {
				s.adopt(a)
			}
			return s
		}
	}
	return m.newSource(a)
}

// isCurrent reports whether a is the account of that ID now.
func (m *Manager) isCurrent(a *account.Account) bool {
	snap := m.accounts.Load()
	if snap == nil {
		return true
	}
	cur, _ := snap.ByID(a.ID)
	return cur == a
}

// newSource puts a source for a in the place of what was there.
func (m *Manager) newSource(a *account.Account) *Source {
	fingerprint := a.CredentialsFingerprint()
	var parent *Source
	if base := sharesToken(a); base != nil {
		parent = m.Source(base)
	}
	m.setMu.Lock()
	defer m.setMu.Unlock()
	var old *Source
	if v, ok := m.sources.Load(a.ID); ok {
		old = v.(*Source)
		if old.fingerprint == fingerprint { // somebody else was faster
			return old
		}
	}
	s := m.detached(a, parent)
	if snap := m.accounts.Load(); snap != nil {
		if cur, ok := snap.ByID(a.ID); !ok || cur.CredentialsFingerprint() != fingerprint {
			if left := m.leaving[a.ID]; left != nil && left.fingerprint == fingerprint {
				return left
			}
			s.retired = true // a is outdated: it must not come back, nor replace the current chain
			return s
		}
	}
	m.sources.Store(a.ID, s)
	if old != nil {
		old.retire()
	}
	return s
}

// detached returns a source for a that nobody finds.
func (m *Manager) detached(a *account.Account, parent *Source) *Source {
	s := &Source{m: m, id: a.ID, fingerprint: a.CredentialsFingerprint(), chain: ChainOf(a), client: clientKey(a), parent: parent}
	s.account.Store(a)
	return s
}

// Retain makes s the accounts that there are: it forgets the sources of others
// (the tokens after leaveGrace) and of those whose credentials changed, and gives those that were refused for
// good another chance. Call it at the start and, on reload, just before the
// snapshot is published. The first call starts to keep unused accounts alive.
func (m *Manager) Retain(s *account.Snapshot) {
	m.retain(s)
	m.clients.forgive(time.Now())
	m.keepAliver.Do(func() { m.spawn(m.keepAlive) })
}

func (m *Manager) retain(s *account.Snapshot) {
	m.setMu.Lock()
	defer m.setMu.Unlock()
	now := time.Now()
	m.accounts.Store(s)
	m.sources.Range(func(id, v any) bool {
		src := v.(*Source)
		a, ok := s.ByID(src.id)
		if ok && a.CredentialsFingerprint() == src.fingerprint {
			src.adopt(a)
			src.forgive(now)
			return true
		}
		m.sources.Delete(id)
		if ok {
			src.retire()
		} else {
			m.leaving[src.id] = src
			src.leave()
		}
		return true
	})
}

// Close ends background refreshes, answers what is queued with ErrClosed, lets
// running refreshes finish for a few seconds and waits for all goroutines. It
// may be called more than once.
func (m *Manager) Close() {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.quit)
	}
	m.mu.Unlock()
	m.sources.Range(func(_, v any) bool {
		v.(*Source).stopTimer()
		return true
	})
	m.setMu.Lock()
	for _, s := range m.leaving {
		s.stopTimer()
	}
	m.setMu.Unlock()
	grace := time.AfterFunc(closeGrace, m.cancel)
	m.wg.Wait()
	grace.Stop()
	m.cancel()
	if m.transport != nil {
		m.transport.close()
	}
}

// countCached is the number of accounts with a valid token.
func (m *Manager) countCached() (n int) {
	now := time.Now()
	m.sources.Range(func(_, v any) bool {
		if t := v.(*Source).token.Load(); t != nil && t.valid(now) {
			n++
		}
		return true
	})
	return n
}
