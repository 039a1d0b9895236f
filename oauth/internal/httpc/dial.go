package httpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"xoauth2-proxy/internal/account"
)

// Route is how a host is reached: what may differ by account. Routes are
// compared with ==.
type Route struct {
	Proxy  account.Secret // URL or account.NoProxy; zero: Config.Proxy
	CAFile string         // more authorities to trust; "": none
}

// routeKey is the key of a Route in a context.
type routeKey struct{}

// WithRoute has requests under the context go by the route.
func WithRoute(ctx context.Context, r Route) context.Context {
	return context.WithValue(ctx, routeKey{}, r)
}

// routeOf returns the route of a request.
func (t *Transport) routeOf(ctx context.Context) Route {
	r, _ := ctx.Value(routeKey{}).(Route)
	if r.Proxy.IsZero() {
		r.Proxy = t.cfg.Proxy
	}
	return r
}

// dialer connects to one host by one route.
type dialer struct {
	*Transport
	route    Route
	secure   bool
	sessions tls.ClientSessionCache
}

// dial connects, over IPv6 and IPv4 as they come (RFC 8305), and does the TLS
// handshake.
func (d *dialer) dial(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, min(timeout, d.cfg.ConnectTimeout))
	defer cancel()
	proxy, err := proxyURL(d.route.Proxy)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		conn, err := d.viaProxy(ctx, proxy, addr)
		if err != nil {
			return nil, err
		}
		return d.handshake(ctx, conn, addr)
	}
	conn, err := d.connectTo(ctx, addr)
	if err != nil || !d.secure {
		return conn, err
	}
	return d.handshake(ctx, conn, addr)
}

// connectTo opens a TCP connection. One in the clear stays on this machine.
func (d *dialer) connectTo(ctx context.Context, addr string) (net.Conn, error) {
	nd := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3,
	}}
	if !d.secure {
		nd.Control = refuseRemote
	}
	conn, err := nd.DialContext(ctx, "tcp", addr)
	if err != nil && lacksIPv6(err) {
		err = fmt.Errorf("%w: %w", ErrNoIPv6, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnect, err)
	}
	return conn, nil
}

// handshake makes conn a TLS connection to the host of addr. It closes conn
// when that fails.
func (d *dialer) handshake(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	roots, err := d.rootsOf()
	if err != nil {
		conn.Close()
		return nil, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		conn.Close()
		return nil, ErrURL
	}
	tc := tls.Client(conn, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            roots,
		ServerName:         host,
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: d.sessions,
	})
	if err := tc.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrConnect, err)
	}
	return tc, nil
}

// rootsOf returns the authorities to trust. The file of a route is read for each
// connection, since it may have been replaced.
func (d *dialer) rootsOf() (*x509.CertPool, error) {
	if d.route.CAFile == "" {
		return d.roots, nil
	}
	pool := systemRoots()
	if d.roots != nil {
		pool = d.roots.Clone()
	}
	if err := appendCAFile(pool, d.route.CAFile); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCAFile, err)
	}
	return pool, nil
}

// viaProxy has an HTTP proxy connect to addr (RFC 9110 section 9.3.6). TLS runs
// through the proxy, which learns host and port only.
func (d *dialer) viaProxy(ctx context.Context, proxy *url.URL, addr string) (net.Conn, error) {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	hop := net.JoinHostPort(proxy.Hostname(), port)
	conn, err := d.connectTo(ctx, hop)
	if err != nil {
		return nil, err
	}
	if proxy.Scheme == "https" {
		// Its session tickets must not meet those of the token endpoint.
		toProxy := *d
		toProxy.sessions = nil
		if conn, err = toProxy.handshake(ctx, conn, hop); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = askProxy(conn, proxy.User, addr)
	if !stop() { // the deadline has struck, or is about to
		err = context.DeadlineExceeded
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// askProxy sends CONNECT and reads the answer.
func askProxy(conn net.Conn, user *url.Userinfo, addr string) error {
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr,
		Header: http.Header{"User-Agent": {userAgent}}}
	if user != nil {
		password, _ := user.Password()
		basic := http.Request{Header: http.Header{}}
		basic.SetBasicAuth(user.Username(), password)
		r.Header.Set("Proxy-Authorization", basic.Header.Get("Authorization"))
	}
	if err := r.Write(conn); err != nil {
		return connectionError(err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, r)
	switch {
	case err != nil && isTimeout(err):
		return err
	case err != nil:
		return ErrProxy // its text may quote what the proxy sent
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return ErrProxyAuth
	case resp.StatusCode != http.StatusOK, br.Buffered() > 0: // a TLS server does not speak first
		return ErrProxy
	}
	return nil
}

// refuseRemote keeps a connection in the clear on this machine, wherever "localhost"
// resolves to.
func refuseRemote(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !account.IsLoopback(host) {
		return ErrURL
	}
	return nil
}
