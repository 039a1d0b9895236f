package config

import (
	"strings"

	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// configTable is the keys of config.json.
var configTable = keyfile.NewTable(
	secretsKeys, // in front of the keys whose values may be sealed
	[]keyfile.Key[draft]{{Path: "providers", Container: true, Set: (*draft).readProviders,
		Doc: "object of providers by name"}, {Path: "tenants", Container: true, Set: (*draft).readTenants,
		Doc: "object of organizations at Microsoft by name, as accounts have it: their tenant, or else the domain of their email; default none, and then no limit on a tenant's external recipients is kept"}},
	globalKeys, serverKeys, upstreamKeys, oauthKeys, adminKeys, accountingKeys, shareKeys,
)

// readConfig reads f, which may be nil, and settles everything. Problems go to f. keys
// are in the place of a key file that does not exist; may be nil.
func readConfig(f *keyfile.File, keys *seal.Keyring) *Settings {
	d := newDraft()
	d.keys = keys
	if f == nil {
		d.resolve()
		return &d.settings
	}
	by := configTable.Apply(f, f.Root, keyfile.Place{}, d)
	d.resolve()
	d.check(f, by)
	return &d.settings
}

// resolve settles what depends on more than one key.
func (d *draft) resolve() {
	s := &d.settings
	s.Server.Listeners = d.listeners
	if len(s.Server.Listeners) == 0 {
		s.Server.Listeners = []server.Listener{{Address: "127.0.0.1:2525", TLS: server.TLSNone, Passwords: password.PolicyAny}}
	}
	s.Upstream.LoginTimeout = s.Upstream.CommandTimeout
	if s.Upstream.EhloName == "" && strings.Contains(s.Server.Hostname, ".") {
		s.Upstream.EhloName = s.Server.Hostname
	}
	s.Admin.Address = d.adminAddress.String()
	s.Providers = d.resolveProviders()
	d.resolveShare()
	for name, section := range d.providers {
		if b, ok := section.breaker.settle(s.Upstream.Breaker); ok {
			if s.Upstream.Breakers == nil {
				s.Upstream.Breakers = make(map[string]upstream.BreakerConfig)
			}
			s.Upstream.Breakers[s.Providers[name].SMTP.String()] = b
		}
	}
}

// check adds the problems that come from several keys together.
func (d *draft) check(f *keyfile.File, by keyfile.Claims) {
	bad := func(message string, fields ...any) {
		for _, field := range fields {
			if e := by[field]; e != nil {
				f.Problems.Add(&keyfile.Problem{File: f.Name, Line: e.Line, Key: e.Key, Message: message})
				return
			}
		}
	}
	d.checkListeners()
	d.checkShare(f.Lenient, bad)
	s := &d.settings
	if (s.Server.CertFile == "") != (s.Server.KeyFile == "") {
		bad("server.cert_file and server.key_file go together", &s.Server.CertFile, &s.Server.KeyFile)
	}
	if s.Server.ContentBudget < s.Server.MaxMessageSize {
		bad("the content budget must be at least max_message_size, or the largest messages never pass",
			&s.Server.ContentBudget, &s.Server.MaxMessageSize)
	}
	if s.Admin.Pprof && !d.adminAddress.Addr().IsLoopback() {
		bad(pprofBeyondLoopback, &s.Admin.Pprof)
	}
	if s.Admin.Token.IsZero() && !d.adminAddress.Addr().IsLoopback() {
		bad(adminNeedsToken, &d.adminAddress)
	}
	if e := by[&d.adminAddress]; e != nil && !d.adminAddress.Addr().IsLoopback() {
		e.Note = adminBeyondLoopback
	}
}

const (
	pprofBeyondLoopback = "profiles show memory: with admin.pprof, admin.address must be a loopback address"
	adminNeedsToken     = "the admin API can change accounts: beyond loopback, admin.token or admin.token_file is needed"
	adminBeyondLoopback = "anyone who can reach it can read metrics and health"
)
