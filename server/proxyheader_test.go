package server

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/testkit"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// proxyV2 is a header of version 2: command 0 is LOCAL, 1 is PROXY; extra is
// what follows the addresses.
func proxyV2(command byte, source, destination netip.AddrPort, extra ...byte) string {
	var b bytes.Buffer
	b.WriteString("\r\n\r\n\x00\r\nQUIT\n")
	var addresses []byte
	family := byte(0x00)
	if source.IsValid() {
		family = 0x11
		if source.Addr().Is6() {
			family = 0x21
		}
		addresses = append(source.Addr().AsSlice(), destination.Addr().AsSlice()...)
		addresses = binary.BigEndian.AppendUint16(addresses, source.Port())
		addresses = binary.BigEndian.AppendUint16(addresses, destination.Port())
	}
	addresses = append(addresses, extra...)
	b.Write([]byte{0x20 | command, family})
	_ = binary.Write(&b, binary.BigEndian, uint16(len(addresses)))
	b.Write(addresses)
	return b.String()
}

// TestProxyHeader has headers of both versions from a trusted peer, whole, octet
// by octet and with the first command after them, in clear and before TLS. The
// source that they name is what the allow list is for.
func TestProxyHeader(t *testing.T) {
	allow := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	k := newStack(t, withTLS(TLSImplicit), config(func(cfg *Config) {
		cfg.Listeners[0].ProxyFrom, cfg.Listeners[0].Allow = loopback, allow
		cfg.Listeners = append(cfg.Listeners, Listener{Address: "127.0.0.1:0", ProxyFrom: loopback, Allow: allow})
	}))
	to := netip.MustParseAddrPort("198.51.100.1:25")
	to6 := netip.MustParseAddrPort("[2001:db8::25]:25")
	tests := []struct{ name, header, want string }{
		{"v1 IPv4", "PROXY TCP4 192.0.2.7 198.51.100.1 4021 25\r\n", "220"},
		{"v1 IPv6", "PROXY TCP6 2001:db8::7 2001:db8::25 4021 25\r\n", "220"},
		{"v1 not allowed", "PROXY TCP4 203.0.113.7 198.51.100.1 4021 25\r\n", "421 4.7.1"},
		{"v1 unknown", "PROXY UNKNOWN\r\n", "421 4.7.1"}, // the proxy's own address is not on the list
		{"v2 IPv4", proxyV2(1, netip.MustParseAddrPort("192.0.2.7:4021"), to), "220"},
		{"v2 IPv6", proxyV2(1, netip.MustParseAddrPort("[2001:db8::7]:4021"), to6), "220"},
		{"v2 mapped", proxyV2(1, netip.MustParseAddrPort("[::ffff:192.0.2.7]:4021"), to6), "220"},
		{"v2 with TLVs", proxyV2(1, netip.MustParseAddrPort("192.0.2.7:4021"), to, 0x02, 0, 2, 'm', 'x'), "220"},
		{"v2 not allowed", proxyV2(1, netip.MustParseAddrPort("203.0.113.7:4021"), to), "421 4.7.1"},
		{"v2 local", proxyV2(0, netip.AddrPort{}, netip.AddrPort{}), "220"}, // a health check of the proxy
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for cut := range len(tt.header) + 1 {
				c := k.dialAt(t, 1)
				if cut == len(tt.header) { // each octet apart
					for i := range len(tt.header) {
						c.Send(tt.header[i : i+1])
					}
				} else {
					c.Send(tt.header[:cut])
					c.Send(tt.header[cut:])
				}
				c.Expect(tt.want)
				if tt.want != "220" {
					c.ExpectEnd()
				}
				c.close()
			}
			c := k.dialAt(t, 1)
			c.Send(tt.header + "EHLO client.example.com\r\nNOOP\r\n")
			c.Expect(tt.want)
			if tt.want == "220" {
				c.Expect("250")
				c.Expect("250 2.0.0 OK")
				c.close()
				c = k.dialAt(t, 0)
				c.Send(tt.header)
				c.secure(clientConfig(tlsVersions["1.3"]), nil)
				c.Expect("220")
				c = k.dialAt(t, 0)
				hello := string(clientHello(t))
				c.Send(tt.header + hello) // in one packet
				b := make([]byte, 1)
				if n, err := c.TCP.Read(b); n != 1 || !loop.BeginsTLS(b) {
					t.Errorf("the answer to the ClientHello is %x, %v", b[:n], err)
				}
			} else {
				c = k.dialAt(t, 0)
				c.Send(tt.header)
				c.ExpectEnd() // it waits for TLS: no word in clear
			}
		})
	}
}

// TestProxyHeaderBad has what is no header from a trusted peer: it is closed
// without a word. From another peer a header is a line like any other.
func TestProxyHeaderBad(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) {
		cfg.Listeners[0].ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		cfg.Listeners = append(cfg.Listeners, Listener{Address: "127.0.0.1:0", ProxyFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}})
	}))
	for _, octets := range []string{"EHLO client.example.com\r\n", "PROXY TCP4 1.2.3.4\r\n", "PROXY TCP9 x\r\n", "\r\n\r\n\x00\r\nQUIT\nxxxx", "\r\n\r\n\x00\r\nQUIX", "\x16\x03\x01"} {
		c := k.dial(t)
		c.Send(octets)
		c.ExpectEnd()
	}
	if n := k.back.Metric(t, "smtp_bad_proxy_headers_total"); n != 6 {
		t.Errorf("the counter says %v", n)
	}
	c := k.dialAt(t, 1)
	c.Expect("220") // it is not awaited
	c.Cmd("PROXY TCP4 10.0.0.1 10.0.0.2 1 2", "500 5.5.1")
	sources := 0
	k.inspect(t, func(s *session) {
		if s.source == netip.MustParseAddr("127.0.0.1") {
			sources++
		}
	})
	if sources != 1 {
		t.Error("the header of a stranger was taken for true")
	}
}

// TestProxyHeaderCaps counts connections by the source that the header names;
// an IPv6 network is one source.
func TestProxyHeaderCaps(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) {
		cfg.Listeners[0].ProxyFrom, cfg.Listeners[0].MaxPerSource = loopback, 2
	}))
	header := func(source string) string { return "PROXY TCP6 " + source + " 2001:db8::25 4021 25\r\n" }
	open := func(source, want string) *client {
		c := k.dial(t)
		c.Send(header(source))
		c.Expect(want)
		return c
	}
	first := open("2001:db8::1", "220")
	open("2001:db8::2", "220")
	open("2001:db8::3", "421 4.7.0")
	open("2001:db8:0:1::1", "220")
	first.Cmd("QUIT", "221")
	first.ExpectEnd()
	testkit.Eventually(t, "it is counted out", func() bool {
		c := k.dial(t)
		c.Send(header("2001:db8::4"))
		got, err := c.Reply()
		return err == nil && got[:3] == "220"
	})
}
