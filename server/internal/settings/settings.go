// Package settings is the Config of package server.
package settings

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/server/internal/journal"
)

// Listener is one address that clients connect to.
type Listener struct {
	// Address is "host:port", where port 0 picks a free one, "unix:PATH", or
	// "systemd:NAME" for a socket that systemd passes (FileDescriptorName=).
	Address string
	// TLS says how the listener uses TLS; all modes but TLSNone need
	// Config.TLS.
	TLS TLSMode
	// Allow limits who may connect, by source address. Empty: anyone who
	// can reach Address. It does not apply to unix sockets, which have file
	// permissions.
	Allow []netip.Prefix
	// ProxyFrom are the peers that must send a PROXY protocol header (v1 or
	// v2), whose source address then counts as the client's. A header from
	// another peer is a syntax error.
	ProxyFrom []netip.Prefix
	// Passwords is whose password a login needs. Default: any will do, which
	// is for listeners that only trusted clients can reach.
	Passwords password.Policy
	// MaxConnections caps the sessions of this listener, MaxPerSource those
	// from one source, which is an IPv4 address or the /64 network of an IPv6
	// address; more are greeted with 421. 0: no cap.
	MaxConnections, MaxPerSource int
	// MaxMessages ends a session with 421 after so many messages. 0: no cap.
	MaxMessages int
}

// TLSMode says how a listener uses TLS.
type TLSMode string

const (
	// TLSNone offers no TLS.
	TLSNone TLSMode = ""
	// TLSOffered offers STARTTLS; clients may log in without it.
	TLSOffered TLSMode = "starttls"
	// TLSRequired offers STARTTLS and refuses AUTH before it.
	TLSRequired TLSMode = "required"
	// TLSImplicit starts with the handshake (RFC 8314).
	TLSImplicit TLSMode = "implicit"
	// TLSDetect takes a handshake at the start if the client begins with one,
	// and else offers STARTTLS. A client that waits for the greeting in clear
	// gets it a second later than on other listeners.
	TLSDetect TLSMode = "detect"
)

// OffersSTARTTLS reports whether clients may begin TLS by STARTTLS.
func (m TLSMode) OffersSTARTTLS() bool { return m == TLSOffered || m == TLSRequired || m == TLSDetect }

// MessageLog says which outcomes of messages are logged: "all", "failed" or "none".
type MessageLog = journal.Messages

// Orders knows the accounts that an operator has paused. The server asks it on its loops, at
// every login and every message, so it must not block.
type Orders interface {
	// Held reports whether the account is paused, and why, in one line that is fit
	// for a reply.
	Held(accountID string) (why string, held bool)
}

// Config has the settings of a server. All durations must be positive.
type Config struct {
	// Hostname is announced in the greeting and in the EHLO reply. Default:
	// xoauth2-proxy.
	Hostname string
	// Listeners are the addresses to listen on; at least one. Default: none.
	Listeners []Listener
	// SharedPassword is the stored form of the password for listeners of
	// policy "shared". Default: none.
	SharedPassword account.Secret
	// Passed has listening sockets that the process was given, beside those of systemd. Nil:
	// none. Paused: nothing is accepted until Server.Resume.
	Passed *loop.Passed
	Paused bool
	// Orders tells which accounts an operator has paused. Nil: none.
	Orders Orders
	// TLS has the certificate; nil if no listener uses TLS. Its
	// GetConfigForClient may renew it while the server runs.
	TLS *tls.Config
	// Loops is the number of event loops. Default: 0, one for each CPU.
	Loops int
	// Pin binds each loop's thread to one CPU: "off", "auto" (on from 4 CPUs
	// up) or a list like "0,2". CPUs outside the process's mask are refused.
	// Default: "off".
	Pin string
	// MaxConnections caps the sessions in all; more are greeted with 421.
	// Default: 20000.
	MaxConnections int
	// MaxMessageSize caps the content in octets (RFC 1870); more gets 552.
	// Default: 35 MiB, above Gmail's 35,882,577 octets.
	MaxMessageSize int64
	// MaxRecipients caps the recipients of a transaction; more get 452 4.5.3.
	// RFC 5321 section 4.5.3.1.8 asks for at least 100. Default: 1000.
	MaxRecipients int
	// MaxErrors ends a session with 421 after so many 5yz replies of ours without a
	// message that the provider accepts. The malformed recipients of a transaction count
	// as one. Default: 20.
	MaxErrors int
	// MaxPipelined caps the unread input, in octets, while the session waits
	// for the upstream; above it nothing more is read from the client. Default:
	// 64 KiB.
	MaxPipelined int
	// ContentBudget caps the memory, in octets, of all content in flight. At
	// 80 % new transactions get 452 4.3.1, running ones go on. Once half of it is in
	// use, an account has a share at most (codec.Share). Default: 1 GiB.
	ContentBudget int64
	// GreetingTimeout is for the first command, CommandTimeout for each later
	// one, IdleTimeout for the next command of a client that is logged in and
	// has no transaction, ContentTimeout for each read of content (RFC 5321
	// section 4.5.3.2 asks for at least 5 minutes for commands and 3 for the
	// latter). Content that comes at less than 1 KiB a second, averaged over 60 s, ends
	// the session in any case. Defaults: 5 min, 5 min, 5 min, 3 min.
	GreetingTimeout, CommandTimeout, IdleTimeout, ContentTimeout time.Duration
	// SessionTimeout is the age at which a session ends with 421: when it has
	// no transaction, and in any case ContentTimeout later, unless the provider
	// is to answer. Default: 24 h.
	SessionTimeout time.Duration
	// HandshakeTimeout is for a TLS handshake, and for a PROXY header. Default:
	// 10 s.
	HandshakeTimeout time.Duration
	// NormaliseNewlines makes CRLF of each bare CR and bare LF in content, unless it is
	// BINARYMIME, instead of refusing it with 554; and a bare LF ends a command line,
	// which else is refused with 500. Default: false.
	NormaliseNewlines bool
	// Checks configures the workers that compute slow hashes, Failures the delays
	// and refusals after wrong passwords.
	Checks   password.Config
	Failures password.FailureConfig
	// LogMessages says which outcomes of messages are logged. Default: those of messages
	// that were not accepted.
	LogMessages MessageLog
	// Watch notices stuck loops. Nil: nothing does.
	Watch *watchdog.Watchdog
	// Accounting takes a record of each outcome of a recipient. Nil: nothing does.
	Accounting *accounting.Log
}

