package config

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// draft is config.json while it is read: the settings that are final at once,
// and what is settled when all of the file is known.
type draft struct {
	settings         Settings
	adminAddress     netip.AddrPort
	listeners        []Listener
	listenerNodes    []*keyfile.Value // of listeners
	acquire, margin  keyfile.Given[time.Duration]
	relayConnections keyfile.Given[int]
	providers        map[string]*providerDraft
}

func newDraft() *draft {
	return &draft{settings: defaults(), adminAddress: netip.MustParseAddrPort("127.0.0.1:9090")}
}

// configTable is the keys of config.json.
var configTable = keyfile.NewTable(
	secretsKeys, // in front of the keys whose values may be sealed
	[]keyfile.Key[draft]{{Path: "providers", Container: true, Set: (*draft).readProviders,
		Doc: "object of providers by name"}},
	globalKeys, serverKeys, upstreamKeys, oauthKeys,
)

// readConfig reads f, which may be nil, and settles everything. Problems go to f.
func readConfig(f *keyfile.File) *Settings {
	d := newDraft()
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
	s.Listeners = d.listeners
	if len(s.Listeners) == 0 {
		s.Listeners = []Listener{{Address: "127.0.0.1:2525", TLS: "none", Passwords: "any"}}
	}
	s.Admin.Address = d.adminAddress.String()
	s.Providers = d.resolveProviders()
	for name, section := range d.providers {
		if b, ok := section.breaker.settle(s.Upstream.Breaker); ok {
			if s.Breakers == nil {
				s.Breakers = make(map[string]Breaker)
			}
			s.Breakers[s.Providers[name].SMTP.String()] = b
		}
	}
}

// check adds the problems that no key has alone.
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

// readProviders reads the sections providers.NAME.
func (d *draft) readProviders(v *keyfile.Value) {
	d.providers = make(map[string]*providerDraft)
	v.EachMember(func(name string, member *keyfile.Value) {
		p := new(providerDraft)
		providerTable.Apply(v.File, member.Node, member.Place.Child("."), p)
		if _, ok := d.providers[name]; ok {
			member.Fail("there is another provider of that name")
		}
		d.providers[name] = p
	})
}

// resolveProviders makes the providers out of presets and sections.
func (d *draft) resolveProviders() map[string]*account.Provider {
	resolved := make(map[string]*account.Provider)
	add := func(p account.Provider) {
		section := d.providers[p.Name]
		if section == nil {
			section = new(providerDraft)
		}
		d.settle(&p, section)
		resolved[p.Name] = &p
	}
	add(account.Gmail())
	add(account.Outlook())
	for _, cloud := range account.Clouds() {
		add(cloud)
	}
	add(account.Default())
	for _, name := range slices.Sorted(maps.Keys(d.providers)) {
		if resolved[name] != nil {
			continue
		}
		p := *resolved["default"] // as configured: the base for all others
		p.Name, p.Ceilings = name, account.Ceilings{}
		add(p)
	}
	return resolved
}
