package oauth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/httpc"
)

// Config is how tokens are fetched. Start from DefaultConfig.
type Config struct {
	// Timeout bounds one refresh: connecting, the request, the reply and the
	// repetitions that an account's retry policy allows. Default: 10s.
	Timeout time.Duration
	// ConnectTimeout bounds connecting to a token endpoint, the TLS handshake
	// included. Default: 5s.
	ConnectTimeout time.Duration
	// IdleTimeout closes the connections to token endpoints after none was used for
	// so long. Default: 90s.
	IdleTimeout time.Duration
	// MaxParallel caps the refreshes that run at one time, over all accounts.
	// More than the provider likes brings HTTP 429. Default: 25.
	MaxParallel int
	// ConnectionsPerHost caps the connections to one token endpoint; further requests
	// wait. Default: 100.
	ConnectionsPerHost int
	// DefaultLifetime is the life of a token that comes without expires_in, which RFC
	// 6749 section 5.1 only recommends. Default: 1h.
	DefaultLifetime time.Duration
	// QueueTimeout is how long a refresh that a caller waits for may be queued before
	// it ends with a transient error. Default: 30s.
	QueueTimeout time.Duration
	// EarlyRefreshWindow: the token of an account that was used within this time is
	// replaced in the background before it expires. 0: the next caller starts the
	// refresh and waits for it. Default: 30m.
	EarlyRefreshWindow time.Duration
	// BackoffMin is the delay after the first transient failure of an account;
	// each further one multiplies it, up to BackoffMax. Default: 1s.
	BackoffMin time.Duration
	// BackoffMax caps the delay, unless the account's retry policy has a lower
	// cap or the endpoint asks for more by Retry-After. Default: 5m.
	BackoffMax time.Duration
	// CAFile names a PEM file of certificate authorities to trust for token
	// endpoints beside those of the system. Default: none.
	CAFile string
	// ExtraCAs are more certificate authorities to trust, for programs that have
	// them in memory.
	ExtraCAs []*x509.Certificate
	// Proxy is the URL of the HTTP proxy for token requests of accounts without one
	// of their own: "http://host:port" or "https://host:port", with user and password
	// before the host if the proxy wants them. Default: none.
	Proxy account.Secret
	// KeepAlive is how long the refresh token of an account without a period of its
	// own may be unused before it is refreshed, so that it does not expire from
	// inactivity. 0: for ever. Default: 720h (30 days).
	KeepAlive time.Duration
	// MaxMailboxes caps the mailboxes of one catch-all account that are in use at one
	// time: the ones that a client asked for within the last minutes. Logins of
	// further mailboxes are refused. Default: 20000.
	MaxMailboxes int
	// Store keeps tokens across restarts. Nil keeps them in memory only.
	Store Store
	// Share has one of several processes at a time refresh a chain, and gives all of them
	// what came. Nil: no other process has the accounts. See claim.go.
	Share Sharer
	// Watch notices refreshes and operations of Store that do not end. Nil: they are
	// not watched.
	Watch *watchdog.Watchdog
}

// DefaultConfig has every default.
func DefaultConfig() Config {
	return Config{
		Timeout:            10 * time.Second,
		ConnectTimeout:     5 * time.Second,
		IdleTimeout:        90 * time.Second,
		MaxParallel:        25,
		ConnectionsPerHost: 100,
		DefaultLifetime:    time.Hour,
		QueueTimeout:       30 * time.Second,
		EarlyRefreshWindow: 30 * time.Minute,
		BackoffMin:         time.Second,
		BackoffMax:         5 * time.Minute,
		KeepAlive:          30 * 24 * time.Hour,
		MaxMailboxes:       20000,
	}
}

// maxParallelism bounds the parallel requests: more of them only bring throttling.
const maxParallelism = 10000

// maxMailboxes is the upper limit of MaxMailboxes: a mailbox needs some 2 KiB.
const maxMailboxes = 1_000_000

// Validate reports all problems at once, each under its key.
func (c Config) Validate() error {
	var errs []error
	for _, d := range []struct {
		key string
		val time.Duration
	}{
		{"timeout", c.Timeout},
		{"connect_timeout", c.ConnectTimeout},
		{"idle_timeout", c.IdleTimeout},
		{"default_lifetime", c.DefaultLifetime},
		{"queue_timeout", c.QueueTimeout},
		{"backoff_min", c.BackoffMin},
	} {
		if d.val <= 0 {
			errs = append(errs, fmt.Errorf("oauth.%s: %v is not positive", d.key, d.val))
		}
	}
	if c.EarlyRefreshWindow < 0 {
		errs = append(errs, fmt.Errorf("oauth.early_refresh_window: %v is negative", c.EarlyRefreshWindow))
	}
	if c.KeepAlive < 0 {
		errs = append(errs, fmt.Errorf("oauth.keep_alive: %v is negative", c.KeepAlive))
	}
	if err := httpc.CheckProxy(c.Proxy); err != nil {
		errs = append(errs, fmt.Errorf("oauth.proxy: %w", err))
	}
	if c.BackoffMax < c.BackoffMin {
		errs = append(errs, fmt.Errorf("oauth.backoff_max: %v is below backoff_min (%v)", c.BackoffMax, c.BackoffMin))
	}
	if c.MaxParallel < 1 || c.MaxParallel > maxParallelism {
		errs = append(errs, fmt.Errorf("oauth.max_parallel: %d is not in 1..%d", c.MaxParallel, maxParallelism))
	}
	if c.ConnectionsPerHost < 1 || c.ConnectionsPerHost > maxParallelism {
		errs = append(errs, fmt.Errorf("oauth.connections_per_host: %d is not in 1..%d", c.ConnectionsPerHost, maxParallelism))
	}
	if c.MaxMailboxes < 1 || c.MaxMailboxes > maxMailboxes {
		errs = append(errs, fmt.Errorf("oauth.max_mailboxes: %d is not in 1..%d", c.MaxMailboxes, maxMailboxes))
	}
	if _, err := c.requests().Roots(); err != nil {
		errs = append(errs, fmt.Errorf("oauth.ca_file: %w", err))
	}
	return errors.Join(errs...)
}

// requests is what c says of requests to token endpoints.
func (c Config) requests() httpc.Config {
	return httpc.Config{
		Timeout: c.Timeout, ConnectTimeout: c.ConnectTimeout, IdleTimeout: c.IdleTimeout,
		ConnectionsPerHost: c.ConnectionsPerHost, Proxy: c.Proxy, CAFile: c.CAFile, ExtraCAs: c.ExtraCAs,
	}
}

// Flows returns new flows that send their requests as c says, for the packages
// below this one. Close them.
func (c Config) Flows() *flow.Flows { return flow.New(c.requests(), c.DefaultLifetime) }
