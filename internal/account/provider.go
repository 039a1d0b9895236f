package account

import (
	"strings"
	"time"
)

// Provider is what the accounts of one mail provider have in common. The
// presets below are starting values: configuration may change and add to them.
type Provider struct {
	// Name is how accounts refer to it.
	Name string
	// SMTP is the submission endpoint.
	SMTP Endpoint
	// TokenURL is the OAuth2 token endpoint.
	TokenURL string
	// PersonalTokenURL replaces TokenURL for the addresses in PersonalDomains.
	PersonalTokenURL string
	// PersonalDomains are the domains, in lower case, of mailboxes that belong
	// to persons and not to an organisation.
	PersonalDomains []string
	// Scope is sent when a token is refreshed; empty sends none, which keeps
	// the scope that was consented to.
	Scope string
	// NeedsClientSecret says that a client without a secret is refused, so that
	// an account without one is a mistake.
	NeedsClientSecret bool
	// OmitClientSecret says that a configured secret is not sent on refresh.
	OmitClientSecret bool
	// Limits are in force where configuration says nothing.
	Limits Limits
	// Ceilings are what configuration may not exceed.
	Ceilings Ceilings
	// RefreshMargin is how long before its expiry an access token is replaced.
	RefreshMargin time.Duration
	// MinRefreshMargin is the least RefreshMargin that the provider bears.
	MinRefreshMargin time.Duration
	// Retry governs requests to the token endpoint.
	Retry RetryPolicy
}

// Ceilings are upper bounds on Limits, for what a provider refuses, delays or
// punishes. The zero value bounds nothing.
type Ceilings struct {
	MaxConnections, MaxRecipients, MessagesPerMinute, MessagesPerDay, RecipientsPerDay Ceiling[int]

	ConnectionMaxAge, IdleTimeout Ceiling[time.Duration]

	MaxMessageSize Ceiling[int64]
}

// Ceiling is the most that a limit may be, and why.
type Ceiling[N int | int64 | time.Duration] struct {
	// Max is the most; 0 is no ceiling.
	Max N
	// Reason is shown to the operator who configured more.
	Reason string
}

// Exceeded reports whether n is above the ceiling. A limit of 0, which is no
// limit, is above any ceiling.
func (c Ceiling[N]) Exceeded(n N) bool {
	return c.Max > 0 && (n == 0 || n > c.Max)
}

// Lower returns the lower of c and a ceiling of limit for that reason.
func (c Ceiling[N]) Lower(limit N, reason string) Ceiling[N] {
	if c.Max == 0 || limit < c.Max {
		return Ceiling[N]{limit, reason}
	}
	return c
}

// TokenURLFor returns the token endpoint for the mailbox of that address.
func (p *Provider) TokenURLFor(email string) string {
	domain := email[strings.LastIndexByte(email, '@')+1:]
	for _, d := range p.PersonalDomains {
		if strings.EqualFold(d, domain) {
			return p.PersonalTokenURL
		}
	}
	return p.TokenURL
}
