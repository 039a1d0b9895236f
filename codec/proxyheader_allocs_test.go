//go:build !race

package codec_test

import (
	"net/netip"
	"testing"

	"xoauth2-proxy/codec"
)

// TestProxyHeaderAllocations is the gate: the header is read on an event loop.
func TestProxyHeaderAllocations(t *testing.T) {
	a, b := netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[2001:db8::2]:2")
	for _, wire := range []string{proxyV1TCP(a, b), proxyV2TCP(a, b, tlv{3, "\x00\x00\x00\x00"}), "PROXY TCP4 192.0.2.1 x 1 2\r\n", "PROXY "} {
		in := []byte(wire)
		if n := testing.AllocsPerRun(100, func() { _, _, _ = codec.ParseProxyHeader(in) }); n != 0 {
			t.Errorf("%q: %v allocations", wire, n)
		}
	}
}
