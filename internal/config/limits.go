package config

import (
	"fmt"
	"time"

	"xoauth2-proxy/internal/account"
)

// settle puts the given value, if any, into target, and keeps target under the
// ceiling. The entry of a clamped value says so.
func settle[N int | int64 | time.Duration](target *N, g given[N], c account.Ceiling[N]) {
	if g.ok() {
		*target = g.value
	}
	if c.Exceeded(*target) {
		*target = c.Max
		if g.ok() {
			g.entry.clamp(c.Max, c.Reason)
		}
	}
}

// clamp notes that to is in force instead of the value.
func (e *Entry) clamp(to any, reason string) {
	e.Status, e.Note = Clamped, fmt.Sprintf("%v is in force: %s", to, reason)
}

// also adds to the note.
func (e *Entry) also(note string) {
	if e.Note != "" {
		note = e.Note + "; " + note
	}
	e.Note = note
}

// settle puts what the draft says into l, under the ceilings c.
func (d *limitsDraft) settle(l *account.Limits, c *account.Ceilings) {
	settle(&l.MaxMessagesPerConnection, d.maxMessages, account.Ceiling[int]{})
	settle(&l.MaxRecipients, d.maxRecipients, c.MaxRecipients)
	settle(&l.MaxMessageSize, d.maxMessageSize, c.MaxMessageSize)
	settle(&l.ConnectionMaxAge, d.maxAge, c.ConnectionMaxAge)
	settle(&l.IdleTimeout, d.idle, c.IdleTimeout)
	settle(&l.AcquireTimeout, d.acquire, account.Ceiling[time.Duration]{})
	d.settleRates(l, c)
}

func (d *limitsDraft) settleRates(l *account.Limits, c *account.Ceilings) {
	rates := []*given[int]{&d.perMinute, &d.perHour, &d.perDay, &d.recipientsPerDay, &d.logins}
	if d.rateEnabled.ok() && !d.rateEnabled.value {
		for _, r := range rates {
			if r.ok() {
				r.entry.Status, r.entry.Note = Ignored, "rate_limiting.enabled is false"
			}
			*r = given[int]{}
		}
	}
	settle(&l.MessagesPerMinute, d.perMinute, c.MessagesPerMinute)
	settle(&l.MessagesPerHour, d.perHour, account.Ceiling[int]{})
	settle(&l.MessagesPerDay, d.perDay, c.MessagesPerDay)
	settle(&l.RecipientsPerDay, d.recipientsPerDay, c.RecipientsPerDay)
	settle(&l.LoginsPerMinute, d.logins, account.Ceiling[int]{})
}

// settle puts what the draft says into p.
func (d *retryDraft) settle(p *account.RetryPolicy) {
	if d.attempts.ok() {
		p.MaxAttempts = d.attempts.value
	}
	if d.factor.ok() {
		p.BackoffFactor = d.factor.value
	}
	if d.maxDelay.ok() {
		p.MaxDelay = d.maxDelay.value
	}
	if d.jitter.ok() {
		p.Jitter = d.jitter.value
	}
}

// settle makes the provider p out of its preset and its section. The ceilings
// of p become those of its accounts.
func (d *draft) settle(p *account.Provider, section *providerDraft) {
	if d.acquire.ok() {
		p.Limits.AcquireTimeout = d.acquire.value
	}
	section.settleEndpoints(p)
	section.settleExtensions(p)
	d.settleConnections(p, &section.limits)
	section.limits.settle(&p.Limits, &p.Ceilings)
	section.retry.settle(&p.Retry)
	for _, margin := range []given[time.Duration]{d.margin, section.refreshMargin} {
		if !margin.ok() {
			continue
		}
		p.RefreshMargin = max(margin.value, p.MinRefreshMargin)
		if p.RefreshMargin > margin.value {
			margin.entry.clamp(p.RefreshMargin, "that is the least for "+p.Name+", which refuses tokens about to expire")
		}
	}
}

// settleConnections settles the connections of an account of p: the lowest of
// all that bound them.
func (d *draft) settleConnections(p *account.Provider, l *limitsDraft) {
	ceiling := &p.Ceilings.MaxConnections
	if relay := d.relayConnections; relay.ok() {
		reason := relay.entry.Key + " is lower"
		if ceiling.Max > 0 {
			reason += fmt.Sprintf(" than the provider's limit of %d (%s)", ceiling.Max, ceiling.Reason)
		}
		*ceiling = ceiling.Lower(relay.value, reason)
		if ceiling.Max < relay.value {
			relay.entry.also(fmt.Sprintf("for %s %d is in force: %s", p.Name, ceiling.Max, ceiling.Reason))
		}
	}
	if concurrent := l.maxConcurrent; concurrent.ok() {
		wanted := concurrent.value
		if ceiling.Exceeded(wanted) {
			wanted = ceiling.Max
			concurrent.entry.clamp(wanted, ceiling.Reason)
		} else {
			*ceiling = account.Ceiling[int]{Max: wanted, Reason: concurrent.entry.Key + " is lower"}
		}
		switch {
		case !l.maxConnections.ok(): // nothing else is asked for
			p.Limits.MaxConnections = wanted
		case l.maxConnections.value < wanted:
			concurrent.entry.clamp(l.maxConnections.value, l.maxConnections.entry.Key+" is lower")
		}
	}
	settle(&p.Limits.MaxConnections, l.maxConnections, *ceiling)
}

// settle puts what the draft says into p.
func (d *consentDraft) settle(p *account.Provider) {
	for _, s := range []struct {
		from given[string]
		to   *string
	}{{d.authURL, &p.AuthURL}, {d.deviceURL, &p.DeviceURL}, {d.scope, &p.ConsentScope}, {d.appScope, &p.AppScope}} {
		if s.from.ok() {
			*s.to = s.from.value
		}
	}
}

// settleEndpoints settles where p is and what its token requests say.
func (d *providerDraft) settleEndpoints(p *account.Provider) {
	if d.smtpHost.ok() {
		p.SMTP.Host = d.smtpHost.value
	}
	if d.smtpPort.ok() {
		p.SMTP.Port = d.smtpPort.value
		p.SMTP.TLS = account.TLSModeForPort(p.SMTP.Port)
	}
	if d.tls.ok() {
		p.SMTP.TLS = d.tls.value
	}
	if d.tokenURL.ok() {
		p.TokenURL, p.PersonalTokenURL, p.PersonalDomains = d.tokenURL.value, "", nil
	}
	if d.scope.ok() {
		p.Scope = d.scope.value
	}
	if d.sendSecret.ok() {
		p.OmitClientSecret = !d.sendSecret.value
	}
	if d.initialResponse.ok() {
		p.InitialResponse = d.initialResponse.value
	}
	d.consent.settle(p)
	if d.keepAlive.ok() {
		p.KeepAlive = orNever(d.keepAlive.value)
	}
}
