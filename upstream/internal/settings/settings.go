// Package settings is the Config of package upstream.
package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/dial"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/tenant"
	"xoauth2-proxy/upstream/internal/throttle"
)

const (
	maxShards = 1024
	// clientPatience is how long a client waits for the answer to
	// end-of-data (RFC 5321 section 4.5.3.2.6).
	clientPatience = 10 * time.Minute
	maxPrewarmRate = 1000
)

// BreakerConfig is when an endpoint is taken for dead.
type BreakerConfig = throttle.BreakerConfig

// Config is what the relay needs to know apart from the accounts, whose own
// limits are in account.Limits.
type Config struct {
	// Shards is the number of parts that the accounts are spread over.
	// Default: 0, GOMAXPROCS when New is called.
	Shards int
	// EhloName is announced to the providers in EHLO. Default: empty, the fully qualified
	// name of the host or, if it has none, the connection's own address as a literal.
	EhloName string
	// CAFile is a PEM file of the authorities that providers' certificates
	// are verified against instead of the system's. Default: empty.
	CAFile string
	// DryRun does everything up to the provider's answer to AUTH, and then
	// answers 250 without sending the message. Default: false.
	DryRun bool
	// GlobalConcurrency caps what opens a connection or carries a transaction
	// at one time. Default: 0, no cap.
	GlobalConcurrency int
	// MaxWaiting caps the transactions that wait for a connection, over all
	// accounts; TrySubmit fails with ErrQueueFull above it. Default: 10000.
	MaxWaiting int
	// MaxWaitingPerAccount caps them for each account. Default: 1000.
	MaxWaitingPerAccount int

	// CountByAccount has the relay count what becomes of messages by account.
	// Default: false.
	CountByAccount bool

	// DialTimeout is for DNS and the TCP handshake. Default: 10 s.
	DialTimeout time.Duration
	// TLSTimeout is for the TLS handshake. Default: 10 s.
	TLSTimeout time.Duration
	// GreetingTimeout is for the provider's greeting. Default: 30 s.
	GreetingTimeout time.Duration
	// LoginTimeout is for each of EHLO, STARTTLS and AUTH. Default: 30 s.
	LoginTimeout time.Duration
	// TokenTimeout is for a token that is not cached. Default: 30 s.
	TokenTimeout time.Duration
	// CommandTimeout is for MAIL, RCPT and RSET. Default: 30 s.
	CommandTimeout time.Duration
	// DataTimeout is for the reply to DATA. Default: 60 s.
	DataTimeout time.Duration
	// ContentTimeout is for each write of content, 1 MiB at most, from the last octets of it
	// that left. Default: 3 min.
	ContentTimeout time.Duration
	// FinalTimeout is for the reply to the end of the content. Default: 5 min.
	FinalTimeout time.Duration
	// TransactionTimeout caps a transaction from its submission to its answer.
	// It must stay below the 10 minutes for which a client waits at the end
	// of the content (RFC 5321 section 4.5.3.2.6). Default: 8 min.
	TransactionTimeout time.Duration
	// HoldTimeout is how long a connection is kept for an open transaction that waits
	// for the client's next recipient or the end of its content. Default: 1 s.
	HoldTimeout time.Duration
	// QuitTimeout is for the provider's answer to QUIT. Default: 2 s.
	QuitTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause of an account after failed
	// attempts to connect or log in, and of one that is throttled at its last
	// connection; it doubles with each. Defaults: 500 ms, 60 s.
	BackoffMin, BackoffMax time.Duration
	// ThrottleRecovery is the time in which an account that was throttled gets
	// one connection more. Default: 30 s.
	ThrottleRecovery time.Duration
	// QuotaAsTemporary answers 452 in place of the provider's permanent reply
	// that the account's quota is used up, so that the client keeps the
	// message. If false, that reply passes as it is. Default: true.
	QuotaAsTemporary bool

	// Breaker is for every endpoint that has none of its own in Breakers, by
	// "host:port". Default: five failures, 15 s.
	Breaker  BreakerConfig
	Breakers map[string]BreakerConfig
	// DNSCacheTTL is how long the addresses of a host are used before they are
	// asked for again. Default: 60 s; 0 asks for each connection.
	DNSCacheTTL time.Duration
	// IPv6 connects over IPv6 too. Default: false.
	IPv6 bool
	// PrewarmConnections is how many connections of each account Prewarm opens,
	// never more than the account's limit. Default: 0, none.
	PrewarmConnections int
	// PrewarmRate is how many connections a second Prewarm opens, over all
	// accounts. Default: 10.
	PrewarmRate int

	// Tenants have a limit on their external recipients, by name in lower case; see
	// account.Account.TenantName. Default: none.
	Tenants map[string]tenant.Config
	// Quota keeps what accounts have sent in the last 24 hours over restarts.
	// Default: nil, it is forgotten.
	Quota QuotaStore

	// Share is what other processes use the same mailboxes with, and the tenants. Default:
	// nil, there are none.
	Share share.Pool

	// Watch notices shards that do not come back. Default: nil, nothing does.
	Watch *watchdog.Watchdog
}

// QuotaStore keeps the counts of the day over restarts. An hour is numbered
// since the Unix epoch. Load and Save are called by shards and must not wait
// for the disk; all methods may be called at the same time.
type QuotaStore interface {
	// Load calls hour for each hour of the account that was saved.
	Load(account string, hour func(hour int64, messages, recipients uint32))
	// Save replaces the counts of an hour of the account.
	Save(account string, hour int64, messages, recipients uint32)
	// Flush has all that was saved on the disk when it returns.
	Flush() error
}

