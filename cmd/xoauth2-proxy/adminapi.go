package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
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
	level    zap.AtomicLevel
}

// serveAPI makes the reloader and the admin API act on the parts of the proxy.
func (p *proxy) serveAPI(settings *config.Settings, store *account.Store) error {
	verifier, err := upstream.NewVerifier(settings.Upstream.Config, p.tokens)
	if err != nil {
		return err
	}
	if err := p.keepOrders(settings); err != nil {
		return err
	}
	p.live.store, p.live.tokens, p.live.relay, p.live.server, p.live.orders = store, p.tokens, p.relay, p.server, p.orders
	p.live.setToken = p.admin.SetToken
	p.admin.SetToken(settings.Admin.Token.Reveal())
	p.admin.HandleAPI(&adminAPI{
		live: p.live, store: store, tokens: p.tokens, relay: p.relay, orders: p.orders,
		verifier: verifier, level: p.live.level,
	})
	return nil
}

// Accounts implements admin.API.
func (a *adminAPI) Accounts() []admin.Account {
	all := a.store.Load().All()
	out := make([]admin.Account, len(all))
	for i, acct := range all {
		out[i] = publicAccount(acct)
	}
	return out
}

// publicAccount is an account without its secrets.
func publicAccount(a *account.Account) admin.Account {
	p := admin.Account{
		AccountID: a.ID, Email: a.Email, VMTAName: a.VMTA, Provider: a.Provider,
		OAuthEndpoint: a.SMTP.String(), OAuthTokenURL: a.TokenURL,
	}
	if a.SourceIP.IsValid() {
		p.IPAddress = a.SourceIP.String()
	}
	return p
}

// entryOf is a new account as it is to stand in the file. What the request does
// not give is left to the presets, or to what the file has already.
func entryOf(n *admin.NewAccount) *accountfile.Entry {
	e := new(accountfile.Entry)
	for _, f := range []struct{ key, value string }{
		{"account_id", n.AccountID}, {"email", n.Email}, {"ip_address", n.IPAddress}, {"vmta_name", n.VMTAName},
		{"provider", strings.ToLower(n.Provider)}, {"oauth_endpoint", n.OAuthEndpoint}, {"oauth_token_url", n.OAuthTokenURL},
		{"client_id", n.ClientID}, {"client_secret", n.ClientSecret}, {"refresh_token", n.RefreshToken},
	} {
		e.Set(f.key, f.value)
	}
	return e
}

