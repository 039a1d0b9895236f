package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// errNotLoopback is returned for a target that is not on this machine.
var errNotLoopback = errors.New("not a loopback address; loadgen loads servers on this machine only")

// resolveLoopback returns the address of a "host:port" on this machine. The
// host is a loopback address or "localhost"; another name is refused without
// being looked up. The result is an address: the one that was checked is dialled, without a
// second look-up.
func resolveLoopback(hostport string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not host:port", hostport)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q: %q is not a port number", hostport, port)
	}
	if host == "localhost" {
		return resolveLocalhost(uint16(n))
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Unmap().IsLoopback() {
		return netip.AddrPort{}, fmt.Errorf("%s: %w", hostport, errNotLoopback)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// resolveLocalhost asks the system for localhost and takes the first address,
// IPv4 ahead of IPv6. It does not trust the answer: a hosts file may say
// anything.
func resolveLocalhost(port uint16) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", "localhost")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("localhost: %w", err)
	}
	best := addrs[0].Unmap()
	for _, a := range addrs {
		a = a.Unmap()
		if !a.IsLoopback() {
			return netip.AddrPort{}, fmt.Errorf("localhost resolves to %v: %w", a, errNotLoopback)
		}
		if a.Is4() && !best.Is4() {
			best = a
		}
	}
	return netip.AddrPortFrom(best, port), nil
}

// checkLoopbackURL returns the URL with its host resolved, or an error if that
// is not on this machine.
func checkLoopbackURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL such as http://127.0.0.1:9090/metrics", raw)
	}
	hostport := u.Host
	if u.Port() == "" {
		hostport = net.JoinHostPort(u.Hostname(), "80")
	}
	addr, err := resolveLoopback(hostport)
	if err != nil {
		return nil, err
	}
	u.Host = addr.String()
	return u, nil
}

// newHTTPClient returns a client for checked URLs: it knows no proxy and
// follows no redirect, either of which could lead off this machine.
func newHTTPClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}
