package app

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/app/internal/sharing"
	"xoauth2-proxy/internal/app/internal/succession"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/handover"
	"xoauth2-proxy/internal/outlook"
	"xoauth2-proxy/internal/systemd"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// Proxy is everything that runs, wired together.
type Proxy struct {
	log    *zap.Logger
	watch  *watchdog.Watchdog
	kept   *handover.Tokens // nil: tokens are in memory only
	tokens *oauth.Manager
	relay  *upstream.Relay
	quota  *handover.Counts // nil: counts of the day are in memory only
	orders *control.Orders
	// sharing is nil if the proxy shares its limits with no other one.
	sharing *sharing.Node
	// accounting is nil if there is no accounting log.
	accounting *accounting.Log
	server     *server.Server
	admin      *admin.Server
	live       *reloader
	service    *systemd.Service
	turn       *succession.Turn // the processes before and after this one

	leaving  atomic.Bool            // connections are still taken, but not for long
	stopping atomic.Pointer[string] // the step that Stop is at
	quiet    func()                 // ends the notifications of systemd
}

// Start starts all parts, the listeners of clients last. On an error no part is
// left running. Until the proxy has ended, SIGHUP does not end the process.
func Start(o Options) (_ *Proxy, err error) {
	store, set := account.NewStore(o.Accounts), metrics.NewSet()
	o.Log = namingAccounts(o.Log, store)
	log := o.Log
	p := &Proxy{log: log, orders: new(control.Orders), live: newReloader(&o)}
	p.watch = watchdog.New(watchdog.DefaultConfig(), log.Named("watchdog"), set)
	p.orders.Watch = p.watch
	p.service = systemd.New(log, o.Replaces == nil)
	p.quiet = p.service.Reassure(p.watch.Alive)
	if p.live.service = p.service; o.Upgrade != nil {
		o.Upgrade.MainIs = p.service.MainIs
	}
	p.turn = succession.New(o.succession())
	defer func() {
		if err != nil {
			p.abandon()
		}
	}()
	if err := p.turn.Await(); err != nil {
		return nil, err
	}
	if err := p.assemble(&o, store, set); err != nil {
		return nil, err
	}
	if err := p.admin.Start(); err != nil {
		return nil, err
	}
	if err := p.server.Start(); err != nil {
		return nil, err
	}
	if err := p.turn.Begin(); err != nil {
		_ = p.server.Shutdown(context.Background()) // it has no session
		return nil, err
	}
	p.live.start()
	p.relay.Prewarm(unheld(o.Accounts, p.orders), p.server.Loops())
	for _, a := range p.server.Addrs() {
		log.Info("listening for clients", zap.Stringer("address", a), zap.Int("accounts", o.Accounts.Len()))
	}
	log.Info("listening for metrics and health", zap.Stringer("address", p.admin.Addr()), zap.String("socket", p.admin.SocketPath()))
	return p, nil
}

// assemble makes the parts, each before the parts that use it. Clients and
// operators cannot connect yet.
func (p *Proxy) assemble(o *Options, store *account.Store, set *metrics.Set) (err error) {
	s, log := o.Settings, o.Log
	tokens := TokenConfig(s, nil)
	if s.OAuth.TokenStore != "" {
		if p.kept, err = handover.NewTokens(p.live.openTokens); err != nil {
			return err
		}
		tokens.Store = p.kept
	}
	tokens.Watch = p.watch
	if err := tokens.Validate(); err != nil {
		return err
	}
	if p.sharing, err = sharing.Open(s.Share, o.Version, tokens, store.Load, log.Named("share"), set); err != nil {
		return err
	}
	toProviders := s.Upstream.Config
	if p.sharing != nil { // with all processes, those of an upgrade included
		tokens.Share, toProviders.Share = p.sharing.Sharer(), p.sharing.Pool()
	} else {
		p.turn.Share(&tokens, &toProviders)
	}
	p.tokens = oauth.New(tokens, log.Named("oauth"), set)
	p.tokens.Retain(o.Accounts)
	if p.quota, err = openQuota(s, log, o.Accounts); err != nil {
		return err
	}
	toProviders.Watch, toProviders.CountByAccount = p.watch, s.Admin.AccountMetrics
	if p.quota != nil {
		toProviders.Quota = p.quota
	}
	if p.relay, err = upstream.New(toProviders, p.tokens, log.Named("upstream"), set); err != nil {
		return err
	}
	clients := s.Server.Config
	if p.accounting, err = openAccounting(o, p.watch, set); err != nil {
		return err
	}
	clients.Orders, clients.Watch, clients.Accounting = p.orders, p.watch, p.accounting
	if p.live.certificate, err = loadCertificate(s.Server, log.Named("tls"), set); err != nil {
		return err
	}
	clients.TLS = p.live.certificate.config()
	operators := adminConfig(o)
	if err := p.turn.Inherit(&clients, &operators); err != nil {
		return err
	}
	if p.server, err = server.New(clients, store, serverTokens{p.tokens}, p.relay, log.Named("server"), set); err != nil {
		return err
	}
	if p.admin, err = admin.New(operators, log.Named("admin"), p.ready, set); err != nil {
		return err
	}
	p.admin.ReportStuck(p.watch.Stuck)
	p.admin.ReportWarnings(watchLeftOut(store, set))
	logLeftOut(log, o.Accounts)
	logUnusableSources(log, o.Accounts)
	return p.serveAPI(o, store, set)
}

