package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/handover"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/systemd"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// reloader changes accounts and settings while mail flows. All changes go
// through it, one at a time.
type reloader struct {
	load        Loader
	tokenStore  string             // its path, which takes a restart to change
	accept      bool               // reloads may remove most accounts
	cache       *accountfile.Cache // of load; nil: it has none
	level       zap.AtomicLevel    // of the log
	log         *zap.Logger
	store       *account.Store
	tokens      *oauth.Manager
	relay       *upstream.Relay
	server      *server.Server
	orders      *control.Orders
	kept        *handover.Tokens             // nil: tokens are in memory only
	keys        atomic.Pointer[seal.Keyring] // that open the token store
	setToken    func(string)                 // of the admin API; set before start
	accounting  *accounting.Log              // nil: there is none
	certificate *certificate                 // for clients; nil: there is none
	metrics     *reloadMetrics
	service     *systemd.Service
	warn        func(context.Context) // of what ends soon, until the context ends; set before start
	files       inputs                // the files of settings, accounts and secrets

	mu       sync.Mutex       // serializes changes; guards the fields below
	settings *config.Settings // in force
	stamps   []stamp          // of the files, taken before they were last read
	again    bool             // the watcher will read what is in force once more

	reopen  func() error // of Options
	signals *Signals
	own     bool // signals end with the reloader
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// newReloader returns a reloader for the settings of o, which are in force. From
// now on SIGHUP does not end the process.
func newReloader(o *Options) *reloader {
	r := &reloader{load: o.Load, accept: o.AcceptRemovals, cache: o.Cache, level: o.Level, settings: o.Settings,
		log:    o.Log.Named("reload"),
		reopen: o.Reopen, signals: o.Signals}
	r.tokenStore = o.Settings.OAuth.TokenStore
	r.keys.Store(o.Settings.Secrets.Key)
	r.stamps = r.files.stamps(o.Settings)
	for i := range r.stamps {
		if r.stamps[i].modified.After(o.Since.Add(-clockGrain)) { // it may have changed after it was read
			r.stamps[i] = stamp{path: r.stamps[i].path, size: -1}
			r.again = true
		}
	}
	if o.Cache != nil {
		o.Cache.Pause = new(pace).pause
	}
	if r.own = r.signals == nil; r.own {
		r.signals = CatchSignals()
	}
	return r
}

// causeFile is the cause of a reload after a file has changed.
const causeFile = "file"

// reloaded tells what a reload changed.
type reloaded struct {
	total, added, changed, removed int
	restart                        []string // settings that wait for a restart
	certificate                    error    // why a new certificate for clients is not in use
}

// result is what counts of a reload that put accounts in force.
func (d *reloaded) result(accounts *account.Snapshot) int {
	if len(accounts.LeftOut()) > 0 || len(d.restart) > 0 || d.certificate != nil {
		return reloadPartly
	}
	return reloadOK
}

// reload reads the files again and puts them in force as a whole, but for the settings
// that need a restart, and for accounts whose entries are wrong: they stay as they were.
// On an error nothing changes. Without acceptRemovals, a reload that removes most
// accounts is an error: see checkRemovals.
func (r *reloader) reload(cause string, acceptRemovals bool) (reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamps := r.files.stamps(r.settings)
	settings, accounts, report, err := r.load()
	if err == nil {
		before := r.store.Load()
		if accounts = accounts.Keeping(before); !acceptRemovals {
			err = checkRemovals(before, accounts)
		}
	}
	if err != nil {
		r.stamps = stamps // reading the same again would give the same error
		r.metrics.done(reloadFailed)
		r.log.Error("reload refused, nothing was changed", zap.String("cause", cause), zap.Strings("problems", strings.Split(err.Error(), "\n")))
		return reloaded{}, err
	}
	r.stamps = stamps
	changes := r.settings.Differing(settings)
	for _, line := range report.Lines() {
		r.log.Debug("configuration", zap.String("says", line))
	}
	done := r.publish(accounts)
	level := zapcore.InfoLevel
	if r.again && cause == causeFile && len(changes) == 0 && done.added+done.changed+done.removed == 0 {
		level = zapcore.DebugLevel // it was read once more to be sure
	} else {
		logLeftOut(r.log, accounts)
		logUnusableSources(r.log, accounts)
	}
	r.again = false
	r.adopt(settings)
	done.restart = r.settings.Differing(settings)
	done.certificate = r.certificate.reload()
	r.log.Log(level, "reloaded", zap.String("cause", cause), zap.Int("accounts", done.total), zap.Int("added", done.added),
		zap.Int("changed", done.changed), zap.Int("removed", done.removed))
	r.metrics.done(done.result(accounts))
	if len(done.restart) > 0 {
		r.log.Warn("some settings are changed in the file and take a restart", zap.Strings("settings", done.restart))
	}
	return done, nil
}

// edit changes the accounts file and puts the result in force, if a reload would
// take it.
func (r *reloader) edit(how accountfile.EditOptions, change func(*accountfile.List) error) (*account.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	how.Cache = r.cache
	accounts, err := accountfile.Edit(r.settings.Accounts(), how, func(l *accountfile.List) error {
		if err := r.checkLacking(l); err != nil {
			return err
		}
		return change(l)
	})
	if errors.Is(err, accountfile.ErrEntry) {
		err = fmt.Errorf("%w: %s", admin.ErrKeys, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if err != nil || how.DryRun {
		return accounts, err
	}
	accounts = accounts.Keeping(r.store.Load())
	done := r.publish(accounts)
	r.again = true
	r.log.Info("accounts changed by the admin API", zap.Int("accounts", done.total), zap.Int("added", done.added),
		zap.Int("changed", done.changed), zap.Int("removed", done.removed))
	return accounts, nil
}

// checkLacking refuses to change a file that lacks most of the accounts in force: a reload
// would refuse it.
func (r *reloader) checkLacking(l *accountfile.List) error {
	have := r.store.Load()
	lacking := countRemoved(have, l.HasID, l.Has)
	if !r.accept && isMost(lacking, have.Len()) {
		return fmt.Errorf("the file lacks %d of %d accounts that are in force, so they would be removed: %s", lacking, have.Len(), acceptHint)
	}
	return nil
}

// pace makes room for the loops beside a task that computes for long. A loop that
// returns from epoll_wait needs a P and a CPU. If all are in use, it gets them in a
// pause of the task, which works for a stint and rests for as long. A pace is for
// one task at a time.
type pace struct{ since time.Time }

// stint is too short to delay a client noticeably.
const stint = time.Millisecond

// pause rests if a stint has passed. The task calls it often; most calls do nothing.
func (p *pace) pause() {
	switch worked := time.Since(p.since); {
	case worked < stint:
		return
	case worked < time.Second: // otherwise it is the first call of another task
		time.Sleep(stint)
	}
	p.since = time.Now()
}

// inForce returns the settings in force. The caller must not change them.
func (r *reloader) inForce() *config.Settings {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settings
}

// publish puts the accounts of s in force. A session sees the old accounts or the
// new ones, and no token or connection of the old in place of the new. The sessions
// of a removed account end after their message.
func (r *reloader) publish(s *account.Snapshot) reloaded {
	before := r.store.Load()
	s = s.Reusing(before)
	done := compareAccounts(before, s)
	r.tokens.Retain(s)
	r.store.Swap(s)
	r.server.AccountsChanged()
	r.relay.Retain(s)
	if err := r.orders.Retain(func(id string) bool {
		_, ok := s.ByID(id)
		return ok || len(s.LeftOut()) > 0 // a wrong entry may be the account's
	}); err != nil {
		r.log.Error("the orders for removed accounts are not forgotten for good", zap.Error(err))
	}
	if r.settings.Upstream.PrewarmConnections > 0 {
		r.relay.Prewarm(unheld(s, r.orders), r.server.Loops())
	}
	return done
}

// adopt puts the settings in force that need no restart. The level of the log stays
// as an operator set it by the admin API, unless the file gives another one than
// before.
func (r *reloader) adopt(s *config.Settings) {
	if s.Log.Level != r.settings.Log.Level {
		if level, err := zapcore.ParseLevel(s.Log.Level); err == nil { // it was checked
			r.level.SetLevel(level)
		}
	}
	if r.setToken != nil {
		r.setToken(s.Admin.Token.Reveal())
	}
	r.keys.Store(s.Secrets.Key)
	if r.kept != nil {
		if err := r.kept.Rekey(s.Secrets.Key); err != nil {
			r.log.Error("the token store cannot be sealed with the new key: it keeps the old one", zap.Error(err))
		}
	}
	r.relay.SetIPv6(s.Upstream.IPv6)
	r.relay.Tenants().Put(s.Upstream.Tenants)
	running := *r.settings
	for _, field := range reloadable {
		field(&running, s)
	}
	r.settings = &running
}

// openTokens opens the token store with the keys that are in force. It takes no lock.
func (r *reloader) openTokens() (*tokenstore.Store, error) {
	return openTokenStore(r.tokenStore, r.keys.Load())
}

// compareAccounts counts the differences. An account that did not change is the same
// object in both: see account.Snapshot.Reusing.
func compareAccounts(before, after *account.Snapshot) reloaded {
	done := reloaded{total: after.Len()}
	if before == after {
		return done
	}
	stay := 0
	for _, a := range after.All() {
		old, ok := before.ByID(a.ID)
		switch {
		case !ok:
			done.added++
			continue
		case old != a:
			done.changed++
		}
		stay++
	}
	done.removed = before.Len() - stay
	return done
}
