package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

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

// dialer opens TCP connections and knows the TLS configuration for each host.
type dialer struct {
	timeout time.Duration
	base    *tls.Config
	hosts   sync.Map // host name: *tls.Config
}

func newDialer(cfg Config) (*dialer, error) {
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
	return &dialer{timeout: cfg.DialTimeout, base: base}, nil
}

// tlsConfig returns the configuration that verifies host.
func (d *dialer) tlsConfig(host string) *tls.Config {
	if c, ok := d.hosts.Load(host); ok {
		return c.(*tls.Config)
	}
	c := d.base.Clone()
	c.ServerName = host
	actual, _ := d.hosts.LoadOrStore(host, c)
	return actual.(*tls.Config)
}

// dial connects to the endpoint of a, from its source address if it has one:
// an address that this machine does not have is an error, there is no way
// around it. With names of several addresses it follows RFC 8305.
func (d *dialer) dial(ctx context.Context, a *account.Account) (*net.TCPConn, error) {
	nd := net.Dialer{
		Timeout: d.timeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepaliveIdle, Interval: keepaliveInterval, Count: keepaliveCount,
		},
		Control: socketOptions(a.SourceIP.IsValid()),
	}
	if a.SourceIP.IsValid() {
		nd.LocalAddr = &net.TCPAddr{IP: a.SourceIP.AsSlice(), Zone: a.SourceIP.Zone()}
	}
	c, err := nd.DialContext(ctx, "tcp", a.SMTP.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
