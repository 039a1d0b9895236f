package config

import (
	"net/netip"
	"path/filepath"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/seal"
)

// Settings is what config.json, the defaults and the command line say, checked.
// The tables of keys document each field; here is what it becomes.
type Settings struct {
	// ConfigFile and AccountsFile are the files that were read; ConfigFile is
	// empty when there was none.
	ConfigFile, AccountsFile string
	// Listeners are the addresses to listen on; at least one.
	Listeners []Listener
	Server    Server
	Upstream  Upstream
	OAuth     OAuth
	Admin     Admin
	Log       Log
	Runtime   Runtime
	Secrets   Secrets
	// StateDir is the directory of what outlives the process beside tokens;
	// empty: nothing does.
	StateDir string
	// Breakers are the circuit breakers of endpoints that have their own, by
	// "host:port".
	Breakers map[string]Breaker
	// Providers are the presets as configured, by name; "gmail", "outlook" and
	// "default" are always there.
	Providers map[string]*account.Provider
	// DryRun does everything up to the upstream login and sends nothing. It is
	// set on the command line only.
	DryRun bool
}

// StateFile returns the path of a file of that name in the state directory:
// StateDir or, without one, the directory of the token store. "": there is none.
func (s *Settings) StateFile(name string) string {
	if dir := s.stateDir(); dir != "" {
		return filepath.Join(dir, name)
	}
	return ""
}

func (s *Settings) stateDir() string {
	if s.StateDir == "" && s.OAuth.TokenStore != "" {
		return filepath.Dir(s.OAuth.TokenStore)
	}
	return s.StateDir
}

// Accounts returns what the accounts are read and edited with.
func (s *Settings) Accounts() *accountfile.Basis {
	return &accountfile.Basis{Path: s.AccountsFile, StateDir: s.stateDir(), Providers: s.Providers,
		BindSourceIP: s.Upstream.BindSourceIP, IPv6: s.Upstream.IPv6, Keys: s.Secrets.Key}
}

// Listener is one address that clients connect to.
type Listener struct {
	// Address is IP:port, without a zone or a name, where port 0 picks a free
	// one, or "unix:PATH", or "systemd:NAME".
	Address string
	// TLS is "none", "starttls", "required", "implicit" or "detect".
	TLS string
	// Allow limits who may connect, by source address; empty allows everyone
	// who can reach Address, which then is a loopback address.
	Allow []netip.Prefix
	// ProxyFrom are the peers that send a PROXY protocol header.
	ProxyFrom []netip.Prefix
	// Passwords is what a login needs: "any", "shared" or "account".
	Passwords string
	// MaxConnections, MaxPerSource and MaxMessages are caps of the listener, of
	// each source address, and of each connection; 0 is no cap.
	MaxConnections, MaxPerSource, MaxMessages int
}

// Server is the side of the clients.
type Server struct {
	Hostname                                        string
	Loops                                           int
	Pin                                             string
	MaxConnections, MaxRecipients, MaxErrors        int
	MaxPipelined                                    int
	MaxMessageSize, ContentBudget                   int64
	GreetingTimeout, CommandTimeout, ContentTimeout time.Duration
	IdleTimeout, SessionTimeout                     time.Duration
	// BareNewlines is what becomes of content with a bare CR or LF: "refuse" or
	// "normalise".
	BareNewlines string
	// SharedPassword is the password of listeners with passwords "shared", as
	// stored: a hash or plain text.
	SharedPassword account.Secret
	// CertFile and KeyFile are PEM files, for the listeners with TLS.
	CertFile, KeyFile string
	// DrainTimeout is how long running transactions may take after SIGTERM.
	DrainTimeout time.Duration
}

// Upstream is the side of the providers.
type Upstream struct {
	// CAFile is a PEM file of the certificate authorities to trust instead of
	// the system's; may be empty.
	CAFile string
	// Shards is the number of queues; 0 leaves the choice to the proxy.
	Shards int
	// OnLoops has small messages carried by the event loops.
	OnLoops   bool
	QueueSize int
	// MaxTransactions caps the transactions with providers at one time over all
	// accounts; 0 is no cap.
	MaxTransactions                          int
	DialTimeout, TLSTimeout, GreetingTimeout time.Duration
	CommandTimeout, ContentTimeout           time.Duration
	FinalReplyTimeout, TransactionTimeout    time.Duration
	// BindSourceIP connects from the account's ip_address; without it, no
	// account has a SourceIP.
	BindSourceIP bool
	// IPv6 connects over IPv6 too.
	IPv6 bool
	// QuotaAsTemporary answers 452 for the provider's quota refusals.
	QuotaAsTemporary              bool
	ThrottleRecovery, DNSCacheTTL time.Duration
	// Breaker is the circuit breaker of endpoints that have none of their own.
	Breaker Breaker
	// PrewarmConnections is for each account, PrewarmRate a second over all.
	PrewarmConnections, PrewarmRate int
}

// Breaker is when an endpoint is left alone: after so many failures in a row,
// and for how long. No Failures is never.
type Breaker struct {
	Failures int
	Recovery time.Duration
}

// OAuth is the token requests.
type OAuth struct {
	// CAFile is a PEM file of further certificate authorities; may be empty.
	CAFile                                string
	RequestTimeout, ConnectTimeout        time.Duration
	ParallelRefreshes, ConnectionsPerHost int
	// DefaultLifetime is that of an access token which comes without expires_in.
	DefaultLifetime time.Duration
	// Proxy is the URL of the HTTP proxy for token requests; zero: none.
	Proxy account.Secret
	// KeepAlive is how long a refresh token may be unused, where neither account
	// nor provider say; 0: for ever.
	KeepAlive time.Duration
	// MaxMailboxes is how many mailboxes of one catch-all account may be in use at
	// one time.
	MaxMailboxes int
	// TokenStore is the file that tokens are kept in; empty: in memory only.
	TokenStore string
}

// Secrets is how secrets in files are read.
type Secrets struct {
	// Key opens sealed values, and seals the token store; nil: there is none.
	Key *seal.Keyring
}

// Admin is the listener of metrics, health and state.
type Admin struct {
	// Address is IP:port; port 0 picks a free one.
	Address string
	// Socket is the path of the admin socket; empty: it is where a command looks
	// for it by itself.
	Socket string
	// Token is the bearer token of the admin API and of profiles; zero asks for
	// none, which is for a loopback Address only.
	Token account.Secret
	Pprof bool
}

// Log is what is logged and where.
type Log struct {
	// Level is "debug", "info", "warn" or "error"; Format "text" or "json".
	Level, Format string
	// File is a path; empty logs to no file.
	File string
	// Console logs to standard error.
	Console bool
}

// Runtime is what the Go runtime is told; zeros stand for the environment
// variables and the defaults.
type Runtime struct {
	GOMAXPROCS int
	GOGC       int // in percent
	// GOMEMLIMIT is in octets.
	GOMEMLIMIT int64
	// Scheduling is how Linux is to schedule the threads: "batch" or "normal".
	Scheduling string
}