// Check implements admin.API.
func (a *adminAPI) Check(n *admin.NewAccount) error {
	e := entryOf(n)
	if err := checkNoReferences(e); err != nil {
		return err
	}
	_, err := accountfile.ReadEntry(a.live.inForce().Accounts(), e)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

// Save implements admin.API. If there is a key, the new secrets are sealed.
func (a *adminAPI) Save(list []*admin.NewAccount, dryRun bool) (int, error) {
	accounts, err := a.put(list, accountfile.EditOptions{DryRun: dryRun, Rehearse: dryRun})
	if err != nil || dryRun {
		err = a.rescue(list, err)
	}
	if err != nil {
		return 0, err
	}
	return accounts.Len(), nil
}

// put puts accounts into the file and in force.
func (a *adminAPI) put(list []*admin.NewAccount, how accountfile.EditOptions) (*account.Snapshot, error) {
	if err := a.checkIDs(list); err != nil {
		return nil, err
	}
	return a.live.edit(how, func(l *accountfile.List) error {
		settings := a.live.settings // edit has the lock
		for _, n := range list {
			if !n.Overwrite && l.Has(n.Email) {
				return fmt.Errorf("%w: %s", admin.ErrExists, n.Email)
			}
			e := entryOf(n)
			if err := a.checkRedirection(settings, l, e); err != nil {
				return err
			}
			if err := e.Seal(settings.Secrets.Key); err != nil {
				return fmt.Errorf("%s: %w", n.Email, err)
			}
			l.Put(e)
		}
		return nil
	})
}

// checkIDs finds account_ids that other accounts have.
func (a *adminAPI) checkIDs(list []*admin.NewAccount) error {
	settings, have := a.live.inForce(), a.store.Load()
	for _, n := range list {
		acct, err := accountfile.ReadEntry(settings.Accounts(), entryOf(n))
		if err != nil {
			return err
		}
		email := account.FoldLogin(n.Email)
		other, taken := have.ByID(acct.ID)
		if !taken || account.FoldLogin(other.Email) == email {
			continue
		}
		there := slices.ContainsFunc(have.All(), func(a *account.Account) bool { return account.FoldLogin(a.Email) == email })
		if n.AccountID != "" || !there { // else it keeps the one that it has
			return fmt.Errorf("%w: account_id %q is that of %s", admin.ErrExists, acct.ID, other.Email)
		}
	}
	return nil
}

// Remove implements admin.API.
func (a *adminAPI) Remove(emails []string, all, dryRun bool) (int, error) {
	accounts, err := a.live.edit(accountfile.EditOptions{DryRun: dryRun, Rehearse: dryRun}, func(l *accountfile.List) error {
		if all {
			l.Clear()
			return nil
		}
		for _, email := range emails {
			if err := l.RemoveEmail(email); err != nil {
				return fmt.Errorf("%w: %s", admin.ErrNotFound, email)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return accounts.Len(), nil
}

// find returns the account in force with that address.
func (a *adminAPI) find(email string) (*account.Account, error) {
	folded := account.FoldLogin(email)
	snapshot := a.store.Load()
	if acct, ok := snapshot.ByLogin([]byte(email)); ok {
		return acct, nil
	}
	for _, acct := range snapshot.All() { // a catch-all account: no login finds it
		if account.FoldLogin(acct.Email) == folded {
			return acct, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", admin.ErrNotFound, email)
}

// State implements admin.API.
func (a *adminAPI) State(email string) (*admin.State, error) {
	acct, err := a.find(email)
	if err != nil {
		return nil, err
	}
	order := a.orders.Of(acct.ID)
	st := &admin.State{Account: publicAccount(acct), Flow: string(acct.TokenFlow()), Hold: holdOf(order)}
	if err := a.fillConnections(acct, st); err != nil {
		return nil, err
	}
	tokens, ok := a.tokens.State(acct.ID)
	if !ok {
		return st, nil
	}
	st.Token = admin.Token{
		Valid: tokens.HasToken, IssuedAt: timeOf(tokens.Issued), ExpiresAt: timeOf(tokens.Expiry),
		NextRefresh: timeOf(tokens.NextRefresh), RotatedAt: timeOf(tokens.LastRotation),
	}
	if !tokens.Issued.IsZero() {
		st.Token.AgeSeconds = max(0, int64(time.Since(tokens.Issued)/time.Second)) // the clock may have been set back
	}
	if tokens.LastError != nil { // without a token there is no login to fail
		st.LastError = lastError("token", explain(tokens.LastError), tokens.NextRefresh)
	}
	return st, nil
}

// fillConnections adds what the relay knows.
func (a *adminAPI) fillConnections(acct *account.Account, st *admin.State) error {
	s, err := a.relay.State(acct.ID)
	if err != nil {
		return fmt.Errorf("%w (%v)", admin.ErrUnavailable, err)
	}
	st.Connections = admin.Connections{
		Dialing: s.Dialing, Active: s.Busy, Parked: s.Parked, Closing: s.Closing,
		Limit: acct.Limits.MaxConnections, Waiting: s.Waiting,
	}
	st.Limits = []admin.Limit{}
	standing, err := a.relay.Standing(acct.ID)
	if err != nil {
		return fmt.Errorf("%w (%v)", admin.ErrUnavailable, err)
	}
	if standing != nil {
		for _, u := range standing.Uses {
			st.Limits = append(st.Limits, admin.Limit{Name: u.Limit, Used: u.Used, Max: u.Max})
		}
		if state := standing.Stopped; state != "" || standing.Connections > 0 {
			if state == "" {
				state = "throttled"
			}
			st.Restraint = &admin.Restraint{
				State: state, Until: timeOf(standing.Until), Reason: standing.Reason, Connections: standing.Connections,
				NextProbe: timeOf(standing.NextProbe),
			}
		}
	}
	if s.LastError != nil {
		st.LastError = lastError("login", explain(s.LastError), s.RetryAt)
	}
	return nil
}

func lastError(at string, f failure, retry time.Time) *admin.LastError {
	return &admin.LastError{At: at, Class: f.Class, Message: f.Message, Hint: f.Hint, Permanent: f.Permanent, RetryAt: timeOf(retry)}
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

// ordered is the state that each order leads to.
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
		id = base.ID // orders are for accounts as configured
	}
	set, err := a.orders.Set(id, ordered[order], time.Now())
	hold := holdOf(set)
	switch order {
	case admin.Drain:
		a.relay.Drain(id)
	case admin.Resume:
		a.relay.ReleaseHold(id) // an operator has acted
		a.tokens.Release(id)
	}
	a.live.log.Info("account ordered by the admin API", zap.String("account", id), zap.String("state", hold.State))
	if err != nil {
		return nil, fmt.Errorf("the account is %s, but only until the proxy ends: %w", hold.State, err)
	}
	return &hold, nil
}

// Info implements admin.API.
func (a *adminAPI) Info() admin.Info {
	file := a.live.inForce().AccountsFile
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	return admin.Info{API: admin.APIVersion, Version: version, Revision: revision(), PID: os.Getpid(), AccountsFile: file}
}

// Reload implements admin.API.
func (a *adminAPI) Reload() (*admin.Reloaded, error) {
	done, err := a.live.reload("admin API")
	if err != nil {
		return nil, err
	}
	return &admin.Reloaded{
		TotalAccounts: done.total, Added: done.added, Changed: done.changed, Removed: done.removed,
		LogLevel: a.LogLevel(), RestartNeeded: done.restart,
	}, nil
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
