package admin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// ErrNoToken: the address is not on the loopback, and no token is asked for.
var ErrNoToken = errors.New("other machines can reach it: a bearer token is needed")

// Config is how the admin server listens. Start from DefaultConfig.
type Config struct {
	// Address is host:port to listen on; port 0 picks a free one. Any program that
	// can reach it can read the metrics. Default: 127.0.0.1:9090.
	Address string
	// Token is the bearer token that requests below /admin and /debug must
	// carry (RFC 6750 section 2.1), at least MinToken octets. Needed when
	// Address is beyond the loopback. Default: none.
	Token string
	// Hosts are names for Address, in a browser or in front of a proxy of the
	// operator's. Without Token, requests below /admin and /debug are served for
	// localhost, loopback addresses and these names only. Default: none.
	Hosts []string
	// Sockets are paths for the admin socket, in the order of preference: the
	// first that can be made is used. Its peers need no token; they must be root
	// or the user of this process. Without Token, only the socket serves requests
	// that change anything. Default: none.
	Sockets []string
	// SocketNeeded lets Start fail when none of Sockets can be made.
	SocketNeeded bool
	// Inherited are listening sockets of the process that this one replaces, by Address or
	// the path of a socket: they are used in place of new ones. Start owns them. Paused: they
	// are not accepted from until Resume. Default: none.
	Inherited map[string]net.Listener
	Paused    bool
	// AccountMetrics serves metrics of each account under /metrics/accounts, with the
	// token if there is one. Default: false.
	AccountMetrics bool
	// Pprof serves profiles of the running process under /debug/pprof/. They
	// show its internals and cost CPU. Default: false.
	Pprof bool
	// MaxBody caps the body of a request in octets; more gets 413.
	// Default: 1 MiB.
	MaxBody int
	// MaxConnections caps the connections of the address, and those of the admin
	// socket. For one more, that which has been idle for longest is closed; if none
	// is idle, the new one. Default: 64.
	MaxConnections int
	// ReadTimeout bounds reading a request, WriteTimeout writing the reply.
	// Default: 10s, 30s.
	ReadTimeout  time.Duration
	WriteTimeout time.Duration
	// IdleTimeout closes a connection without a request. Default: 1m.
	IdleTimeout time.Duration
	// CallTimeout is how long a request about one account may take; then it gets
	// 503. Default: 5s.
	CallTimeout time.Duration
	// Version and Revision are of the build, for the metric of that name.
	Version  string
	Revision string
}

// DefaultConfig has every default.
func DefaultConfig() Config {
	return Config{
		Address:        "127.0.0.1:9090",
		MaxBody:        1 << 20,
		MaxConnections: 64,
		ReadTimeout:    10 * time.Second,
		WriteTimeout:   30 * time.Second,
		IdleTimeout:    time.Minute,
		CallTimeout:    5 * time.Second,
	}
}

// Validate reports all problems at once, each under its key.
func (c Config) Validate() error {
	var errs []error
	if _, port, err := net.SplitHostPort(c.Address); err != nil {
		errs = append(errs, fmt.Errorf("admin.address: %q is not host:port", c.Address))
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		errs = append(errs, fmt.Errorf("admin.address: %q is not a port", port))
	}
	if c.Token != "" && len(c.Token) < MinToken {
		errs = append(errs, fmt.Errorf("admin.token: is shorter than %d octets", MinToken))
	}
	for _, n := range []struct {
		key string
		val int64
	}{
		{"max_body", int64(c.MaxBody)},
		{"max_connections", int64(c.MaxConnections)},
		{"read_timeout", int64(c.ReadTimeout)},
		{"write_timeout", int64(c.WriteTimeout)},
		{"idle_timeout", int64(c.IdleTimeout)},
		{"call_timeout", int64(c.CallTimeout)},
	} {
		if n.val <= 0 {
			errs = append(errs, fmt.Errorf("admin.%s: must be positive", n.key))
		}
	}
	return errors.Join(errs...)
}

// isLoopback reports whether addr, of a listener, is on the loopback.
func isLoopback(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
