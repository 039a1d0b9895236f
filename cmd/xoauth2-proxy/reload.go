package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// origin is where settings and accounts come from, at the start and on reload.
type origin struct {
	// load reads the files and applies the command line.
	load func() (*config.Settings, *account.Snapshot, *keyfile.Report, error)
	// memory is what load remembers of the accounts; nil: it does not.
	memory *accountfile.Cache
	// level is that of the logger.
	level zap.AtomicLevel
	// since is when the files were begun to be read the first time.
	since time.Time
}

// reloader changes accounts and settings while mail flows. All changes go
// through it, one at a time.
type reloader struct {
	origin
	log      *zap.Logger
	store    *account.Store
	tokens   *oauth.Manager
	relay    *upstream.Relay
	server   *server.Server
	orders   *control.Orders
	setToken func(string) // of the admin API; set before start
	files    inputs       // what was and is to be read

	mu       sync.Mutex       // serializes changes; guards the fields below
	settings *config.Settings // in force
	stamps   []stamp          // of the files before they were read last

	hup    chan os.Signal
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// newReloader returns a reloader for settings that are in force. SIGHUP no
// longer ends the process from now on.
func newReloader(from origin, settings *config.Settings, log *zap.Logger) *reloader {
	r := &reloader{origin: from, settings: settings, log: log, hup: make(chan os.Signal, 1)}
	r.stamps = r.files.stamps(settings)
	for i := range r.stamps {
		if r.stamps[i].modified.After(from.since.Add(-clockGrain)) { // maybe after it was read
			r.stamps[i] = stamp{path: r.stamps[i].path, size: -1}
		}
	}
	if from.memory != nil {
		from.memory.Pause = new(pace).pause
	}
	signal.Notify(r.hup, syscall.SIGHUP)
	return r
}

// start has SIGHUP and changes of the files cause reloads, until close.
func (r *reloader) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.hup:
				_, _ = r.reload("SIGHUP") // it logs what comes of it
			}
		}
	})
	r.wg.Go(func() { r.watch(ctx) })
}

// close ends what start began, and waits for a reload that is running.
func (r *reloader) close() {
	signal.Stop(r.hup)
	if r.cancel != nil {
		r.cancel()
	}
	r.wg.Wait()
}

// reloaded is what a reload changed.
type reloaded struct {
	total, added, changed, removed int
	restart                        []string // settings that wait for a restart
}

// reload reads the files again and puts them in force as a whole, but for the
// settings that need a restart. On an error nothing has changed.
func (r *reloader) reload(cause string) (reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamps := r.files.stamps(r.settings)
	settings, accounts, report, err := r.load()
	if err != nil {
		r.stamps = stamps // it is no better a second time
		r.log.Error("reload refused, nothing was changed", zap.String("cause", cause), zap.Strings("problems", strings.Split(err.Error(), "\n")))
		return reloaded{}, err
	}
	r.stamps = stamps
	for _, line := range report.Lines() {
		r.log.Debug("configuration", zap.String("says", line))
	}
	done := r.publish(accounts)
	r.adopt(settings)
	done.restart = r.settings.Differing(settings)
	r.log.Info("reloaded", zap.String("cause", cause), zap.Int("accounts", done.total), zap.Int("added", done.added),
		zap.Int("changed", done.changed), zap.Int("removed", done.removed))
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
	how.Check = func(s *account.Snapshot) error {
		if err := checkKeys(r.settings.AccountsFile, s); err != nil {
			return fmt.Errorf("%w: %s", admin.ErrKeys, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		return nil
	}
	how.Cache = r.memory
	accounts, err := accountfile.Edit(r.settings.Accounts(), how, change)
	if err != nil || how.DryRun {
		return accounts, err
	}
	done := r.publish(accounts)
	r.log.Info("accounts changed by the admin API", zap.Int("accounts", done.total), zap.Int("added", done.added),
		zap.Int("changed", done.changed), zap.Int("removed", done.removed))
	return accounts, nil
}

// pace keeps a task that computes for long from being in the way of the loops. A
// loop that comes back from waiting for its sockets wants a P and a CPU, and where
// there is none to spare it gets them in a pause of this task: it works for a
// stint and rests for as long. It is for one task at a time.
type pace struct{ since time.Time }

// stint is shorter than anybody notices.
const stint = time.Millisecond

// pause is to be called often; most calls do nothing.
func (p *pace) pause() {
	switch worked := time.Since(p.since); {
	case worked < stint:
		return
	case worked < time.Second: // else it is another task's first
		time.Sleep(stint)
	}
	p.since = time.Now()
}

// inForce returns the settings in force, which are for reading only.
func (r *reloader) inForce() *config.Settings {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settings
}

// publish makes s the accounts that there are. A session sees the old ones or
// the new ones, and no token or connection of the old in the place of the new;
// that of a removed account ends behind its message.
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
		return ok
	}); err != nil {
		r.log.Error("the orders for removed accounts are not forgotten for good", zap.Error(err))
	}
	if r.settings.Upstream.PrewarmConnections > 0 {
		r.relay.Prewarm(unheld(s, r.orders), r.server.Loops())
	}
	return done
}

// adopt puts those settings in force that can be. The level stays as an
// operator set it by the admin API, unless the file says another one than
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
	r.relay.SetIPv6(s.Upstream.IPv6)
	running := *r.settings
	for _, field := range reloadable {
		field(&running, s)
	}
	r.settings = &running
}

// compareAccounts counts what differs. What is the same in both is the same
// account: see account.Snapshot.Reusing.
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

// newLeveledLogger is newLogger with a level that can be changed.
func newLeveledLogger(cfg config.Log, level *zap.AtomicLevel) (log *zap.Logger, closeLog func(), err error) {
	if *level, err = zap.ParseAtomicLevel(cfg.Level); err != nil {
		return nil, nil, err
	}
	cfg.Level = zapcore.DebugLevel.String()
	if log, closeLog, err = newLogger(cfg); err != nil {
		return nil, nil, err
	}
	return log.WithOptions(zap.IncreaseLevel(*level)), closeLog, nil
}
