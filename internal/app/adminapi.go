package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/app/internal/succession"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/forecast"
	"xoauth2-proxy/internal/outlook"
	"xoauth2-proxy/internal/share/roster"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// adminAPI is what the admin API acts on. It implements admin.API.
type adminAPI struct {
	live     *reloader
	store    *account.Store
	tokens   *oauth.Manager
	relay    *upstream.Relay
	orders   *control.Orders
	verifier *upstream.Verifier
	outlook  *outlook.Parts
	nodes    roster.Source // nil: the proxy shares nothing
	turn     *succession.Turn
	level    zap.AtomicLevel

	version, revision string // of the program
}

// find returns the account in force with that address.
func (a *adminAPI) find(email string) (*account.Account, error) {
	snapshot := a.store.Load()
	if acct, ok := snapshot.ByLogin([]byte(email)); ok {
		return acct, nil
	}
	return byEmail(snapshot, email) // no login finds a catch-all account
}

// byEmail returns the account of accounts with that address.
func byEmail(accounts *account.Snapshot, email string) (*account.Account, error) {
	folded := account.FoldLogin(email)
	for _, acct := range accounts.All() {
		if account.FoldLogin(acct.Email) == folded {
			return acct, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", admin.ErrNotFound, email)
}

// timeOf leaves zero times out of answers.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

func holdOf(o control.Order) admin.Hold {
	return admin.Hold{State: o.State.String(), Since: timeOf(o.Since)}
}

// ordered has the state that each order leads to.
var ordered = map[admin.Order]control.State{
	admin.Pause: control.Paused, admin.Resume: control.Active, admin.Drain: control.Draining,
}

// Order implements admin.API.
func (a *adminAPI) Order(email string, order admin.Order) (*admin.Hold, error) {
	acct, err := a.find(email)
	if err != nil {
		return nil, err
	}
	id := acct.ID
	if base := acct.Base(); base != nil {
		id = base.ID // orders apply to accounts as configured
	}
	given := control.Given{ID: id, State: ordered[order], Release: order == admin.Resume, At: time.Now()}
	give := a.apply
	if share := a.orders.Share; share != nil {
		give = share.Give
	}
	err = give(given)
	hold := holdOf(a.orders.Of(id))
	hold.Untold = a.orders.IsUntold(id)
	a.live.log.Info("account ordered by the admin API", zap.String("account", id), zap.String("state", hold.State))
	switch {
	case errors.Is(err, control.ErrCrossed):
		return nil, fmt.Errorf("%w: the account is %s: %w", admin.ErrCrossed, hold.State, err)
	case err != nil:
		return nil, fmt.Errorf("the account is %s, but only until the proxy ends: %w", hold.State, err)
	}
	return &hold, nil
}

// apply puts an operator's order in force, with all that follows from it.
func (a *adminAPI) apply(g control.Given) error {
	_, err := a.orders.Set(g.ID, g.State, g.At)
	if g.State == control.Draining {
		a.relay.Drain(g.ID)
	}
	if g.Release { // an operator has acted
		a.relay.ReleaseHold(g.ID)
		a.tokens.Release(g.ID)
	}
	return err
}

// Info implements admin.API.
func (a *adminAPI) Info() admin.Info {
	settings := a.live.inForce()
	file := settings.AccountsFile
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	info := admin.Info{API: admin.APIVersion, Version: a.version, Revision: a.revision,
		PID: os.Getpid(), AccountsFile: file,
		SealKey: settings.Secrets.Key.ID()}
	if kept := a.live.kept; kept != nil {
		info.TokenStoreKey = kept.KeyID()
	}
	return info
}

// Forecast implements admin.API.
func (a *adminAPI) Forecast() forecast.Forecast { return a.outlook.Forecast(time.Now()) }

// Upgrade implements admin.API.
func (a *adminAPI) Upgrade(ctx context.Context, how admin.Upgrade) (*admin.Upgraded, error) {
	return a.turn.Upgrade(ctx, how)
}

// Reload implements admin.API.
func (a *adminAPI) Reload(acceptRemovals bool) (*admin.Reloaded, error) {
	done, err := a.live.reload("admin API", acceptRemovals || a.live.accept)
	if err != nil {
		return nil, err
	}
	out := &admin.Reloaded{
		TotalAccounts: done.total, Added: done.added, Changed: done.changed, Removed: done.removed,
		LogLevel: a.LogLevel(), RestartNeeded: done.restart,
	}
	if done.certificate != nil {
		out.CertificateError = done.certificate.Error()
	}
	return out, nil
}

// LogLevel implements admin.API.
func (a *adminAPI) LogLevel() string { return a.level.Level().String() }

// SetLogLevel implements admin.API.
func (a *adminAPI) SetLogLevel(level string) error {
	switch level {
	case "debug", "info", "warn", "error":
	default:
		return errors.New(`level must be "debug", "info", "warn" or "error"`)
	}
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return err
	}
	a.level.SetLevel(parsed)
	a.live.log.Warn("log level changed by the admin API", zap.String("level", level))
	return nil
}
