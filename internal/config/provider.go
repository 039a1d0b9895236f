package config

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// settle makes the provider p out of its preset and its section. The ceilings
// of p become those of its accounts.
func (d *draft) settle(p *account.Provider, section *providerDraft) {
	if d.acquire.OK() {
		p.Limits.AcquireTimeout = d.acquire.Value
	}
	section.settleEndpoints(p)
	section.settleExtensions(p)
	section.settleAvoid(p)
	settleConnections(p, &section.limits)
	section.limits.Settle(&p.Limits, &p.Ceilings)
	section.retry.Settle(&p.Retry)
	for _, margin := range []keyfile.Given[time.Duration]{d.margin, section.refreshMargin} {
		if !margin.OK() {
			continue
		}
		p.RefreshMargin = max(margin.Value, p.MinRefreshMargin)
		if p.RefreshMargin > margin.Value {
			margin.Entry.Clamp(p.RefreshMargin, "that is the least for "+p.Name+", which refuses tokens about to expire")
		}
	}
}

// settleConnections settles the connections of an account of p: the lowest bound
// counts.
func settleConnections(p *account.Provider, l *accountkeys.Limits) {
	ceiling := &p.Ceilings.MaxConnections
	if concurrent := l.MaxConcurrent; concurrent.OK() {
		wanted := concurrent.Value
		if ceiling.Exceeded(wanted) {
			wanted = ceiling.Max
			concurrent.Entry.Clamp(wanted, ceiling.Reason)
		} else {
			*ceiling = account.Ceiling[int]{Max: wanted, Reason: concurrent.Entry.Key + " is lower"}
		}
		switch {
		case !l.MaxConnections.OK(): // nothing else is asked for
			p.Limits.MaxConnections = wanted
		case l.MaxConnections.Value < wanted:
			concurrent.Entry.Clamp(l.MaxConnections.Value, l.MaxConnections.Entry.Key+" is lower")
		}
	}
	accountkeys.Settle(&p.Limits.MaxConnections, l.MaxConnections, *ceiling)
}

// settle puts what the draft says into p.
func (d *consentDraft) settle(p *account.Provider) {
	for _, s := range []struct {
		from keyfile.Given[string]
		to   *string
	}{{d.authURL, &p.AuthURL}, {d.deviceURL, &p.DeviceURL}, {d.scope, &p.ConsentScope}, {d.appScope, &p.AppScope}} {
		if s.from.OK() {
			*s.to = s.from.Value
		}
	}
}

// settleEndpoints settles the endpoints of p, and what its token requests have.
func (d *providerDraft) settleEndpoints(p *account.Provider) {
	if d.smtpHost.OK() {
		p.SMTP.Host = d.smtpHost.Value
	}
	if d.smtpPort.OK() {
		p.SMTP.Port = d.smtpPort.Value
		p.SMTP.TLS = account.TLSModeForPort(p.SMTP.Port)
	}
	if d.tls.OK() {
		p.SMTP.TLS = d.tls.Value
	}
	if d.tokenURL.OK() {
		p.TokenURL, p.PersonalTokenURL, p.PersonalDomains = d.tokenURL.Value, "", nil
	}
	if d.scope.OK() {
		p.Scope = d.scope.Value
	}
	if d.sendSecret.OK() {
		p.OmitClientSecret = !d.sendSecret.Value
	}
	if d.clientAuth.OK() {
		p.ClientAuth = d.clientAuth.Value
	}
	if d.initialResponse.OK() {
		p.InitialResponse = d.initialResponse.Value
	}
	d.consent.settle(p)
	if d.keepAlive.OK() {
		p.KeepAlive = accountkeys.OrNever(d.keepAlive.Value)
	}
	p.SecretExpires = d.secretExpires.Value
}

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

// settleExtensions settles the extensions that messages to p may use, and their size
// where no lower one is configured.
func (d *providerDraft) settleExtensions(p *account.Provider) {
	if !d.extensions.OK() {
		return
	}
	a := d.extensions.Value
	p.Extensions = a.extensions
	if p.AnnouncedSize = a.size; a.size > 0 {
		p.Limits.MaxMessageSize = a.size
		p.Ceilings.MaxMessageSize = p.Ceilings.MaxMessageSize.Lower(a.size, fmt.Sprintf("%s has SIZE=%d", d.extensions.Entry.Key, a.size))
	}
}

// settleAvoid settles what is not used with p. Messages cannot need it then.
func (d *providerDraft) settleAvoid(p *account.Provider) {
	if d.avoid.OK() {
		p.Avoid = d.avoid.Value
	}
	p.Extensions &^= p.Avoid.Extensions()
}
