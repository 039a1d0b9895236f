package server

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkFeed runs the session's hot path without a network: what one read
// brings, up to the replies that are to be written.
func BenchmarkFeed(b *testing.B) {
	const envelope = "MAIL FROM:<bounces+1234@example.com> SIZE=10000 BODY=8BITMIME\r\nRCPT TO:<someone@example.org>\r\n"
	line := strings.Repeat("x", 76) + "\r\n"
	for _, bm := range []struct {
		name, in string
		messages int
	}{
		{"in=NOOP", "NOOP\r\n", 0},
		{"in=envelope/reset", envelope + "RSET\r\n", 0},
		{"in=DATA/octets=1k", envelope + "DATA\r\n" + strings.Repeat(line, 13) + ".\r\n", 1},
		{"in=DATA/octets=10k", envelope + "DATA\r\n" + strings.Repeat(line, 131) + ".\r\n", 1},
		{"in=DATA/octets=1M", envelope + "DATA\r\n" + strings.Repeat(line, 13443) + ".\r\n", 1},
		{"in=BDAT/octets=10k", envelope + fmt.Sprintf("BDAT %d LAST\r\n", 131*len(line)) + strings.Repeat(line, 131), 1},
		{"in=DATA/octets=1k/rcpts=10", envelope + strings.Repeat("RCPT TO:<other@example.org>\r\n", 9) +
			"DATA\r\n" + strings.Repeat(line, 13) + ".\r\n", 1},
	} {
		b.Run(bm.name, func(b *testing.B) {
			f := newFeeder(b, nil)
			f.login()
			in := []byte(bm.in)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for rest := in; len(rest) > 0; {
					read := rest[:min(len(rest), maxRead)]
					f.feedBytes(read)
					rest = rest[len(read):]
				}
				f.out = f.out[:0]
				n++
			}
			if bm.messages > 0 && f.taken < n {
				b.Fatalf("%d of %d messages were taken", f.taken, n)
			}
			f.end(b)
		})
	}
}
