package account

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TLSMode says when a connection to an endpoint is encrypted. There is no mode
// without encryption: a bearer token is as good as a password.
type TLSMode string

const (
	// TLSStartTLS upgrades with the STARTTLS command (RFC 3207), usually on port 587.
	TLSStartTLS TLSMode = "starttls"
	// TLSImplicit starts with the TLS handshake (RFC 8314), usually on port 465.
	TLSImplicit TLSMode = "implicit"
)

// PortImplicitTLS is the port registered for submission over implicit TLS
// (RFC 8314 section 7.3).
const PortImplicitTLS = 465

// TLSModeForPort is the mode that a port implies when nothing else is said:
// implicit on 465, STARTTLS on every other.
func TLSModeForPort(port int) TLSMode {
	if port == PortImplicitTLS {
		return TLSImplicit
	}
	return TLSStartTLS
}

// Endpoint is where a provider takes submissions.
type Endpoint struct {
	// Host is a DNS name or an IP address without brackets. The server's
	// certificate must be valid for it.
	Host string
	Port int
	TLS  TLSMode
}

// String returns host:port, with brackets around an IPv6 address.
func (e Endpoint) String() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
}

// Limits bounds the use of a provider by one account. In counts and sizes zero means no
// limit; durations are always positive in a loaded account.
type Limits struct {
	// MaxConnections caps the connections of the account that are open at one
	// time, those being opened and closed included.
	MaxConnections int
	// MaxMessagesPerConnection retires a connection after so many messages.
	MaxMessagesPerConnection int
	// MaxRecipients caps the recipients of one message.
	MaxRecipients int
	// ConnectionMaxAge retires a connection so long after its start.
	ConnectionMaxAge time.Duration
	// IdleTimeout retires a connection that was not used for so long.
	IdleTimeout time.Duration
	// AcquireTimeout is how long a message may wait for a free connection
	// before the client is told to come back later.
	AcquireTimeout time.Duration
	// MessagesPerMinute, MessagesPerHour and MessagesPerDay cap messages.
	MessagesPerMinute, MessagesPerHour, MessagesPerDay int
	// RecipientsPerDay caps the recipients of all messages of 24 hours.
	RecipientsPerDay int
	// CountRefused says that the provider counts recipients and messages that it refused,
	// too.
	CountRefused bool
	// LoginsPerMinute caps new authenticated connections.
	LoginsPerMinute int
	// MaxMessageSize caps the content in octets.
	MaxMessageSize int64
}

// RetryPolicy is how often, and how patiently, a request to the token endpoint
// is repeated after a transient failure. Permanent refusals are never repeated.
type RetryPolicy struct {
	// MaxAttempts counts the first one too; at least 1.
	MaxAttempts int
	// BackoffFactor multiplies the delay after each attempt; at least 1.
	BackoffFactor float64
	// MaxDelay caps the delay between two attempts.
	MaxDelay time.Duration
	// Jitter spreads the delays at random, so that many accounts that failed
	// together do not come back together.
	Jitter bool
}

// NoProxy stands, as the URL of an HTTP proxy, for none.
const NoProxy = "none"

