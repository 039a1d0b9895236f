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
	"sync"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
)

// Keepalive finds a peer that went silently while the connection is parked,
// userTimeout one that goes while we send.
const (
	keepaliveIdle     = 30 * time.Second
	keepaliveInterval = 10 * time.Second
	keepaliveCount    = 3
	userTimeout       = 30 * time.Second
)

// attemptDelay is how long one address is tried alone before the next one is
// tried beside it (the Connection Attempt Delay of RFC 8305 section 5).
const attemptDelay = 250 * time.Millisecond

// Config says how providers are reached.
type Config struct {
	// Timeout is for DNS and the TCP handshake together.
	Timeout time.Duration
	// CAFile is a PEM file of the authorities that providers' certificates are
	// verified against; empty: the system's.
	CAFile string
	// CacheTTL is how long the addresses of a host are used before they are
	// looked up again; 0 looks them up for each connection.
	CacheTTL time.Duration
	// IPv6 has IPv6 addresses used too.
	IPv6 bool
}

// Dialer opens TCP connections and has the TLS configuration for each host. It
// is safe for concurrent use.
type Dialer struct {
	timeout  time.Duration
	resolver *resolver
	base     *tls.Config
	hosts    sync.Map // host name: *tls.Config
}

// New returns a dialer, which counts its look-ups in set. The error is that of
// CAFile, and names its configuration key.
func New(cfg Config, set *metrics.Set) (*Dialer, error) {
	base := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		ClientSessionCache:          tls.NewLRUClientSessionCache(64), // by host
		DynamicRecordSizingDisabled: true,                             // a flight is complete or useless
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

// SetIPv6 puts another value of Config.IPv6 in force, for new connections.
func (d *Dialer) SetIPv6(on bool) { d.resolver.ipv6.Store(on) }

// TLS returns the configuration that verifies host. It is shared.
func (d *Dialer) TLS(host string) *tls.Config {
	if c, ok := d.hosts.Load(host); ok {
		return c.(*tls.Config)
	}
	c := d.base.Clone()
	c.ServerName = host
	actual, _ := d.hosts.LoadOrStore(host, c)
	return actual.(*tls.Config)
}

// Dial connects to the endpoint of a, from its source address if it has one:
// an address that this machine does not have is an error, there is no way
// around it. Addresses are tried as in RFC 8305, IPv6 ones only if they are on.
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
	if a.SourceIP.IsValid() {
		nd.LocalAddr = &net.TCPAddr{IP: a.SourceIP.AsSlice(), Zone: a.SourceIP.Zone()}
		addrs = sameFamily(addrs, a.SourceIP)
		if len(addrs) == 0 {
			return nil, fmt.Errorf("%w: %s has none of the family of the source address %v", ErrNoAddress, a.SMTP.Host, a.SourceIP)
		}
	}
	if len(addrs) == 1 {
		return tcpOf(nd.DialContext(ctx, "tcp", addrPort(addrs[0], a.SMTP.Port)))
	}
	return race(ctx, interleave(addrs), func(ctx context.Context, ip netip.Addr) (*net.TCPConn, error) {
		return tcpOf(nd.DialContext(ctx, "tcp", addrPort(ip, a.SMTP.Port)))
	})
}

// OwnFault reports whether an error of Dial says nothing about the provider: the
// source address of the account is not of this host or has no way out, or this
// process has no file descriptor left.
func OwnFault(err error) bool {
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

// sameFamily returns the addresses of the family of ip.
func sameFamily(addrs []netip.Addr, ip netip.Addr) (same []netip.Addr) {
	for _, a := range addrs {
		if a.Is4() == ip.Unmap().Is4() {
			same = append(same, a)
		}
	}
	return same
}

// interleave orders addresses so that the families take turns, beginning with
// that of the first (RFC 8305 section 4).
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

// race tries the addresses in their order, each one attemptDelay after the one
// before or as soon as that has failed. The first connection wins; the error is
// that of the first address. No attempt is left running.
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
			default: // two were connected at the same time
				_ = o.c.Close()
			}
		}
	}
	if won == nil {
		return nil, why
	}
	return won, nil
}
