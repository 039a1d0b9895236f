package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/server"
)

// listenerDraft is one element of listeners.
type listenerDraft struct {
	server.Listener
	// ip is the address of a TCP listener; invalid for the others.
	ip netip.AddrPort
}

// listenerTable is the keys of an element of listeners.
var listenerTable = keyfile.NewTable([]keyfile.Key[listenerDraft]{
	{Path: "address", Set: (*listenerDraft).readAddress,
		Doc: `IP:port to listen on, such as "127.0.0.1:2525" or "[::1]:2525", or "unix:/path" or "systemd:name"; "0.0.0.0:2525" takes IPv4 only and "[::]:2525" IPv6 only; needed; beyond loopback with passwords or allow only`},
	{Path: "allow", Set: networks(func(l *listenerDraft) *[]netip.Prefix { return &l.Allow }),
		Doc: `array of networks, such as "10.1.2.0/24", or addresses that may connect; default: anyone who can reach the address`},
	keyfile.Set("passwords", keyfile.OneOf(nil, password.PolicyAny, password.PolicyShared, password.PolicyAccount), func(l *listenerDraft) *password.Policy { return &l.Passwords },
		`what a login needs beside the account's name: "any" takes every password as the original did, "shared" one for all accounts (server.shared_password), "account" the account's own client_password; default "any"`),
	keyfile.Set("tls", readTLSMode, func(l *listenerDraft) *server.TLSMode { return &l.TLS },
		`"none", "starttls" (offered), "required" (STARTTLS before AUTH), "implicit" (from the start) or "detect" (implicit or offered, as the client begins); default "none"; all others need server.cert_file`),
	{Path: "proxy_from", Set: networks(func(l *listenerDraft) *[]netip.Prefix { return &l.ProxyFrom }),
		Doc: "array of networks or addresses of load balancers, which must begin with a PROXY protocol header; default none"},
	keyfile.Set("max_connections", keyfile.Whole(0, 10_000_000), func(l *listenerDraft) *int { return &l.MaxConnections },
		"connections of this listener, more are greeted with 421; default 0: server.max_connections alone"),
	keyfile.Set("max_per_source", keyfile.Whole(0, 10_000_000), func(l *listenerDraft) *int { return &l.MaxPerSource },
		"connections from one source address, more are greeted with 421; default 0: no cap"),
	keyfile.Set("max_messages", keyfile.Whole(0, 10_000_000), func(l *listenerDraft) *int { return &l.MaxMessages },
		"messages on one connection, the next one gets 421; default 0: no cap"),
})

// readAddress reads the address of a listener.
func (l *listenerDraft) readAddress(v *keyfile.Value) {
	s, ok := keyfile.Text(v)
	if !ok {
		return
	}
	kind, name, _ := strings.Cut(s, ":")
	switch {
	case kind == "unix" && !filepath.IsAbs(name):
		v.Fail("a unix socket needs an absolute path")
	case kind == "systemd" && name == "":
		v.Fail("a socket of systemd needs the name that FileDescriptorName= gives it")
	case kind == "unix", kind == "systemd":
		l.Address = s
	default:
		if l.ip, ok = keyfile.Checked(checkListenAddress)(v); ok {
			l.Address = l.ip.String()
		}
	}
}

// readTLSMode reads how a listener uses TLS.
func readTLSMode(v *keyfile.Value) (server.TLSMode, bool) {
	mode, ok := keyfile.OneOf(nil, noTLS, server.TLSOffered, server.TLSRequired, server.TLSImplicit, server.TLSDetect)(v)
	if mode == noTLS {
		mode = server.TLSNone
	}
	return mode, ok
}

// noTLS is server.TLSNone as a file has it.
const noTLS server.TLSMode = "none"

// networks reads an array of networks.
func networks(field func(*listenerDraft) *[]netip.Prefix) func(*listenerDraft, *keyfile.Value) {
	return func(l *listenerDraft, v *keyfile.Value) {
		v.EachElement(func(element *keyfile.Value) {
			if prefix, ok := keyfile.Checked(checkNetwork)(element); ok {
				*field(l) = append(*field(l), prefix)
			}
		})
	}
}

