package codec_test

import (
	"net/netip"
	"testing"

	"xoauth2-proxy/codec"
)

func BenchmarkParseProxyHeader(b *testing.B) {
	from, to := netip.MustParseAddrPort("[2001:db8::1]:56324"), netip.MustParseAddrPort("[2001:db8::2]:587")
	for _, bm := range []struct{ name, wire string }{
		{"version=1", proxyV1TCP(from, to)},
		{"version=2", proxyV2TCP(from, to)},
		{"version=2/checksum=true", proxyV2TCP(from, to, tlv{3, "\x00\x00\x00\x00"})},
	} {
		b.Run(bm.name, func(b *testing.B) {
			in := []byte(bm.wire)
			b.ReportAllocs()
			for b.Loop() {
				if _, n, err := codec.ParseProxyHeader(in); err != nil || n != len(in) {
					b.Fatalf("n = %d, err = %v", n, err)
				}
			}
		})
	}
}