// serveAPI makes the reloader and the admin API act on the parts of the proxy.
func (p *Proxy) serveAPI(o *Options, store *account.Store, set *metrics.Set) error {
	verifier, err := upstream.NewVerifier(o.Settings.Upstream.Config, p.tokens)
	if err != nil {
		return err
	}
	if err := openOrders(p.orders, o.Settings, p.log); err != nil {
		return err
	}
	p.live.store, p.live.tokens, p.live.relay, p.live.server, p.live.orders = store, p.tokens, p.relay, p.server, p.orders
	p.live.kept, p.live.setToken, p.live.accounting = p.kept, p.admin.SetToken, p.accounting
	p.admin.SetToken(o.Settings.Admin.Token.Reveal())
	api := &adminAPI{
		turn: p.turn,
		live: p.live, store: store, tokens: p.tokens, relay: p.relay, orders: p.orders,
		verifier: verifier, level: o.Level, version: o.Version, revision: o.Revision, nodes: p.sharing.Source(),
		outlook: &outlook.Parts{Settings: p.live.inForce, Accounts: store, Tokens: p.tokens, Counts: p.quota},
	}
	p.turn.Has(succession.Parts{
		Stores:     handover.Stores{Tokens: p.kept, Counts: p.quota, Orders: p.orders, Accounting: p.accounting},
		OrdersPath: ordersFile(o.Settings), Server: p.server, Admin: p.admin,
	})
	p.admin.HandleAPI(api)
	p.admin.HandleAccountMetrics(newAccountMetrics(api).write)
	(&stateCounts{api: api}).register(set)
	new(certificateEnds).register(store, set)
	p.live.warn = outlook.New(api.outlook, p.log, set).Warn
	p.live.metrics = newReloadMetrics(set, len(o.Accounts.LeftOut()) == 0)
	return p.sharing.Start(p.tokens.Adopt, p.orders, api.apply)
}

// ClientAddrs returns the addresses that clients connect to, in the order of the
// listeners.
func (p *Proxy) ClientAddrs() []net.Addr { return p.server.Addrs() }

// AdminAddr returns the address of metrics and health.
func (p *Proxy) AdminAddr() net.Addr { return p.admin.Addr() }

// AdminSocket returns the path of the admin socket, "" without one.
func (p *Proxy) AdminSocket() string { return p.admin.SocketPath() }

// ready returns the reasons why the proxy would not take mail, nil if it would.
func (p *Proxy) ready() []string {
	if p.leaving.Load() {
		return []string{"draining"}
	}
	return slices.Concat(p.server.NotReady(), p.watch.Stuck(), unsaved(p.kept, p.quota))
}

// Stop drains and ends everything, once. When ctx ends, it cuts off the sessions
// that are left, and returns their number; at least one if a part is stuck and has
// not ended.
func (p *Proxy) Stop(ctx context.Context) (cut int64) {
	p.step("ending a reload")
	p.live.close()
	p.step("ending the sessions of clients")
	cut = p.server.Shutdown(ctx)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if ctx.Err() != nil {
		ctx = grace
	} // else messages whose clients have gone have as long as the others
	p.step("closing connections to providers")
	stuck := p.watch.Stuck()
	switch err := p.relay.Close(ctx); {
	case errors.Is(err, upstream.ErrStuck): // its connections end with the process
		p.log.Error("the process ends although not all has stopped: a part is stuck", zap.Strings("stuck", stuck))
		cut = max(cut, 1)
	case err != nil:
		p.log.Warn("closing connections to providers", zap.Error(err))
	}
	p.step("stopping the loops")
	p.server.Stop()
	p.turn.Finish(grace)
	p.step("closing the accounting log")
	p.closeAccounting()
	p.step("closing the quota store")
	p.closeQuota()
	p.step("closing the token workers and the token store")
	p.closeTokens()
	p.step("closing the admin listener")
	if err := p.admin.Close(grace); err != nil {
		p.log.Warn("closing the admin listener", zap.Error(err))
	}
	p.turn.End()
	p.quiet()
	p.watch.Close()
	return cut
}

// step notes what Stop does now.
func (p *Proxy) step(now string) { p.stopping.Store(&now) }

// doing returns the step that Stop is at, "running" before Stop.
func (p *Proxy) doing() string {
	if at := p.stopping.Load(); at != nil {
		return *at
	}
	return "running"
}

// abandon ends what has started, after a failure to start the rest.
func (p *Proxy) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	p.live.close()
	if p.admin != nil {
		_ = p.admin.Close(ctx)
	}
	if p.relay != nil {
		_ = p.relay.Close(ctx)
	}
	p.closeAccounting()
	p.closeQuota()
	p.closeTokens()
	p.quiet()
	p.watch.Close()
}

// closeQuota closes the counts of the day, after the relay.
func (p *Proxy) closeQuota() {
	if p.quota == nil {
		return
	}
	if err := p.quota.Close(); err != nil {
		p.log.Error("the counts of the day are not saved", zap.Error(err))
	}
}

// closeAccounting writes the last records, after all who make some.
func (p *Proxy) closeAccounting() {
	if err := p.accounting.Close(); err != nil {
		p.log.Error("the accounting log has not ended: its last records may be missing", zap.Error(err))
	}
}

// closeTokens ends the token manager, and then closes its store.
func (p *Proxy) closeTokens() {
	if p.tokens != nil {
		p.tokens.Close()
	}
	p.sharing.Close() // after all who lease
	if p.kept == nil {
		return
	}
	if err := p.kept.Close(); err != nil {
		p.log.Error("closing the token store", zap.Error(err))
	}
}

// stopGrace is how long closing the idle parts may take after the drain.
const stopGrace = 2 * time.Second
