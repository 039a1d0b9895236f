package server

import (
	"bytes"
	"testing"
)

// FuzzProxyHeaderSession has a session begin with any octets where a PROXY header
// is due, cut anywhere: it never greets without a valid header, and what is
// after one is read as commands in step.
func FuzzProxyHeaderSession(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 198.51.100.1 4021 25\r\nNOOP\r\n"), []byte{1})
	f.Add([]byte("PROXY UNKNOWN\r\nEHLO x\r\n"), []byte{7})
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00NOOP\r\n"), []byte{3})
	f.Add([]byte("EHLO client.example.com\r\n"), []byte{})
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		play := func(cuts []byte) string {
			fd := newFeeder(t, nil)
			fd.s.awaitsHeader = true
			fd.s.enter(stateProxyHeader)
			for i, rest := 0, in; len(rest) > 0 && fd.s.state != stateClosed; i++ {
				n := len(rest)
				if len(cuts) > 0 {
					n = min(n, 1+int(cuts[i%len(cuts)]))
				}
				fd.s.Received(bytes.Clone(rest[:n]))
				rest = rest[n:]
			}
			said := fd.replies()
			fd.end(t)
			return said
		}
		whole, cut := play(nil), play(cuts)
		if whole != cut {
			t.Fatalf("in one: %q\ncut by %v: %q", whole, cuts, cut)
		}
		if whole != "" && !bytes.HasPrefix(in, []byte("PROXY ")) && !bytes.HasPrefix(in, []byte("\r\n\r\n\x00\r\nQUIT\n")) {
			t.Fatalf("without a header it says %q", whole)
		}
	})
}
