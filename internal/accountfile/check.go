package accountfile

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// checkEndpoint accepts host:port; the port tells the TLS mode.
func checkEndpoint(s string) (account.Endpoint, error) {
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n < 1 || n > 65535 {
		return account.Endpoint{}, errors.New(`must be host:port, such as "smtp.gmail.com:587"`)
	}
	if host, err = accountkeys.CheckHost(host); err != nil {
		return account.Endpoint{}, err
	}
	return account.Endpoint{Host: host, Port: n, TLS: account.TLSModeForPort(n)}, nil
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

// senders reads a list of senders; an empty one would allow nothing, or all.
func senders(v *keyfile.Value) (list []string, ok bool) {
	before := len(*v.File.Problems)
	v.EachElement(func(e *keyfile.Value) {
		if s, ok := keyfile.Checked(account.ParseSender)(e); ok {
			list = append(list, s)
		} else if len(*v.File.Problems) == before {
			e.Fail("must not be empty")
		}
	})
	if len(list) == 0 && len(*v.File.Problems) == before {
		v.Fail("must have an element; leave the key out to allow every address")
	}
	return list, len(*v.File.Problems) == before
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
