package codec_test

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

const proxyV2Signature = "\r\n\r\n\x00\r\nQUIT\n"

// tlv is one type-length-value vector of a version 2 header.
type tlv struct {
	kind  byte
	value string
}

// proxyV2 encodes a version 2 header. The last TLV of type 3 (CRC32c) with a
// value of four octets gets the checksum of the header.
func proxyV2(command, family byte, addresses string, tlvs ...tlv) string {
	block := []byte(addresses)
	checksum := -1
	for _, v := range tlvs {
		block = append(block, v.kind)
		block = binary.BigEndian.AppendUint16(block, uint16(len(v.value)))
		if v.kind == 3 && v.value == "\x00\x00\x00\x00" {
			checksum = 16 + len(block)
		}
		block = append(block, v.value...)
	}
	h := append([]byte(proxyV2Signature), command, family)
	h = binary.BigEndian.AppendUint16(h, uint16(len(block)))
	h = append(h, block...)
	if checksum >= 0 {
		binary.BigEndian.PutUint32(h[checksum:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	}
	return string(h)
}

// proxyV2TCP encodes the header of a relayed TCP connection.
func proxyV2TCP(source, destination netip.AddrPort, tlvs ...tlv) string {
	family := byte(0x11)
	if source.Addr().Is6() {
		family = 0x21
	}
	b := append(source.Addr().AsSlice(), destination.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, source.Port())
	b = binary.BigEndian.AppendUint16(b, destination.Port())
	return proxyV2(0x21, family, string(b), tlvs...)
}

// proxyV1TCP is the same in version 1.
func proxyV1TCP(source, destination netip.AddrPort) string {
	family := "TCP4"
	if source.Addr().Is6() {
		family = "TCP6"
	}
	return strings.Join([]string{"PROXY", family, source.Addr().String(), destination.Addr().String(),
		portText(source), portText(destination)}, " ") + "\r\n"
}

func portText(a netip.AddrPort) string { return a.String()[strings.LastIndexByte(a.String(), ':')+1:] }

func TestParseProxyHeader(t *testing.T) {
	v4, v4to := netip.MustParseAddrPort("192.0.2.1:56324"), netip.MustParseAddrPort("198.51.100.7:25")
	v6, v6to := netip.MustParseAddrPort("[2001:db8::1]:65535"), netip.MustParseAddrPort("[2001:db8:1:2:3:4:5:6]:0")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:56324")
	mappedTo := netip.MustParseAddrPort("[::ffff:198.51.100.7]:25")
	crc := tlv{3, "\x00\x00\x00\x00"}
	tcp4, tcp6 := codec.ProxyHeader{Source: v4, Destination: v4to}, codec.ProxyHeader{Source: v6, Destination: v6to}
	longest6 := strings.Repeat("ffff:", 7) + "ffff"
	long := netip.AddrPortFrom(netip.MustParseAddr(longest6), 65535)
	tests := []struct {
		name, wire string
		want       codec.ProxyHeader
	}{
		{"v1 TCP4", "PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n", tcp4},
		{"v1 TCP6", "PROXY TCP6 2001:db8::1 2001:DB8:1:2:3:4:5:6 65535 0\r\n", tcp6},
		{"v1 TCP6 longest", "PROXY TCP6 " + longest6 + " " + longest6 + " 65535 65535\r\n", codec.ProxyHeader{Source: long, Destination: long}},
		{"v1 TCP6 that wraps IPv4", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6407 56324 25\r\n", tcp4},
		{"v1 UNKNOWN", "PROXY UNKNOWN\r\n", codec.ProxyHeader{}},
		{"v1 UNKNOWN, longest", "PROXY UNKNOWN " + longest6 + " " + longest6 + " 65535 65535\r\n", codec.ProxyHeader{}},
		{"v1 UNKNOWN, anything after it", "PROXY UNKNOWN  \x00 \xff TCP4\r\n", codec.ProxyHeader{}},
		{"v2 TCP4", proxyV2TCP(v4, v4to), tcp4},
		{"v2 TCP6", proxyV2TCP(v6, v6to), tcp6},
		{"v2 TCP6 that wraps IPv4", proxyV2TCP(mapped, mappedTo), tcp4},
		{"v2 with TLVs", proxyV2TCP(v4, v4to, tlv{1, "smtp"}, tlv{0x20, "\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"}, tlv{4, ""}), tcp4},
		{"v2 with checksum", proxyV2TCP(v4, v4to, tlv{2, "mx.example.com"}, crc, tlv{4, "padding"}), tcp4},
		{"v2 with checksum over IPv6", proxyV2TCP(v6, v6to, crc), tcp6},
		{"v2 longest", proxyV2TCP(v4, v4to, tlv{4, strings.Repeat("x", codec.MaxProxyHeader-16-12-3)}), tcp4},
		{"v2 unix", proxyV2(0x21, 0x31, strings.Repeat("\x00", 216), crc), codec.ProxyHeader{}},
		{"v2 unspecified family", proxyV2(0x21, 0, ""), codec.ProxyHeader{}},
		{"v2 unspecified family, its block is skipped", proxyV2(0x21, 0, "\x03\x00"), codec.ProxyHeader{}},
		{"v2 LOCAL", proxyV2(0x20, 0, ""), codec.ProxyHeader{Local: true}},
		{"v2 LOCAL, its block is skipped", proxyV2(0x20, 0x11, "abc"), codec.ProxyHeader{Local: true}},
		{"v2 LOCAL, its family is ignored", proxyV2(0x20, 0xff, ""), codec.ProxyHeader{Local: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for cut := range len(tt.wire) {
				if h, n, err := codec.ParseProxyHeader([]byte(tt.wire[:cut])); err != codec.ErrIncomplete || n != 0 || h != (codec.ProxyHeader{}) {
					t.Fatalf("%q = %v, %d, %v, want ErrIncomplete", tt.wire[:cut], h, n, err)
				}
			}
			for _, after := range []string{"", "EHLO a\r\n", "\n", "PROXY UNKNOWN\r\n"} {
				h, n, err := codec.ParseProxyHeader([]byte(tt.wire + after))
				if h != tt.want || n != len(tt.wire) || err != nil {
					t.Fatalf("%q = %v, %d, %v, want %v, %d", tt.wire+after, h, n, err, tt.want, len(tt.wire))
				}
			}
		})
	}
}

func TestParseProxyHeaderRefuses(t *testing.T) {
	v4, v4to := netip.MustParseAddrPort("192.0.2.1:56324"), netip.MustParseAddrPort("198.51.100.7:25")
	good := proxyV2TCP(v4, v4to, tlv{3, "\x00\x00\x00\x00"})
	flipped := []byte(good)
	flipped[16] ^= 1
	twice := proxyV2TCP(v4, v4to, tlv{3, "\x00\x00\x00\x00"}, tlv{3, "\x00\x00\x00\x01"})
	tests := []struct {
		name, wire string
		at         int // octets after which it is certain
	}{
		{"SMTP instead", "EHLO a\r\n", 1},
		{"TLS instead", "\x16\x03\x01", 1},
		{"lower case", "proxy UNKNOWN\r\n", 1},
		{"no space", "PROXY\r\n", 6},
		{"two spaces", "PROXY  TCP4 192.0.2.1 198.51.100.7 1 2\r\n", 40},
		{"space before CRLF", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 \r\n", 40},
		{"field too few", "PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n", 37},
		{"field too many", "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n", 41},
		{"family only", "PROXY TCP4\r\n", 12},
		{"unknown family", "PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n", 39},
		{"word after UNKNOWN", "PROXY UNKNOWNX\r\n", 16},
		{"IPv6 under TCP4", "PROXY TCP4 ::1 ::1 1 2\r\n", 24},
		{"IPv4 under TCP6", "PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n", 39},
		{"octal number", "PROXY TCP4 192.0.2.01 198.51.100.7 1 2\r\n", 40},
		{"zone", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", 33},
		{"port too large", "PROXY TCP4 192.0.2.1 198.51.100.7 65536 2\r\n", 43},
		{"port with leading zero", "PROXY TCP4 192.0.2.1 198.51.100.7 1 02\r\n", 40},
		{"port with sign", "PROXY TCP4 192.0.2.1 198.51.100.7 +1 2\r\n", 40},
		{"port too long", "PROXY TCP4 192.0.2.1 198.51.100.7 1 000002\r\n", 44},
		{"port missing", "PROXY TCP4 192.0.2.1 198.51.100.7  2\r\n", 38},
		{"bare LF", "PROXY UNKNOWN\n", 14},
		{"bare CR", "PROXY UNKNOWN\r \r\n", 15},
		{"LF before CR", "PROXY UNKNOWN\n\r\n", 14},
		{"line too long", "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", 107},
		{"endless line", "PROXY UNKNOWN " + strings.Repeat("x", 200), 107},
		{"damaged signature", "\r\n\r\n\x00\r\nQUIT\r", 12},
		{"version 1 in binary", proxyV2Signature + "\x11\x11\x00\x00", 13},
		{"unassigned command", proxyV2Signature + "\x22\x11\x00\x00", 13},
		{"unassigned family", proxyV2Signature + "\x21\x41\x00\x00", 14},
		{"UDP over IPv4", proxyV2Signature + "\x21\x12\x00\x0c", 14},
		{"unspecified protocol", proxyV2Signature + "\x21\x10\x00\x0c", 14},
		{"unix datagrams", proxyV2Signature + "\x21\x32\x00\xd8", 14},
		{"too short for TCP4", proxyV2Signature + "\x21\x11\x00\x0b", 16},
		{"too short for TCP6", proxyV2Signature + "\x21\x21\x00\x23", 16},
		{"too short for unix", proxyV2Signature + "\x21\x31\x00\xd7", 16},
		{"too long", proxyV2Signature + "\x21\x11\x0f\xf1", 16},
		{"LOCAL too long", proxyV2Signature + "\x20\x00\x0f\xf1", 16},
		{"checksum of another header", string(flipped), len(good)},
		{"two checksums", twice, len(twice)},
		{"checksum of three octets", proxyV2TCP(v4, v4to, tlv{3, "\x00\x00\x00"}), 34},
		{"TLV without length", proxyV2(0x21, 0x11, "123456789012\x04\x00"), 30},
		{"TLV beyond the end", proxyV2(0x21, 0x11, "123456789012\x04\x00\x02x"), 32},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for cut := range len(tt.wire) + 1 {
				want := codec.ErrProxyHeader
				if cut < tt.at {
					want = codec.ErrIncomplete
				}
				if h, n, err := codec.ParseProxyHeader([]byte(tt.wire[:cut])); err != want || n != 0 || h != (codec.ProxyHeader{}) {
					t.Fatalf("%q = %v, %d, %v, want %v", tt.wire[:cut], h, n, err, want)
				}
			}
		})
	}
}

// FuzzProxyHeader feeds arbitrary input: every cut agrees, and what is taken
// survives being encoded again.
func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\nEHLO a\r\n", "PROXY TCP6 ::1 fe80::ffff:1.2.3.4 1 2\r\n", "PROXY UNKNOWN\r\n",
		proxyV2TCP(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"), tlv{3, "\x00\x00\x00\x00"}),
		proxyV2TCP(netip.MustParseAddrPort("[::1]:1"), netip.MustParseAddrPort("[::2]:2"), tlv{4, "x"}), proxyV2(0x20, 0, ""),
		"PROXY UNKNOWN " + strings.Repeat("x", 100), proxyV2(0x21, 0x31, strings.Repeat("a", 216)),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, n, err := codec.ParseProxyHeader(in)
		if n < 0 || n > min(len(in), codec.MaxProxyHeader) || (n == 0) != (err != nil) {
			t.Fatalf("n = %d, err = %v", n, err)
		}
		for cut := range min(len(in), codec.MaxProxyHeader+1) {
			cutH, cutN, cutErr := codec.ParseProxyHeader(in[:cut])
			same := cutH == h && cutN == n && cutErr == err
			if cutErr == codec.ErrIncomplete && (err != nil || cut < n) {
				continue
			}
			if !same {
				t.Fatalf("cut at %d: %v, %d, %v; whole: %v, %d, %v", cut, cutH, cutN, cutErr, h, n, err)
			}
		}
		if err == nil {
			checkProxyHeader(t, h, in[:n])
		}
	})
}

// checkProxyHeader compares with a second reading of the same octets.
func checkProxyHeader(t *testing.T, h codec.ProxyHeader, wire []byte) {
	t.Helper()
	if h.Source.IsValid() != h.Destination.IsValid() || h.Local && h.Source.IsValid() {
		t.Fatalf("%q = %v", wire, h)
	}
	if f := strings.Fields(string(wire)); wire[0] == 'P' && h.Source.IsValid() {
		for i, got := range []netip.AddrPort{h.Source, h.Destination} {
			a, err := netip.ParseAddr(f[2+i])
			if err != nil || got.Addr() != a.Unmap() || portText(got) != f[4+i] {
				t.Fatalf("%q = %v", wire, h)
			}
		}
	}
	if !h.Source.IsValid() || h.Source.Addr().Is4() != h.Destination.Addr().Is4() {
		return // a header cannot mix the families
	}
	for _, again := range []string{proxyV1TCP(h.Source, h.Destination), proxyV2TCP(h.Source, h.Destination, tlv{3, "\x00\x00\x00\x00"})} {
		if h2, n, err := codec.ParseProxyHeader([]byte(again)); h2 != h || n != len(again) || err != nil {
			t.Fatalf("%v became %v, %d, %v through %q", h, h2, n, err, again)
		}
	}
}

// FuzzProxyAddress holds the address reader against net/netip.
func FuzzProxyAddress(f *testing.F) {
	for _, s := range []string{"::", "::1", "1::", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1:2:3:4:5:6:7::", "64:ff9b::192.0.2.33", "1.2.3.4", "fe80::1%a", "1:::2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 45 || strings.ContainsAny(text, " \r\n") {
			return
		}
		want, err := netip.ParseAddr(text)
		for family, fits := range map[string]bool{"TCP4": want.Is4(), "TCP6": want.Is6() && want.Zone() == ""} {
			other := map[string]string{"TCP4": "192.0.2.1", "TCP6": "::1"}[family]
			line := "PROXY " + family + " " + text + " " + other + " 1 2\r\n"
			h, _, got := codec.ParseProxyHeader([]byte(line))
			if ok := err == nil && fits; ok != (got == nil) || ok && h.Source.Addr() != want.Unmap() {
				t.Fatalf("%q = %v, %v; netip: %v, %v", line, h, got, want, err)
			}
		}
	})
}
