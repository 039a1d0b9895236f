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
	"xoauth2-proxy/oauth/internal/circuit"
	"xoauth2-proxy/oauth/internal/counters"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/pending"
	"xoauth2-proxy/oauth/internal/workers"
)

// closeGrace is how long Close lets running refreshes finish: an aborted one may
// lose the refresh token that the endpoint has just rotated to.
const closeGrace = 3 * time.Second

// Manager owns the sources of all accounts and the workers that refresh them.
// All methods are safe for concurrent use.
type Manager struct {
	cfg     Config
	log     *zap.Logger
	flow    fetcher
	flows   *flow.Flows // what Close closes; nil in tests
	metrics *counters.Counters
	clients *circuit.Clients
	odd     sync.Map // oddAnswer -> nil: what warnOdd has logged
	started time.Time

	pending *pending.Store[Chain, Record] // in cfg.Store; nil without one

	sources  sync.Map                         // account ID -> *Source
	accounts atomic.Pointer[account.Snapshot] // nil before Retain

	ctx    context.Context // of running refreshes
	cancel context.CancelFunc

	seq     atomic.Uint64 // numbers tokens
	running atomic.Int64  // refreshes at the endpoint now

	quit       chan struct{} // closed by Close
	keepAliver sync.Once     // starts keepAlive

	retaining sync.Mutex // one Retain at a time; held for long, so never locked by a caller of Source

	setMu     sync.Mutex         // guards leaving, mailboxes, saving and replacements in sources; never held for long
	leaving   map[string]*Source // of removed accounts, by ID; see Source.leave
	mailboxes map[string]int     // how many sources of mailboxes there are, by ID of the catch-all account
	saving    bool               // savePending runs

	workers workers.Workers
}

// oddAnswer is what is odd in the answers to a client.
type oddAnswer struct {
	client [sha256.Size]byte
	fields string // with spaces between
}

// A fetcher gets access tokens. It must obey ctx and must not keep the grant. Its
// errors hold no secret; with one comes the refresh token that the answer had all
// the same.
type fetcher interface {
	Fetch(ctx context.Context, g flow.Grant) (flow.Issued, *Error)
}

// New returns a manager. cfg must be valid. log may be nil; set takes the
// manager's metrics, so that one set serves one manager, and may be nil.
func New(cfg Config, log *zap.Logger, set *metrics.Set) *Manager {
	f := cfg.Flows()
	m := newManager(cfg, f, log, set)
	m.flows = f
	if err := f.TLSError(); err != nil {
		m.log.Error("no token endpoint can be reached over https", zap.Error(err))
	}
	return m
}

func newManager(cfg Config, f fetcher, log *zap.Logger, set *metrics.Set) *Manager {
	if log == nil {
		log = zap.NewNop()
	}
	if set == nil {
		set = metrics.NewSet()
	}
	var unsaved *pending.Store[Chain, Record]
	if cfg.Store != nil {
		below := watchedStore{cfg.Store, cfg.Watch}
		unsaved = pending.New(below, func(c Chain) string { return c.AccountID })
		cfg.Store = keptStore{unsaved, below}
	}
	m := &Manager{cfg: cfg, pending: unsaved, flow: f, log: log, started: time.Now(), quit: make(chan struct{}),
		leaving: make(map[string]*Source), mailboxes: make(map[string]int)}
	m.workers.Most = cfg.MaxParallel
	m.clients = circuit.New(cfg.backoff)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.metrics = counters.New(set)
	counters.Gauges(set, counters.Readings{Cached: m.countCached, Unsaved: m.pending.Len, Mailboxes: m.countMailboxes,
		ClientsRefused: m.clients.CountRefused, Queued: m.workers.Depth,
		Running: func() int { return int(m.running.Load()) },
	})
	return m
}

// Source returns the token source of a, made at its first use. Sources are kept by
// account ID. An account of a later snapshot with the same credentials gets the
// same source, with its tokens; with other credentials it gets a new one.
//
// A caller that still has an account which was removed, or whose credentials have
// been replaced, gets a source whose errors are of ClassRemoved. The source of a
// removed account has the last token for a while, so that messages under way are
// sent.
//
// Source takes no lock when the source exists, and none that is held for long when
// it does not.
func (m *Manager) Source(a *account.Account) *Source {
	if s := m.existing(a); s != nil {
		return s
	}
	s, _ := m.newSource(a, 0)
	return s
}

