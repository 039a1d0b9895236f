package dial

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
)

// TestRoutes has accounts and hosts that no connection can be made for as this host is:
// the error says why and what to do, and is no fault of the provider.
func TestRoutes(t *testing.T) {
	loop4, loop6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	tests := []struct {
		name   string
		ipv6   bool
		addrs  []netip.Addr // of the host
		source string       // ip_address
		text   string
		hint   hint.ID
	}{
		{"source is not of this host", false, []netip.Addr{loop4}, "192.0.2.1",
			"the account's ip_address 192.0.2.1 is not an address of this host: bind: cannot assign requested address", hint.SourceNotOfHost},
		{"IPv6 source is not of this host", true, []netip.Addr{loop4, loop6}, "2001:db8::1",
			"the account's ip_address 2001:db8::1 is not an address of this host: bind: cannot assign requested address", hint.SourceNotOfHost},
		{"source cannot be bound to", true, []netip.Addr{loop6}, "fe80::1",
			"the account's ip_address fe80::1 cannot be connected from: bind: invalid argument", hint.SourceNotOfHost},
		{"IPv6 host, IPv6 off", false, []netip.Addr{loop6}, "", "h.test has only IPv6 addresses, and global.smtp.use_ipv6 is false", hint.IPv6Off},
		// The system has no way to a multicast address, as it has none to any other without IPv6.
		{"IPv6 host, no IPv6 here", true, []netip.Addr{netip.MustParseAddr("ff0e::1")}, "",
			"h.test has only IPv6 addresses, and this host has no way to them: connect: network is unreachable", hint.NoIPv6},
		{"IPv4 source, IPv6 host", true, []netip.Addr{loop6}, "127.0.0.1",
			"the account's ip_address 127.0.0.1 is of IPv4, and h.test has only IPv6 addresses", hint.SourceFamily},
		{"IPv6 source, IPv4 host", true, []netip.Addr{loop4}, "::1",
			"the account's ip_address ::1 is of IPv6, and h.test has only IPv4 addresses", hint.SourceFamily},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := New(Config{Timeout: time.Minute, IPv6: tt.ipv6}, metrics.NewSet())
			if err != nil {
				t.Fatal(err)
			}
			d.resolver.lookup = (&fakeDNS{addrs: tt.addrs}).lookup
			a := &account.Account{SMTP: account.Endpoint{Host: "h.test", Port: 1}}
			if tt.source != "" {
				a.SourceIP = netip.MustParseAddr(tt.source)
			}
			_, err = d.Dial(t.Context(), a)
			route, ok := errors.AsType[*RouteError](err)
			if !ok || err.Error() != tt.text || route.Hint != tt.hint || !OwnFault(err) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestNoRouteFromSource has an address of this host from which no network is reached, such
// as 127.0.0.1.
func TestNoRouteFromSource(t *testing.T) {
	err := error(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EINVAL)})
	a := &account.Account{SourceIP: netip.MustParseAddr("127.0.0.1")}
	const want = "the account's ip_address 127.0.0.1 cannot be connected from: connect: invalid argument"
	if got := explain(err, a, false); got.Error() != want || !OwnFault(got) {
		t.Errorf("%v", got)
	}
	if got := explain(err, new(account.Account), false); got != err {
		t.Errorf("without a source address: %v", got)
	}
}

// TestRefusedFromSource has a good source address: the provider's refusal stays as it is.
func TestRefusedFromSource(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().(*net.TCPAddr)
	ln.Close()
	d, err := New(Config{Timeout: time.Minute}, metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	a := &account.Account{SMTP: account.Endpoint{Host: "127.0.0.1", Port: at.Port}, SourceIP: netip.MustParseAddr("127.0.0.2")}
	if _, err = d.Dial(t.Context(), a); err == nil || OwnFault(err) {
		t.Errorf("%v", err)
	}
}
