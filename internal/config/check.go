package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"xoauth2-proxy/internal/account"
)

// checkTokenURL accepts an https URL with a host, and http to this very host:
// the request carries the refresh token.
func checkTokenURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return "", errors.New(`must be a URL such as "https://host/path"`)
	case u.User != nil:
		return "", errors.New("must not contain a user name or password")
	case u.Fragment != "":
		return "", errors.New("must not contain a fragment (#)")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return s, nil
	case u.Scheme == "http":
		return "", errors.New("must be https; http, which shows the refresh token to the network, is for loopback hosts only")
	}
	return "", fmt.Errorf("must be https, not %q", u.Scheme)
}

// isLoopback reports whether host is a loopback address or "localhost".
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// checkEndpoint accepts host:port; the port tells the TLS mode.
func checkEndpoint(s string) (account.Endpoint, error) {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n < 1 || n > 65535 {
		return account.Endpoint{}, errors.New(`must be host:port, such as "smtp.gmail.com:587"`)
	}
	if host, err = checkHost(host); err != nil {
		return account.Endpoint{}, err
	}
	return account.Endpoint{Host: host, Port: n, TLS: account.TLSModeForPort(n)}, nil
}

// checkHost accepts a host name or an IP address.
func checkHost(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, nil
	}
	if s == "" || len(s) > 253 || strings.ContainsAny(s, " :/@[]\\\"<>,;()") {
		return "", errors.New("must be a host name or an IP address")
	}
	return s, nil
}

// checkEmail accepts local-part@domain as far as a login name goes.
func checkEmail(s string) (string, error) {
	at := strings.LastIndexByte(s, '@')
	switch {
	case at < 1 || at == len(s)-1:
		return "", errors.New(`must be an address such as "user@example.com"`)
	case len(s) > account.MaxLogin:
		return "", fmt.Errorf("is longer than %d octets", account.MaxLogin)
	case strings.ContainsRune(s, ' '):
		return "", errors.New("must not contain a space")
	}
	return s, nil
}

// checkSourceIP accepts an address that a socket can be bound to.
func checkSourceIP(s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return ip, errors.New("must be an IP address of this host")
	}
	ip = ip.Unmap()
	if ip.IsUnspecified() || ip.IsMulticast() {
		return ip, errors.New("must be one address of this host; leave it out to let the system choose")
	}
	return ip, nil
}

// checkPin accepts "off", "auto" and a list of CPU numbers.
func checkPin(s string) (string, error) {
	if s == "off" || s == "auto" {
		return s, nil
	}
	for cpu := range strings.SplitSeq(s, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(cpu)); err != nil || n < 0 || n > 1023 {
			return "", errors.New(`must be "off", "auto" or a list of CPU numbers such as "0,2"`)
		}
	}
	return s, nil
}

// checkListenAddress accepts IP:port and localhost:port, and returns it as
// IP:port. An empty host is every address of this host.
func checkListenAddress(s string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil {
		return netip.AddrPort{}, errors.New(`must be address:port, such as "127.0.0.1:2525" or "[::1]:2525"`)
	}
	ip, err := listenIP(host)
	return netip.AddrPortFrom(ip, uint16(n)), err
}

func listenIP(host string) (netip.Addr, error) {
	switch {
	case host == "":
		return netip.IPv6Unspecified(), nil
	case strings.EqualFold(host, "localhost"):
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Zone() != "" {
		return ip, fmt.Errorf(`%q must be an IP address or "localhost"`, host)
	}
	return ip.Unmap(), nil
}