// Account is one mailbox that the proxy can submit for. It is immutable once
// it is part of a Snapshot.
type Account struct {
	// ID names the account in logs and keys its runtime state; unique.
	ID string
	// Email is the login name as configured; unique under case folding.
	Email string
	// Provider is the name of the provider's preset or configuration section.
	Provider string
	// Tenant is the configured tenant, a domain or a GUID; may be empty. See TenantName.
	Tenant string
	// VMTA is the virtual MTA of the bulk MTA that uses the account; informative.
	VMTA string
	// Senders are the addresses that clients may send from. See MaySendAs.
	Senders Senders
	// Flow is how access tokens are got. Empty means FlowRefreshToken.
	Flow Flow
	// ClientID is the OAuth2 client (RFC 6749 section 2.2); with
	// FlowServiceAccount it is the address of the service account.
	ClientID string
	// TokenURL is the token endpoint. With FlowExternal it is the endpoint that
	// issues access tokens, and empty if TokenCommand prints them.
	TokenURL string
	// Scope is sent with the request when not empty (RFC 6749 section 3.3).
	Scope string
	// AuthIdentity is the user named in AUTH; empty means Email. See Identity.
	AuthIdentity string
	// Mechanism is the SASL mechanism to log in with. Empty means
	// MechanismXOAUTH2.
	Mechanism Mechanism
	// InitialResponse is the provider's. Empty means InitialResponseAuto.
	InitialResponse InitialResponse
	// Avoid is the provider's.
	Avoid Keywords
	// ClientPassword is the password of clients for the proxy, as stored: a hash
	// or plain text. The provider never sees it.
	ClientPassword Secret
	// ClientSecret authenticates the client; zero for public clients, and then
	// it is not sent. An external endpoint gets it as bearer token.
	ClientSecret Secret
	// ClientAuth is how ClientSecret is sent. Empty means ClientSecretPost.
	ClientAuth ClientAuth
	// SecretExpires is when ClientSecret ends, as the operator knows it; zero: not known.
	SecretExpires time.Time
	// RefreshToken is the configured one. The provider may have rotated it since.
	RefreshToken Secret
	// Certificate is the client's certificate in PEM form. With it the client
	// authenticates by a signed assertion (RFC 7523) in place of a secret.
	Certificate string
	// PrivateKey signs assertions: the key of Certificate, or the service
	// account's key. PEM form.
	PrivateKey Secret
	// PrivateKeyID is the key ID of a service account's key.
	PrivateKeyID string
	// Subject is the mailbox that a service account acts for; empty means
	// Identity.
	Subject string
	// TokenCommand is the program, with its arguments, that prints an access
	// token for FlowExternal. It is run without a shell.
	TokenCommand []string
	// TokenProxy is the URL of the HTTP proxy for token requests, which may
	// have a password in it; zero is the default of the proxy's configuration, and
	// NoProxy none.
	TokenProxy Secret
	// TokenCAFile names a PEM file of certificate authorities to trust for
	// token requests, beside those of the configuration.
	TokenCAFile string
	// SMTP is the provider's submission endpoint.
	SMTP Endpoint
	// SourceIP is the local address to connect from; the zero Addr leaves the
	// choice to the system.
	SourceIP netip.Addr
	// Extensions are the provider's: a message may use these.
	Extensions Extensions
	// AnnouncedSize is the provider's SIZE in octets as the operator gives it, in place
	// of the one in its EHLO reply; 0: that one holds.
	AnnouncedSize int64
	// Limits caps the use of the account.
	Limits Limits
	// RefreshMargin is how long before its expiry an access token is replaced.
	RefreshMargin time.Duration
	// Retry governs requests to the token endpoint.
	Retry RetryPolicy
	// KeepAlive is how long the refresh token may be unused before it is used
	// only to keep it from expiring. 0 is a default; a negative value never
	// does so.
	KeepAlive time.Duration

	// base is the catch-all account that this one was made from, or nil.
	base *Account
	// mailboxes are those of a catch-all account in a snapshot, else nil.
	mailboxes *mailboxes
	// prints caches the fingerprints; see fingerprints.
	prints *fingerprints
}

// Identity is the user that authenticates upstream: AuthIdentity, or Email
// when that is empty.
func (a *Account) Identity() string {
	if a.AuthIdentity != "" {
		return a.AuthIdentity
	}
	return a.Email
}

// AnyTenant are the names in Tenant that stand for many tenants.
var AnyTenant = []string{"common", "organizations", "consumers"}

// TenantName is the tenant that the mailbox belongs to: Tenant, if that names one, or the
// domain of Email.
func (a *Account) TenantName() string {
	any := func(name string) bool { return strings.EqualFold(name, a.Tenant) }
	if a.Tenant != "" && !slices.ContainsFunc(AnyTenant, any) {
		return a.Tenant
	}
	return a.Email[strings.LastIndexByte(a.Email, '@')+1:]
}
