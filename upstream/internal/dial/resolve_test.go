package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

var (
	ip1, ip2 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	ip6      = netip.MustParseAddr("2001:db8::1")
)

// fakeDNS answers look-ups as a test wants.
type fakeDNS struct {
	asked int
	delay time.Duration
	addrs []netip.Addr
	err   error
}

func (d *fakeDNS) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	d.asked++
	select {
	case <-time.After(d.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.err != nil {
		return nil, d.err
	}
	addrs := slices.Clone(d.addrs)
	switch network {
	case "ip4":
		addrs = slices.DeleteFunc(addrs, netip.Addr.Is6)
	case "ip6":
		addrs = slices.DeleteFunc(addrs, netip.Addr.Is4)
	}
	if len(addrs) == 0 { // as the resolver of package net
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

func TestResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &fakeDNS{addrs: []netip.Addr{ip1}}
		r := newResolver(time.Minute, false, metrics.NewSet())
		r.lookup = dns.lookup
		want := func(asked int, addrs ...netip.Addr) {
			t.Helper()
			got, err := r.addresses(t.Context(), "smtp.example.com", 10*time.Second)
			if !slices.Equal(got, addrs) || (err == nil) != (len(addrs) > 0) || dns.asked != asked {
				t.Fatalf("%v, %v, %d look-ups; want %v after %d", got, err, dns.asked, addrs, asked)
			}
		}
		want(1, ip1)
		time.Sleep(59 * time.Second)
		want(1, ip1)
		dns.addrs = []netip.Addr{ip2}
		time.Sleep(time.Second)
		want(2, ip2)

		dns.err = &net.DNSError{Err: "server misbehaving", Name: "smtp.example.com", IsTemporary: true}
		time.Sleep(time.Minute)
		want(3, ip2) // stale, and not asked again for each connection
		want(3, ip2)
		time.Sleep(staleRecheck)
		want(4, ip2)
		dns.delay = time.Hour
		time.Sleep(staleRecheck)
		start := time.Now()
		if want(5, ip2); time.Since(start) != stalePatience {
			t.Errorf("waited %v for an answer that does not come", time.Since(start))
		}
		dns.delay = 0
		time.Sleep(staleMost)
		want(6)
		dns.err = nil
		want(7, ip2)
	})
}

func TestResolverAsksOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &fakeDNS{addrs: []netip.Addr{ip1, ip6}, delay: time.Second}
		r := newResolver(0, true, metrics.NewSet())
		r.lookup = dns.lookup
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if _, err := r.addresses(ctx, "h", time.Minute); !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up got %v", err)
			}
		}()
		synctest.Wait()
		for range 20 {
			go func() {
				if got, err := r.addresses(t.Context(), "h", time.Minute); err != nil || len(got) != 2 {
					t.Errorf("%v, %v", got, err)
				}
			}()
		}
		synctest.Wait()
		if dns.asked != 1 {
			t.Errorf("%d look-ups at the same time", dns.asked)
		}
		cancel() // of the one that asks for all
		time.Sleep(time.Minute)
		synctest.Wait()
		if dns.asked != 2 {
			t.Errorf("%d look-ups, want another one for those that go on", dns.asked)
		}
	})
}

func TestIPv6OnlyAsConfigured(t *testing.T) {
	r := newResolver(time.Minute, false, metrics.NewSet())
	r.lookup = (&fakeDNS{addrs: []netip.Addr{ip6}}).lookup
	for _, host := range []string{"h", "2001:db8::1"} {
		if _, err := r.addresses(t.Context(), host, time.Second); !OwnFault(err) || err.Error() != host+" has only IPv6 addresses, and global.smtp.use_ipv6 is false" {
			t.Errorf("%s: %v", host, err)
		}
	}
	r.ipv6.Store(true)
	for _, host := range []string{"h", "2001:db8::1"} {
		if got, err := r.addresses(t.Context(), host, time.Second); err != nil || got[0] != ip6 {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
}

func TestInterleave(t *testing.T) {
	other6 := netip.MustParseAddr("2001:db8::2")
	for _, tt := range []struct{ in, want []netip.Addr }{
		{[]netip.Addr{ip6, other6, ip1, ip2}, []netip.Addr{ip6, ip1, other6, ip2}},
		{[]netip.Addr{ip1, ip2, ip6}, []netip.Addr{ip1, ip6, ip2}},
		{[]netip.Addr{ip1, ip6, other6}, []netip.Addr{ip1, ip6, other6}},
		{[]netip.Addr{ip1, ip2}, []netip.Addr{ip1, ip2}},
	} {
		if got := interleave(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestRace(t *testing.T) {
	connected := new(net.TCPConn)
	refused := errors.New("refused")
	tests := []struct {
		name   string
		first  time.Duration // until the first address answers
		err    error         // what it answers; nil: it connects
		second error
		after  time.Duration // until there is a result
		want   error
	}{
		{"the first answers", 10 * time.Millisecond, nil, nil, 10 * time.Millisecond, nil},
		{"the first refuses", 10 * time.Millisecond, refused, nil, 20 * time.Millisecond, nil},
		{"the first is silent", time.Hour, nil, nil, attemptDelay + 10*time.Millisecond, nil},
		{"both refuse", 10 * time.Millisecond, refused, errors.New("other"), 20 * time.Millisecond, refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				c, err := race(t.Context(), []netip.Addr{ip1, ip2}, func(ctx context.Context, ip netip.Addr) (*net.TCPConn, error) {
					delay, result := tt.first, tt.err
					if ip == ip2 {
						delay, result = 10*time.Millisecond, tt.second
					}
					select {
					case <-time.After(delay):
					case <-ctx.Done():
						return nil, ctx.Err()
					}
					if result != nil {
						return nil, result
					}
					return connected, nil
				})
				if !errors.Is(err, tt.want) || (c == connected) != (tt.want == nil) || time.Since(start) != tt.after {
					t.Errorf("%v, %v after %v; want %v after %v", c, err, time.Since(start), tt.want, tt.after)
				}
			})
		})
	}
}
