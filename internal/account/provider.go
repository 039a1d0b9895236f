package account

import (
	"strings"
	"time"
)

// Provider has the settings that the accounts of one mail provider share. The presets are
// starting values: configuration may change and add to them.
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
	// AuthURL and DeviceURL are the authorization endpoint (RFC 6749 section
	// 3.1) and the device authorization endpoint (RFC 8628), for giving consent.
	// An empty DeviceURL says that the provider has none for mail.
	AuthURL, DeviceURL string
	// ConsentScope is what to ask consent for, so that mail can be submitted and
	// a refresh token is issued.
	ConsentScope string
	// AppScope is the scope of FlowClientCredentials and FlowServiceAccount.
	AppScope string
	// Scope is sent when a token is refreshed; empty sends none, which keeps
	// the scope that was consented to.
	Scope string
	// NeedsClientSecret says that a client without a secret is refused, so that
	// an account without one is a mistake.
	NeedsClientSecret bool
	// OmitClientSecret says that a configured secret is not sent on refresh.
	OmitClientSecret bool
	// ClientAuth is how a client's secret is sent. Empty means ClientSecretPost.
	ClientAuth ClientAuth
	// Extensions are the ones that its submission server announces.
	Extensions Extensions
	// AnnouncedSize is the SIZE that the operator gives for it, in octets. 0: the
	// one in its EHLO reply holds.
	AnnouncedSize int64
	// InitialResponse says how long tokens are sent. Empty means
	// InitialResponseAuto.
	InitialResponse InitialResponse
	// Avoid are the keywords whose extensions are not used, whatever its submission
	// server announces.
	Avoid Keywords
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
	// KeepAlive is how long a refresh token may be unused before it is used to
	// keep it from expiring: far below the provider's limit.
	KeepAlive time.Duration
	// RefreshIdle is the provider's limit: a refresh token that is unused for so long ends.
	// 0: it is not known.
	RefreshIdle time.Duration
	// SecretExpires is for accounts that do not say when their client secret ends; zero: it
	// is not known.
	SecretExpires time.Time
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

// anyTenant is the path segment of Microsoft's URLs that stands for the tenant.
const anyTenant = "/common/"

// ForTenant returns p with the tenant, a domain or a GUID, in its URLs. ok is
// false if the provider has no tenants or that is no name for one.
func (p Provider) ForTenant(tenant string) (forTenant Provider, ok bool) {
	if tenant == "" || !strings.Contains(p.TokenURL, anyTenant) {
		return p, false
	}
	for _, c := range []byte(tenant) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return p, false
		}
	}
	for _, u := range []*string{&p.TokenURL, &p.AuthURL, &p.DeviceURL} {
		*u = strings.Replace(*u, anyTenant, "/"+tenant+"/", 1)
	}
	p.PersonalDomains = nil // a named tenant holds for all domains
	return p, true
}

// FillFlow fills in the provider's values for the account's flow, where the account has
// none: the scope of an application, KeepAlive and the end of the client secret.
func (p *Provider) FillFlow(a *Account) {
	if a.Scope == "" && (a.Flow == FlowClientCredentials || a.Flow == FlowServiceAccount) {
		a.Scope = p.AppScope
	}
	if a.KeepAlive == 0 {
		a.KeepAlive = p.KeepAlive
	}
	if a.SecretExpires.IsZero() && !a.ClientSecret.IsZero() {
		a.SecretExpires = p.SecretExpires
	}
}

// TokenURLFor returns the token endpoint for the mailbox of that address.
func (p *Provider) TokenURLFor(email string) string {
	key := FoldLogin(email)
	domain := key[strings.LastIndexByte(key, '@')+1:]
	for _, d := range p.PersonalDomains {
		if d == domain {
			return p.PersonalTokenURL
		}
	}
	return p.TokenURL
}
