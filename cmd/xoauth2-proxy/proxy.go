package main

import (
	"context"
	"fmt"
	"net"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// proxy is everything that runs, wired together.
type proxy struct {
	log    *zap.Logger
	kept   *tokenstore.Store // nil: tokens are in memory only
	tokens *oauth.Manager
	relay  *upstream.Relay
	quota  *quota.Store // nil: counts of the day are in memory only
	orders *control.Orders
	server *server.Server
	admin  *admin.Server
	live   *reloader
}

// startProxy starts all parts, the listeners of clients last. On an error
// nothing is left running.
func startProxy(settings *config.Settings, accounts *account.Snapshot, from origin, log *zap.Logger) (_ *proxy, err error) {
	set := metrics.NewSet()
	p := &proxy{log: log, orders: new(control.Orders), live: newReloader(from, settings, log.Named("reload"))}
	defer func() {
		if err != nil {
			p.abandon()
		}
	}()
	if p.kept, err = openTokenStore(settings); err != nil {
		return nil, err
	}
	tokens := storedTokens(settings, p.kept)
	if err := tokens.Validate(); err != nil {
		return nil, err
	}
	p.tokens = oauth.New(tokens, log.Named("oauth"), set)
	p.tokens.Retain(accounts)
	toProviders := upstreamConfig(settings)
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
	clients := serverConfig(settings)
	clients.Gate = p.orders
	if clients.TLS, err = clientTLS(settings.Server, log.Named("tls")); err != nil {
		return nil, err
	}
	if p.server, err = server.New(clients, store, tokenGate{p.tokens}, p.relay, log.Named("server"), set); err != nil {
		return nil, err
	}
	if p.admin, err = admin.New(adminConfig(settings), log.Named("admin"), p.ready, set); err != nil {
		return nil, err
	}
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
	p.relay.Prewarm(unheld(accounts, p.orders))
	for _, a := range p.server.Addrs() {
		log.Info("listening for clients", zap.Stringer("address", a), zap.Int("accounts", accounts.Len()))
	}
	log.Info("listening for metrics and health", zap.Stringer("address", p.admin.Addr()), zap.String("socket", p.admin.SocketPath()))
	return p, nil
}

// ready says why the proxy would not take mail, if it would not.
func (p *proxy) ready() []string { return p.server.NotReady() }

// stop drains and ends everything. It returns the number of sessions that
// were cut off when ctx ended.
func (p *proxy) stop(ctx context.Context) (cut int64) {
	p.live.close()
	cut = p.server.Shutdown(ctx)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if ctx.Err() != nil {
		ctx = grace
	} // else messages whose clients have gone have as long as the others had
	if err := p.relay.Close(ctx); err != nil {
		p.log.Warn("closing connections to providers", zap.Error(err))
	}
	p.server.Stop()
	p.closeQuota()
	p.closeTokens()
	if err := p.admin.Close(grace); err != nil {
		p.log.Warn("closing the admin listener", zap.Error(err))
	}
	return cut
}

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
