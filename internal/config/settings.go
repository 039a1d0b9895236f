package config

import (
	"path/filepath"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/share/redisstore"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/server"
	"xoauth2-proxy/upstream"
)

// Settings is what config.json, the defaults and the command line say, checked.
// What a package takes is embedded: there each setting is declared, with its unit
// and its default. The tables of keys say how a file gives it.
type Settings struct {
	// ConfigFile and AccountsFile are the files that were read; ConfigFile is
	// empty when there was none.
	ConfigFile, AccountsFile string
	Server                   Server
	Upstream                 Upstream
	OAuth                    OAuth
	Admin                    Admin
	Log                      Log
	// Accounting is the accounting log. See AccountingDir.
	Accounting accounting.Config
	Share      Share
	Runtime    Runtime
	Secrets    Secrets
	// StateDir is the directory for counts and orders that outlive the process.
	// Default: empty, they do not.
	StateDir string
	// Providers are the presets as configured, by name; "gmail", "outlook" and
	// "default" are always there.
	Providers map[string]*account.Provider

	lenient bool // see LoadLenient
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
		BindSourceIP: s.Upstream.BindSourceIP, IPv6: s.Upstream.IPv6, Keys: s.Secrets.Key, Signing: signing, Lenient: s.lenient}
}

// Server is the side of the clients. Its TLS, Orders and Watch are not settings.
type Server struct {
	server.Config
	// CertFile and KeyFile are PEM files, for the listeners with TLS. Default:
	// none.
	CertFile, KeyFile string
	// ShutdownDelay is how long new connections are taken after SIGTERM, while /ready
	// says that the proxy drains. Default: 0.
	ShutdownDelay time.Duration
	// EvictOver is how long a process that was upgraded goes on: it ends its sessions one
	// after the other, and can begin again. The drain follows. Default: 30 s.
	EvictOver time.Duration
	// DrainTimeout is how long running transactions may take after SIGTERM.
	// Default: 30 s.
	DrainTimeout time.Duration
}

// Upstream is the side of the providers. Its Quota and Watch are not settings, and
// LoginTimeout is CommandTimeout. A Server.Hostname with a domain is EhloName, too, where
// that is not set.
type Upstream struct {
	upstream.Config
	// BindSourceIP connects from the account's ip_address; without it, no
	// account has a SourceIP. Default: true.
	BindSourceIP bool
	// OnLoops is read and has no effect: all messages are carried by event loops.
	OnLoops bool
}

// OAuth is the token requests. Its Store, ExtraCAs and Watch are not settings.
type OAuth struct {
	oauth.Config
	// TokenStore is the file that tokens are kept in. Default: empty, they are in
	// memory only.
	TokenStore string
}

// Secrets is how secrets in files are read.
type Secrets struct {
	// Key opens sealed values, and seals the token store; nil: there is none.
	Key *seal.Keyring
	// Ref is where Key was read, as file:/path, env:NAME or credential:NAME.
	Ref string
}

// Admin is the listener of metrics, health and state. Its Sockets, SocketNeeded,
// Version and Revision are not settings.
type Admin struct {
	admin.Config
	// Socket is the path of the admin socket. Default: empty, it is where a command
	// looks for it by itself.
	Socket string
	// Token is Config.Token, which a reload can change. Default: none, which is for
	// a loopback Address only.
	Token account.Secret
}

// Log is which entries are logged, and where.
type Log struct {
	// Level is "debug", "info", "warn" or "error"; Format "text" or "json".
	// Defaults: "info", "text".
	Level, Format string
	// File is a path. Default: empty, no file.
	File string
	// Console logs to standard error. Default: true.
	Console bool
}

// Share is what several proxies share limits by. Its URL is empty if this one shares none.
type Share struct {
	redisstore.Config
	// Node names this proxy among the others. Default: the name of the host.
	Node string
	// Key seals the tokens in the store, and is the same on all nodes. Default:
	// Secrets.Key.
	Key *seal.Keyring
}

// Runtime is the settings of the Go runtime; a zero stands for the environment
// variable or the default.
type Runtime struct {
	GOMAXPROCS int
	GOGC       int // in percent
	// GOMEMLIMIT is in octets.
	GOMEMLIMIT int64
	// Scheduling is how Linux is to schedule the threads: "batch" or "normal".
	// Default: "batch".
	Scheduling string
}