// Default returns the defaults given at each field.
func Default() Config {
	return Config{
		MaxWaiting:           10000,
		MaxWaitingPerAccount: 1000,
		DialTimeout:          10 * time.Second,
		TLSTimeout:           10 * time.Second,
		GreetingTimeout:      30 * time.Second,
		LoginTimeout:         30 * time.Second,
		TokenTimeout:         30 * time.Second,
		CommandTimeout:       30 * time.Second,
		DataTimeout:          60 * time.Second,
		ContentTimeout:       3 * time.Minute,
		FinalTimeout:         5 * time.Minute,
		TransactionTimeout:   8 * time.Minute,
		HoldTimeout:          time.Second,
		QuitTimeout:          2 * time.Second,
		BackoffMin:           500 * time.Millisecond,
		BackoffMax:           60 * time.Second,
		ThrottleRecovery:     30 * time.Second,
		QuotaAsTemporary:     true,
		Breaker:              BreakerConfig{Failures: 5, Recovery: 15 * time.Second},
		DNSCacheTTL:          60 * time.Second,
		PrewarmRate:          10,
	}
}

// Validate reports all problems at once, except for the content of CAFile,
// which New reads.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("upstream."+format, args...)) }
	if c.Shards < 0 || c.Shards > maxShards {
		bad("shards: %d is not in 0..%d", c.Shards, maxShards)
	}
	if _, err := CheckEhloName(c.EhloName); err != nil {
		bad("ehlo_name: %w", err)
	}
	if c.GlobalConcurrency < 0 {
		bad("global_concurrency: %d is negative", c.GlobalConcurrency)
	}
	if c.MaxWaiting < 1 {
		bad("max_waiting: %d must be positive", c.MaxWaiting)
	}
	if c.MaxWaitingPerAccount < 1 {
		bad("max_waiting_per_account: %d must be positive", c.MaxWaitingPerAccount)
	}
	if c.PrewarmConnections < 0 {
		bad("prewarm_connections: %d is negative", c.PrewarmConnections)
	}
	if c.PrewarmRate < 1 || c.PrewarmRate > maxPrewarmRate {
		bad("prewarm_rate: %d is not in 1..%d", c.PrewarmRate, maxPrewarmRate)
	}
	if c.DNSCacheTTL < 0 {
		bad("dns_cache_ttl: %v is negative", c.DNSCacheTTL)
	}
	for _, b := range append(slices.Collect(maps.Values(c.Breakers)), c.Breaker) {
		if b.Failures > 0 && b.Recovery <= 0 {
			bad("circuit_breaker: recovery of %v must be positive", b.Recovery)
		}
	}
	for _, t := range []struct {
		key string
		val time.Duration
	}{
		{"dial_timeout", c.DialTimeout}, {"tls_timeout", c.TLSTimeout}, {"greeting_timeout", c.GreetingTimeout},
		{"login_timeout", c.LoginTimeout}, {"token_timeout", c.TokenTimeout}, {"command_timeout", c.CommandTimeout},
		{"data_timeout", c.DataTimeout}, {"content_timeout", c.ContentTimeout}, {"final_timeout", c.FinalTimeout},
		{"transaction_timeout", c.TransactionTimeout}, {"hold_timeout", c.HoldTimeout},
		{"quit_timeout", c.QuitTimeout}, {"backoff_min", c.BackoffMin}, {"backoff_max", c.BackoffMax},
		{"throttle_recovery", c.ThrottleRecovery},
	} {
		if t.val <= 0 {
			bad("%s: %v must be positive", t.key, t.val)
		}
	}
	if c.TransactionTimeout >= clientPatience {
		bad("transaction_timeout: %v is not below the %v that a client waits", c.TransactionTimeout, clientPatience)
	}
	if c.BackoffMax < c.BackoffMin {
		bad("backoff_max: %v is less than backoff_min, %v", c.BackoffMax, c.BackoffMin)
	}
	return errors.Join(errs...)
}

// Client returns the configuration of the connections.
func (c Config) Client() smtpclient.Config {
	name := c.EhloName
	if own := dial.HostName(); name == "" && validEhloName(own) {
		name = own
	}
	return smtpclient.Config{EhloName: name, Greeting: c.GreetingTimeout, TLS: c.TLSTimeout, Login: c.LoginTimeout,
		Command: c.CommandTimeout, Data: c.DataTimeout, Content: c.ContentTimeout, Final: c.FinalTimeout, Hold: c.HoldTimeout,
		Quit: c.QuitTimeout}
}

// Carry returns the configuration of the transactions.
func (c Config) Carry() carry.Config {
	return carry.Config{DryRun: c.DryRun, QuotaAsTemporary: c.QuotaAsTemporary, TransactionTimeout: c.TransactionTimeout,
		FinalTimeout: c.FinalTimeout, MaxWaiting: c.MaxWaiting}
}

// Dialer returns the dialer of a relay that puts its metrics into set.
func (c Config) Dialer(set *metrics.Set) (*dial.Dialer, error) {
	return dial.New(dial.Config{Timeout: c.DialTimeout, CAFile: c.CAFile, CacheTTL: c.DNSCacheTTL, IPv6: c.IPv6}, set)
}

// CheckEhloName returns the name, or an error if it can be no Config.EhloName.
func CheckEhloName(name string) (string, error) {
	if name != "" && !validEhloName(name) {
		return "", fmt.Errorf("%q is not a host name or an address literal", name)
	}
	return name, nil
}

// validEhloName accepts the characters of domains and address literals; above
// all nothing that could end the command.
func validEhloName(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '[', c == ']', c == ':':
		default:
			return false
		}
	}
	return true
}
