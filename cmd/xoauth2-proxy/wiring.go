package main

import (
	"go.uber.org/zap"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// The functions here turn the checked settings into what each package takes.

func serverConfig(s *config.Settings) server.Config {
	c := server.DefaultConfig()
	c.Hostname = s.Server.Hostname
	for _, l := range s.Listeners {
		mode := server.TLSMode(l.TLS)
		if l.TLS == "none" {
			mode = server.TLSNone
		}
		c.Listeners = append(c.Listeners, server.Listener{
			Address: l.Address, TLS: mode, Passwords: password.Policy(l.Passwords), Allow: l.Allow, ProxyFrom: l.ProxyFrom,
			MaxConnections: l.MaxConnections, MaxPerSource: l.MaxPerSource, MaxMessages: l.MaxMessages,
		})
	}
	c.SharedPassword = s.Server.SharedPassword
	c.Loops, c.Pin = s.Server.Loops, s.Server.Pin
	c.MaxConnections, c.MaxRecipients = s.Server.MaxConnections, s.Server.MaxRecipients
	c.MaxErrors, c.MaxPipelined = s.Server.MaxErrors, s.Server.MaxPipelined
	c.MaxMessageSize, c.ContentBudget = s.Server.MaxMessageSize, s.Server.ContentBudget
	c.GreetingTimeout, c.CommandTimeout = s.Server.GreetingTimeout, s.Server.CommandTimeout
	c.ContentTimeout, c.IdleTimeout = s.Server.ContentTimeout, s.Server.IdleTimeout
	c.SessionTimeout = s.Server.SessionTimeout
	c.NormaliseNewlines = s.Server.BareNewlines == "normalise"
	return c
}

func upstreamConfig(s *config.Settings) upstream.Config {
	c := upstream.DefaultConfig()
	u := s.Upstream
	if u.Shards > 0 {
		c.Shards = u.Shards
	}
	c.EhloName, c.CAFile, c.DryRun = s.Server.Hostname, u.CAFile, s.DryRun
	c.GlobalConcurrency, c.MaxWaiting = u.MaxTransactions, u.QueueSize
	c.DialTimeout, c.TLSTimeout, c.GreetingTimeout = u.DialTimeout, u.TLSTimeout, u.GreetingTimeout
	c.LoginTimeout, c.CommandTimeout = u.CommandTimeout, u.CommandTimeout
	c.ContentTimeout, c.FinalTimeout = u.ContentTimeout, u.FinalReplyTimeout
	c.TransactionTimeout = u.TransactionTimeout
	c.QuotaAsTemporary, c.ThrottleRecovery = u.QuotaAsTemporary, u.ThrottleRecovery
	c.DNSCacheTTL, c.IPv6 = u.DNSCacheTTL, u.IPv6
	c.PrewarmConnections, c.PrewarmRate = u.PrewarmConnections, u.PrewarmRate
	c.Breaker = upstream.BreakerConfig(u.Breaker)
	for endpoint, b := range s.Breakers {
		if c.Breakers == nil {
			c.Breakers = make(map[string]upstream.BreakerConfig)
		}
		c.Breakers[endpoint] = upstream.BreakerConfig(b)
	}
	return c
}

// openQuota opens the counts of the day, if there is a directory for them; nil
// if there is none.
func openQuota(s *config.Settings, log *zap.Logger) (*quota.Store, error) {
	if s.StateDir == "" {
		return nil, nil
	}
	store, damaged, err := quota.Open(s.StateDir)
	if damaged != "" {
		log.Error("the counts of the day were damaged and begin anew", zap.String("kept", damaged))
	}
	return store, err
}

func oauthConfig(s *config.Settings) oauth.Config {
	c := oauth.DefaultConfig()
	o := s.OAuth
	c.Timeout, c.ConnectTimeout, c.CAFile = o.RequestTimeout, o.ConnectTimeout, o.CAFile
	c.MaxParallel, c.ConnectionsPerHost = o.ParallelRefreshes, o.ConnectionsPerHost
	c.DefaultLifetime = o.DefaultLifetime
	c.Proxy, c.KeepAlive, c.MaxMailboxes = o.Proxy, o.KeepAlive, o.MaxMailboxes
	return c
}

func adminConfig(s *config.Settings) admin.Config {
	c := admin.DefaultConfig()
	c.Address, c.Pprof = s.Admin.Address, s.Admin.Pprof
	c.Version, c.Revision = version, revision()
	c.Sockets, c.SocketNeeded = socketPaths(s)
	return c
}
