package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// listenerDraft is one element of listeners.
type listenerDraft struct {
	address netip.AddrPort
	allow   []netip.Prefix
}

// listenerTable is the keys of an element of listeners.
var listenerTable = newTable([]key[listenerDraft]{
	set("address", checked(checkListenAddress), func(l *listenerDraft) *netip.AddrPort { return &l.address },
		`IP:port to listen on, such as "127.0.0.1:2525" or "[::1]:2525"; needed; beyond loopback with allow only`),
	{path: "allow", set: (*listenerDraft).readAllow,
		doc: `array of networks, such as "10.1.2.0/24", or addresses that may connect; default: anyone who can reach a loopback address`},
})

func (l *listenerDraft) readAllow(v *value) {
	v.eachElement(func(element *value) {
		if prefix, ok := checked(checkNetwork)(element); ok {
			l.allow = append(l.allow, prefix)
		}
	})
}

// readListeners reads listeners.
func (d *draft) readListeners(v *value) {
	seen := make(map[netip.AddrPort]bool)
	v.eachElement(func(element *value) {
		before := len(*v.f.problems)
		var l listenerDraft
		listenerTable.apply(v.f, element.node, place{element.place.exact + ".", element.place.general + "."}, &l)
		switch {
		case len(*v.f.problems) > before:
			return // it says what is wrong already
		case !l.address.IsValid():
			element.problem("address", "is needed")
		case seen[l.address] && l.address.Port() != 0:
			element.problem("address", "%v is the address of another listener", l.address)
		default:
			if err := checkExposure(l.address, l.allow); err != nil {
				element.problem("address", "%v", err)
			}
		}
		seen[l.address] = true
		d.listeners = append(d.listeners, Listener{Address: l.address.String(), Allow: l.allow})
	})
}

// problem adds a problem with a key of the object v, without its documentation.
func (v *value) problem(key, format string, args ...any) {
	v.f.problem(v.node, v.place.exact+"."+key, format, args...)
}

// checkExposure refuses a listener that lets anyone in: clients name an account
// and need no secret, so who can connect can send.
func checkExposure(address netip.AddrPort, allow []netip.Prefix) error {
	if address.Addr().IsLoopback() || len(allow) > 0 {
		return nil
	}
	return fmt.Errorf(`%v is reachable from other hosts, and whoever connects can send as any account; `+
		`set listeners[].allow to the networks of your MTAs, as in {"address": "%v", "allow": ["10.1.2.0/24"]}, or listen on 127.0.0.1`,
		address, address)
}

// Networks wider than these hold more hosts than anyone can vouch for.
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
