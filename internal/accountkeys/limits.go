package accountkeys

import (
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// Limits is what a provider's section, or an account, says about limits.
type Limits struct {
	MaxConnections, MaxConcurrent, MaxMessages, MaxRecipients keyfile.Given[int]
	MaxAge, Idle, Acquire                                     keyfile.Given[time.Duration]
	RateEnabled, CountRefused                                 keyfile.Given[bool]
	PerMinute, PerHour, PerDay, RecipientsPerDay, Logins      keyfile.Given[int]
	MaxMessageSize                                            keyfile.Given[int64]
}

// Retry is what a provider's section, or an account, says about retries.
type Retry struct {
	attempts keyfile.Given[int]
	factor   keyfile.Given[float64]
	maxDelay keyfile.Given[time.Duration]
	jitter   keyfile.Given[bool]
}

// Settle puts the given value, if any, into target, and keeps target under the
// ceiling. The entry of a clamped value says so.
func Settle[N int | int64 | time.Duration](target *N, g keyfile.Given[N], c account.Ceiling[N]) {
	if g.OK() {
		*target = g.Value
	}
	if c.Exceeded(*target) {
		*target = c.Max
		if g.OK() {
			g.Entry.Clamp(c.Max, c.Reason)
		}
	}
}

// Settle puts what the draft says into l, under the ceilings c.
func (d *Limits) Settle(l *account.Limits, c *account.Ceilings) {
	Settle(&l.MaxMessagesPerConnection, d.MaxMessages, account.Ceiling[int]{})
	Settle(&l.MaxRecipients, d.MaxRecipients, c.MaxRecipients)
	Settle(&l.MaxMessageSize, d.MaxMessageSize, c.MaxMessageSize)
	Settle(&l.ConnectionMaxAge, d.MaxAge, c.ConnectionMaxAge)
	Settle(&l.IdleTimeout, d.Idle, c.IdleTimeout)
	Settle(&l.AcquireTimeout, d.Acquire, account.Ceiling[time.Duration]{})
	d.settleRates(l, c)
}

func (d *Limits) settleRates(l *account.Limits, c *account.Ceilings) {
	rates := []*keyfile.Given[int]{&d.PerMinute, &d.PerHour, &d.PerDay, &d.RecipientsPerDay, &d.Logins}
	if d.RateEnabled.OK() && !d.RateEnabled.Value {
		for _, r := range rates {
			if r.OK() {
				r.Entry.Status, r.Entry.Note = keyfile.Ignored, "rate_limiting.enabled is false"
			}
			*r = keyfile.Given[int]{}
		}
	}
	Settle(&l.MessagesPerMinute, d.PerMinute, c.MessagesPerMinute)
	Settle(&l.MessagesPerHour, d.PerHour, account.Ceiling[int]{})
	Settle(&l.MessagesPerDay, d.PerDay, c.MessagesPerDay)
	Settle(&l.RecipientsPerDay, d.RecipientsPerDay, c.RecipientsPerDay)
	Settle(&l.LoginsPerMinute, d.Logins, account.Ceiling[int]{})
	if d.CountRefused.OK() {
		l.CountRefused = d.CountRefused.Value
	}
}

// Settle puts what the draft says into p.
func (d *Retry) Settle(p *account.RetryPolicy) {
	if d.attempts.OK() {
		p.MaxAttempts = d.attempts.Value
	}
	if d.factor.OK() {
		p.BackoffFactor = d.factor.Value
	}
	if d.maxDelay.OK() {
		p.MaxDelay = d.maxDelay.Value
	}
	if d.jitter.OK() {
		p.Jitter = d.jitter.Value
	}
}
