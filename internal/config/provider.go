package config

import (
	"fmt"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// settle makes the provider p out of its preset and its section. The ceilings
// of p become those of its accounts.
func (d *draft) settle(p *account.Provider, section *providerDraft) {
	if d.acquire.Ok() {
		p.Limits.AcquireTimeout = d.acquire.Value
	}
	section.settleEndpoints(p)
	section.settleExtensions(p)
	d.settleConnections(p, &section.limits)
	section.limits.Settle(&p.Limits, &p.Ceilings)
	section.retry.Settle(&p.Retry)
	for _, margin := range []keyfile.Given[time.Duration]{d.margin, section.refreshMargin} {
		if !margin.Ok() {
			continue
		}
		p.RefreshMargin = max(margin.Value, p.MinRefreshMargin)
		if p.RefreshMargin > margin.Value {
			margin.Entry.Clamp(p.RefreshMargin, "that is the least for "+p.Name+", which refuses tokens about to expire")
		}
	}
}

// settleConnections settles the connections of an account of p: the lowest of
// all that bound them.
func (d *draft) settleConnections(p *account.Provider, l *accountkeys.Limits) {
	ceiling := &p.Ceilings.MaxConnections
	if relay := d.relayConnections; relay.Ok() {
		reason := relay.Entry.Key + " is lower"
		if ceiling.Max > 0 {
			reason += fmt.Sprintf(" than the provider's limit of %d (%s)", ceiling.Max, ceiling.Reason)
		}
		*ceiling = ceiling.Lower(relay.Value, reason)
		if ceiling.Max < relay.Value {
			relay.Entry.Also(fmt.Sprintf("for %s %d is in force: %s", p.Name, ceiling.Max, ceiling.Reason))
		}
	}
	if concurrent := l.MaxConcurrent; concurrent.Ok() {
		wanted := concurrent.Value
		if ceiling.Exceeded(wanted) {
			wanted = ceiling.Max
			concurrent.Entry.Clamp(wanted, ceiling.Reason)
		} else {
			*ceiling = account.Ceiling[int]{Max: wanted, Reason: concurrent.Entry.Key + " is lower"}
		}
		switch {
		case !l.MaxConnections.Ok(): // nothing else is asked for
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
		if s.from.Ok() {
			*s.to = s.from.Value
		}
	}
}

// settleEndpoints settles where p is and what its token requests say.
func (d *providerDraft) settleEndpoints(p *account.Provider) {
	if d.smtpHost.Ok() {
		p.SMTP.Host = d.smtpHost.Value
	}
	if d.smtpPort.Ok() {
		p.SMTP.Port = d.smtpPort.Value
		p.SMTP.TLS = account.TLSModeForPort(p.SMTP.Port)
	}
	if d.tls.Ok() {
		p.SMTP.TLS = d.tls.Value
	}
	if d.tokenURL.Ok() {
		p.TokenURL, p.PersonalTokenURL, p.PersonalDomains = d.tokenURL.Value, "", nil
	}
	if d.scope.Ok() {
		p.Scope = d.scope.Value
	}
	if d.sendSecret.Ok() {
		p.OmitClientSecret = !d.sendSecret.Value
	}
	if d.initialResponse.Ok() {
		p.InitialResponse = d.initialResponse.Value
	}
	d.consent.settle(p)
	if d.keepAlive.Ok() {
		p.KeepAlive = accountkeys.OrNever(d.keepAlive.Value)
	}
}