// Default has every default but the listeners.
func Default() Config {
	return Config{
		Hostname:         "xoauth2-proxy",
		Pin:              "off",
		MaxConnections:   20000,
		MaxMessageSize:   35 << 20,
		MaxRecipients:    1000,
		MaxErrors:        20,
		MaxPipelined:     64 << 10,
		ContentBudget:    1 << 30,
		GreetingTimeout:  5 * time.Minute,
		CommandTimeout:   5 * time.Minute,
		IdleTimeout:      5 * time.Minute,
		ContentTimeout:   3 * time.Minute,
		SessionTimeout:   24 * time.Hour,
		HandshakeTimeout: 10 * time.Second,
		Checks:           password.DefaultConfig(),
		Failures:         password.DefaultFailureConfig(),
		LogMessages:      journal.Failed,
	}
}

// Validate reports all problems at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("server: "+format, args...)) }
	if c.Hostname == "" {
		bad("hostname is empty")
	}
	if len(c.Listeners) == 0 {
		bad("no listener")
	}
	for _, l := range c.Listeners {
		if l.Passwords != "" && !l.Passwords.Valid() {
			bad("listener %s: unknown password policy %q", l.Address, l.Passwords)
		}
		if l.Passwords == password.PolicyShared && c.SharedPassword.IsZero() {
			bad("listener %s: there is no shared password", l.Address)
		}
		switch l.TLS {
		case TLSNone:
		case TLSOffered, TLSRequired, TLSImplicit, TLSDetect:
			if c.TLS == nil {
				bad("listener %s: TLS mode %q needs a certificate", l.Address, l.TLS)
			}
		default:
			bad("listener %s: unknown TLS mode %q", l.Address, l.TLS)
		}
	}
	if !c.LogMessages.Valid() {
		bad("unknown log of messages %q", c.LogMessages)
	}
	if c.Loops < 0 || c.Loops > 256 {
		bad("loops: %d is not in 0..256", c.Loops)
	}
	if err := (&loop.Config{Pin: c.Pin}).Validate(); err != nil {
		bad("%v", err)
	}
	for _, n := range []struct {
		key string
		val int64
	}{
		{"max_connections", int64(c.MaxConnections)}, {"max_message_size", c.MaxMessageSize},
		{"max_recipients", int64(c.MaxRecipients)}, {"max_errors", int64(c.MaxErrors)},
		{"max_pipelined", int64(c.MaxPipelined)}, {"content_budget", c.ContentBudget},
		{"greeting_timeout", int64(c.GreetingTimeout)}, {"command_timeout", int64(c.CommandTimeout)},
		{"content_timeout", int64(c.ContentTimeout)}, {"idle_timeout", int64(c.IdleTimeout)},
		{"session_timeout", int64(c.SessionTimeout)}, {"handshake_timeout", int64(c.HandshakeTimeout)},
	} {
		if n.val <= 0 {
			bad("%s must be positive", n.key)
		}
	}
	return errors.Join(append(errs, c.Checks.Validate(), c.Failures.Validate())...)
}
