package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// proxy is everything that runs, wired together.
type proxy struct {
	log    *zap.Logger
	watch  *watchdog.Watchdog
	kept   *tokenstore.Store // nil: tokens are in memory only
	tokens *oauth.Manager
	relay  *upstream.Relay
	quota  *quota.Store // nil: counts of the day are in memory only
	orders *control.Orders
	server *server.Server
	admin  *admin.Server
	live   *reloader

	stopping atomic.Pointer[string] // what stop is at
	quiet    func()                 // ends what systemd is told
}

// startProxy starts all parts, the listeners of clients last. On an error
// nothing is left running.
func startProxy(settings *config.Settings, accounts *account.Snapshot, from origin, log *zap.Logger) (_ *proxy, err error) {
	set := metrics.NewSet()
	p := &proxy{log: log, orders: new(control.Orders), live: newReloader(from, settings, log.Named("reload"))}
	p.watch = watchdog.New(watchdog.DefaultConfig(), log.Named("watchdog"), set)
	p.orders.Watch = p.watch
	p.quiet = reassureSystemd(p.watch, log)
	defer func() {
		if err != nil {
			p.abandon()
		}
	}()
	if p.kept, err = openTokenStore(settings); err != nil {
		return nil, err
	}
	tokens := storedTokens(settings, p.kept)
	tokens.Watch = p.watch
	if err := tokens.Validate(); err != nil {
		return nil, err
	}
	p.tokens = oauth.New(tokens, log.Named("oauth"), set)
	p.tokens.Retain(accounts)
	toProviders := settings.Upstream.Config
	toProviders.Watch = p.watch
	if p.quota, err = openQuota(settings, log); err != nil {
		return nil, err
	}
	if p.quota != nil {
		toProviders.Quota = p.quota
	}
	if p.relay, err = upstream.New(toProviders, p.tokens, log.Named("upstream"), set); err != nil {
		return nil, err
	}
	store := account.NewStore(accounts)
	clients := settings.Server.Config
	clients.Gate, clients.Watch = p.orders, p.watch
	if clients.TLS, err = clientTLS(settings.Server, log.Named("tls")); err != nil {
		return nil, err
	}
	if p.server, err = server.New(clients, store, tokenGate{p.tokens}, p.relay, log.Named("server"), set); err != nil {
		return nil, err
	}
	if p.admin, err = admin.New(adminConfig(settings), log.Named("admin"), p.ready, set); err != nil {
		return nil, err
	}
	p.admin.ReportStuck(p.watch.Stuck)
	if err = p.serveAPI(settings, store); err != nil {
		return nil, err
	}
	if err = p.admin.Start(); err != nil {
		return nil, err
	}
	if err = p.server.Start(); err != nil {
		return nil, err
	}
	p.live.start()
	p.relay.Prewarm(unheld(accounts, p.orders), p.server.Loops())
	for _, a := range p.server.Addrs() {
		log.Info("listening for clients", zap.Stringer("address", a), zap.Int("accounts", accounts.Len()))
	}
	log.Info("listening for metrics and health", zap.Stringer("address", p.admin.Addr()), zap.String("socket", p.admin.SocketPath()))
	return p, nil
}

// ready says why the proxy would not take mail, if it would not.
func (p *proxy) ready() []string { return append(p.server.NotReady(), p.watch.Stuck()...) }

// stop drains and ends everything. It returns the number of sessions that
// were cut off when ctx ended; more than none if a part is stuck that has not ended.
func (p *proxy) stop(ctx context.Context) (cut int64) {
	p.step("ending a reload")
	p.live.close()
	p.step("ending the sessions of clients")
	cut = p.server.Shutdown(ctx)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if ctx.Err() != nil {
		ctx = grace
	} // else messages whose clients have gone have as long as the others had
	p.step("closing connections to providers")
	stuck := p.watch.Stuck()
	switch err := p.relay.Close(ctx); {
	case errors.Is(err, upstream.ErrStuck): // what it holds ends with the process
		p.log.Error("the process ends although not all has stopped: a part is stuck", zap.Strings("stuck", stuck))
		cut = max(cut, 1)
	case err != nil:
		p.log.Warn("closing connections to providers", zap.Error(err))
	}
	p.step("stopping the loops")
	p.server.Stop()
	p.step("closing the quota store")
	p.closeQuota()
	p.step("closing the token workers and the token store")
	p.closeTokens()
	p.step("closing the admin listener")
	if err := p.admin.Close(grace); err != nil {
		p.log.Warn("closing the admin listener", zap.Error(err))
	}
	p.quiet()
	p.watch.Close()
	return cut
}

// step notes what stop is at.
func (p *proxy) step(now string) { p.stopping.Store(&now) }

// abandon ends what has started, after a failure to start the rest.
func (p *proxy) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	p.live.close()
	if p.admin != nil {
		_ = p.admin.Close(ctx)
	}
	if p.relay != nil {
		_ = p.relay.Close(ctx)
	}
	p.closeQuota()
	p.closeTokens()
	p.quiet()
	p.watch.Close()
}

// closeQuota closes the counts of the day, after the relay.
func (p *proxy) closeQuota() {
	if p.quota == nil {
		return
	}
	if err := p.quota.Close(); err != nil {
		p.log.Error("the counts of the day are not saved", zap.Error(err))
	}
}

// tokenGate gives the server its view of the token manager.
type tokenGate struct{ m *oauth.Manager }

func (g tokenGate) Ready(a *account.Account) bool {
	src, err := g.m.SourceForLogin(a)
	return err == nil && src.Cached() != nil
}

func (g tokenGate) Fetch(a *account.Account, done func(error)) {
	src, err := g.m.SourceForLogin(a)
	if err != nil {
		go done(err) // not within this call
		return
	}
	src.Request(func(_ *oauth.Token, err error) { done(err) })
}

// addrOf is an address that a client on this machine can connect to.
func addrOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return a.String()
}