// SourceForLogin is Source for an account that a client logs in to. The error is
// an *Error of ClassMailboxes if a is a mailbox of a catch-all account that has as
// many sources as Config.MaxMailboxes allows, and none for a. Messages of clients
// that are logged in go by Source, which has no such bound.
func (m *Manager) SourceForLogin(a *account.Account) (*Source, error) {
	if s := m.existing(a); s != nil {
		return s, nil
	}
	s, err := m.newSource(a, m.cfg.MaxMailboxes)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// existing returns the source of a, nil if there is none with a's credentials.
func (m *Manager) existing(a *account.Account) *Source {
	v, ok := m.sources.Load(a.ID)
	if !ok {
		return nil
	}
	s := v.(*Source)
	switch {
	case s.account.Load() == a:
	case s.fingerprint != a.CredentialsFingerprint():
		return nil
	case m.isCurrent(a):
		s.update(a)
	}
	if s.base != "" && !s.claim() {
		return nil
	}
	return s
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

// newSource puts a new source for a in the place of an older one. most bounds the
// mailboxes of one catch-all account that have sources; 0: no bound.
func (m *Manager) newSource(a *account.Account, most int) (*Source, *Error) {
	fingerprint := a.CredentialsFingerprint()
	var parent *Source
	if base := sharesToken(a); base != nil {
		parent = m.Source(base)
	}
	s := m.detached(a, parent)
	m.setMu.Lock()
	defer m.setMu.Unlock()
	var old *Source
	if v, ok := m.sources.Load(a.ID); ok {
		old = v.(*Source)
		if old.fingerprint == fingerprint { // another caller was faster
			return old, nil
		}
	}
	if snap := m.accounts.Load(); snap != nil {
		if cur, ok := snap.ByID(a.ID); !ok || cur.CredentialsFingerprint() != fingerprint {
			if left := m.leaving[a.ID]; left != nil && left.fingerprint == fingerprint {
				return left, nil
			}
			s.retired = true // a is outdated: it must not replace the current chain
			return s, nil
		}
	}
	if most > 0 && old == nil && s.base != "" && m.mailboxes[s.base] >= most {
		return nil, errMailboxes
	}
	if old != nil {
		m.remove(old)
		old.retire()
	}
	m.sources.Store(a.ID, s)
	m.count(s, 1)
	return s, nil
}

// detached returns a source for a that is not in the set.
func (m *Manager) detached(a *account.Account, parent *Source) *Source {
	s := &Source{m: m, id: a.ID, fingerprint: a.CredentialsFingerprint(), chain: ChainOf(a),
		client: circuit.Key(a), parent: parent}
	s.account.Store(a)
	if base := a.Base(); base != nil {
		s.base = base.ID
		s.use(time.Now())
	}
	return s
}

// remove deletes s from the sources and reports whether it was there. Called with
// setMu.
func (m *Manager) remove(s *Source) bool {
	if !m.sources.CompareAndDelete(s.id, s) {
		return false
	}
	m.count(s, -1)
	return true
}

// count adds n to the sources of the catch-all account of s. Called with setMu.
func (m *Manager) count(s *Source, n int) {
	if s.base == "" {
		return
	}
	if m.mailboxes[s.base] += n; m.mailboxes[s.base] == 0 {
		delete(m.mailboxes, s.base)
	}
}

// Retain makes s the set of accounts. It ends the sources of other accounts (their
// tokens after leaveGrace) and of accounts whose credentials changed, and forgets
// permanent refusals that are older than circuit.RefusalRest. Call it at the start and, on
// reload, just before the snapshot is published. The first call starts keep-alive,
// and the removal of unused mailboxes of catch-all accounts. No caller of a source
// waits for Retain.
func (m *Manager) Retain(s *account.Snapshot) {
	m.retain(s)
	m.clients.Forgive(time.Now())
	m.keepAliver.Do(func() {
		m.workers.Spawn(m.keepAlive)
		m.workers.Spawn(m.compareAll)
		m.workers.Spawn(m.forgetMailboxes)
	})
}

func (m *Manager) retain(s *account.Snapshot) {
	m.retaining.Lock()
	defer m.retaining.Unlock()
	m.setMu.Lock() // a source added before is seen below, a later one is of s
	m.accounts.Store(s)
	m.setMu.Unlock()
	now := time.Now()
	m.sources.Range(func(_, v any) bool {
		src := v.(*Source)
		a, ok := s.ByID(src.id)
		if ok && a.CredentialsFingerprint() == src.fingerprint {
			src.update(a)
			src.forgive(now)
		} else {
			m.end(src, ok)
		}
		return true
	})
}

// end removes a source: its account has other credentials now (changed), or was
// removed.
func (m *Manager) end(s *Source, changed bool) {
	m.setMu.Lock()
	defer m.setMu.Unlock()
	switch {
	case !m.remove(s): // replaced meanwhile
	case changed:
		s.retire()
	default:
		m.leaving[s.id] = s
		s.leave()
	}
}

// Close ends background refreshes, answers queued calls with ClassClosed, lets
// running refreshes finish for closeGrace and waits for all goroutines. It may be
// called more than once.
func (m *Manager) Close() {
	if m.workers.Close() {
		close(m.quit)
	}
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
	m.workers.Wait()
	grace.Stop()
	m.cancel()
	m.saveAtEnd()
	if m.flows != nil {
		m.flows.Close()
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

// countMailboxes is the number of sources of mailboxes of catch-all accounts.
func (m *Manager) countMailboxes() (n int) {
	m.setMu.Lock()
	defer m.setMu.Unlock()
	for _, of := range m.mailboxes {
		n += of
	}
	return n
}