// readListeners reads listeners.
func (d *draft) readListeners(v *keyfile.Value) {
	seen := make(map[string]bool)
	v.EachElement(func(element *keyfile.Value) {
		before := len(*v.File.Problems)
		l := listenerDraft{Listener: server.Listener{TLS: server.TLSNone, Passwords: password.PolicyAny}}
		listenerTable.Apply(v.File, element.Node, element.Place.Child("."), &l)
		switch {
		case len(*v.File.Problems) > before:
			return // it says what is wrong already
		case l.Address == "":
			element.Problem("address", "is needed")
		case seen[l.Address] && l.ip.Port() != 0:
			element.Problem("address", "%v is the address of another listener", l.Address)
		default:
			if err := checkExposure(l.Listener); err != nil {
				element.Problem("address", "%v", err)
			}
		}
		seen[l.Address] = true
		d.listeners = append(d.listeners, l.Listener)
		d.listenerNodes = append(d.listenerNodes, element)
	})
}

// checkListeners checks what depends on other sections.
func (d *draft) checkListeners() {
	s := &d.settings.Server
	for i, l := range d.listeners {
		v := d.listenerNodes[i]
		if l.TLS != server.TLSNone && s.CertFile == "" {
			v.Problem("tls", `%q needs server.cert_file and server.key_file`, l.TLS)
		}
		if l.Passwords == password.PolicyShared && s.SharedPassword.IsZero() {
			v.Problem("passwords", `"shared" needs server.shared_password`)
		}
	}
}

// checkExposure refuses a listener that lets every client in: without passwords,
// clients name an account and need no secret, so every host that can connect can
// send. Unix sockets and sockets of systemd have their own protection.
func checkExposure(l server.Listener) error {
	address, err := netip.ParseAddrPort(l.Address)
	if err != nil || address.Addr().IsLoopback() || len(l.Allow) > 0 || l.Passwords == password.PolicyShared || l.Passwords == password.PolicyAccount {
		return nil
	}
	return fmt.Errorf(`%v is reachable from other hosts, and whoever connects can send as any account; `+
		`set listeners[].allow to the networks of your MTAs, as in {"address": "%v", "allow": ["10.1.2.0/24"]}, `+
		`or listeners[].passwords to "shared" or "account", or listen on 127.0.0.1`,
		address, address)
}

// Networks wider than these hold more hosts than an operator can vouch for.
const (
	minPrefixIPv4 = 8
	minPrefixIPv6 = 16
)

// checkNetwork accepts a network in CIDR notation or one address.
func checkNetwork(s string) (netip.Prefix, error) {
	var p netip.Prefix
	if strings.Contains(s, "/") {
		parsed, err := netip.ParsePrefix(s)
		if err != nil {
			return p, errors.New(`must be a network such as "10.1.2.0/24"`)
		}
		p = parsed.Masked()
	} else {
		ip, err := netip.ParseAddr(s)
		if err != nil || ip.Zone() != "" {
			return p, errors.New(`must be a network such as "10.1.2.0/24", or an IP address`)
		}
		p = netip.PrefixFrom(ip, ip.BitLen())
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	least := minPrefixIPv4
	if a := p.Addr(); a.Is6() {
		least = minPrefixIPv6
		if a.IsPrivate() || a.IsLinkLocalUnicast() {
			least = 7 // fc00::/7, all of the unique local addresses
		}
	}
	if p.Bits() < least {
		return p, fmt.Errorf("%v is so wide that it lets almost anyone in; the widest that is taken is /%d", p, least)
	}
	return p, nil
}

// familyNotes tells which addresses take clients of one family only, where earlier versions
// took both.
func familyNotes(s *Settings) (lines []string) {
	addresses := []string{s.Admin.Address}
	for _, l := range s.Server.Listeners {
		addresses = append(addresses, l.Address)
	}
	for _, address := range addresses {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !at.Addr().IsUnspecified() {
			continue
		}
		this, other := "IPv4", netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())
		if at.Addr().Is6() {
			this, other = "IPv6", netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())
		}
		if !slices.Contains(addresses, other.String()) {
			lines = append(lines, fmt.Sprintf("%v takes %s only; before v0.1.0 it took both: for both listen on %v too", at, this, other))
		}
	}
	return lines
}
