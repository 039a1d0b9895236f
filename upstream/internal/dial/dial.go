package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
)

// Keepalive notices a peer that disappears while the connection is idle, userTimeout
// one that disappears while we send.
const (
	keepaliveIdle     = 30 * time.Second
	keepaliveInterval = 10 * time.Second
	keepaliveCount    = 3
	userTimeout       = 30 * time.Second
)

// attemptDelay is the time from the attempt at one address to the attempt at the next
// one beside it (the Connection Attempt Delay of RFC 8305 section 5).
const attemptDelay = 250 * time.Millisecond

// Config says how providers are reached.
type Config struct {
	// Timeout bounds DNS and the TCP handshake together.
	Timeout time.Duration
	// CAFile is a PEM file with the authorities that verify the certificates of
	// providers; empty: those of the system.
	CAFile string
	// CacheTTL is how long the addresses of a host are used before the next look-up;
	// 0: they are looked up for each connection.
	CacheTTL time.Duration
	// IPv6 allows IPv6 addresses.
	IPv6 bool
}

// Dialer connects to hosts and has a TLS configuration for each. It is safe for
// concurrent use.
type Dialer struct {
	timeout  time.Duration
	resolver *resolver
	base     *tls.Config
	hosts    sync.Map // host name: *tls.Config
}

// New returns a dialer that counts its look-ups in set. It fails if CAFile cannot be
// read, with an error that names the configuration key.
func New(cfg Config, set *metrics.Set) (*Dialer, error) {
	base := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		ClientSessionCache:          tls.NewLRUClientSessionCache(64), // by host
		DynamicRecordSizingDisabled: true,                             // part of a flight is of no use
	}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("upstream.ca_file: %w", err)
		}
		base.RootCAs = x509.NewCertPool()
		if !base.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("upstream.ca_file: %s has no certificate in PEM form", cfg.CAFile)
		}
	}
	return &Dialer{timeout: cfg.Timeout, resolver: newResolver(cfg.CacheTTL, cfg.IPv6, set), base: base}, nil
}

// SetIPv6 changes Config.IPv6 for new connections.
func (d *Dialer) SetIPv6(on bool) { d.resolver.ipv6.Store(on) }

// TLS returns the configuration that verifies host. The caller must not change it.
func (d *Dialer) TLS(host string) *tls.Config {
	if c, ok := d.hosts.Load(host); ok {
		return c.(*tls.Config)
	}
	c := d.base.Clone()
	c.ServerName = host
	actual, _ := d.hosts.LoadOrStore(host, c)
	return actual.(*tls.Config)
}

// Dial connects to the endpoint of a, from the account's source address if it has
// one. The error is a *RouteError if a person must act on this host. Dial tries the addresses
// of the host as RFC 8305 says, IPv6 addresses only if they are allowed.
func (d *Dialer) Dial(ctx context.Context, a *account.Account) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	addrs, err := d.resolver.addresses(ctx, a.SMTP.Host, d.timeout)
	if err != nil {
		return nil, err
	}
	nd := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepaliveIdle, Interval: keepaliveInterval, Count: keepaliveCount,
		},
		Control: socketOptions(a.SourceIP.IsValid()),
	}
	only6 := !slices.ContainsFunc(addrs, netip.Addr.Is4)
	if a.SourceIP.IsValid() {
		nd.LocalAddr = &net.TCPAddr{IP: a.SourceIP.AsSlice(), Zone: a.SourceIP.Zone()}
		if addrs = sameFamily(addrs, a.SourceIP); len(addrs) == 0 {
			return nil, otherFamily(a.SMTP.Host, a.SourceIP)
		}
	}
	c, err := race(ctx, interleave(addrs), func(ctx context.Context, ip netip.Addr) (*net.TCPConn, error) {
		return tcpOf(nd.DialContext(ctx, "tcp", addrPort(ip, a.SMTP.Port)))
	})
	if err != nil {
		return nil, explain(err, a, only6)
	}
	return c, nil
}

// OwnFault reports whether an error of Dial says nothing about the provider: this
// host does not have the source address of the account, the source address cannot
// reach the provider, or no file descriptor or port is left.
func OwnFault(err error) bool {
	if _, ok := errors.AsType[*RouteError](err); ok {
		return true
	}
	for _, cause := range []error{ErrNoAddress, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

func addrPort(ip netip.Addr, port int) string { return netip.AddrPortFrom(ip, uint16(port)).String() }

func tcpOf(c net.Conn, err error) (*net.TCPConn, error) {
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// sameFamily returns the addresses in the family of ip.
func sameFamily(addrs []netip.Addr, ip netip.Addr) (same []netip.Addr) {
	for _, a := range addrs {
		if a.Is4() == ip.Unmap().Is4() {
			same = append(same, a)
		}
	}
	return same
}

// interleave orders addresses so that the families take turns, beginning with the
// family of the first address (RFC 8305 section 4).
func interleave(addrs []netip.Addr) []netip.Addr {
	first := sameFamily(addrs, addrs[0])
	mixed := make([]netip.Addr, 0, len(addrs))
	i := 0
	for _, a := range addrs {
		if a.Is4() == addrs[0].Is4() {
			continue
		}
		if i < len(first) {
			mixed = append(mixed, first[i])
			i++
		}
		mixed = append(mixed, a)
	}
	return append(mixed, first[i:]...)
}

// race tries the addresses in order, each one attemptDelay after the address before
// it or as soon as that has failed. It returns the first connection, or the error of
// the first address. No attempt is running when it returns.
func race(ctx context.Context, addrs []netip.Addr, dial func(context.Context, netip.Addr) (*net.TCPConn, error)) (*net.TCPConn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		i   int
		c   *net.TCPConn
		err error
	}
	outcomes := make(chan outcome)
	delay := time.NewTimer(0)
	defer delay.Stop()
	var (
		won     *net.TCPConn
		why     error
		whose   = len(addrs)
		started int
	)
	for running := 0; running > 0 || won == nil && started < len(addrs); {
		next := delay.C
		if won != nil || started == len(addrs) {
			next = nil
		}
		select {
		case <-next:
			i := started
			go func() {
				c, err := dial(ctx, addrs[i])
				outcomes <- outcome{i, c, err}
			}()
			started++
			running++
			delay.Reset(attemptDelay)
		case o := <-outcomes:
			running--
			switch {
			case o.err != nil && o.i < whose:
				why, whose = o.err, o.i
				delay.Reset(0)
			case o.err != nil:
				delay.Reset(0)
			case won == nil:
				won = o.c
				cancel()
			default: // two attempts connected at the same time
				_ = o.c.Close()
			}
		}
	}
	if won == nil {
		return nil, why
	}
	return won, nil
}
