//go:build !race

package server

import (
	"strings"
	"testing"
)

// TestMessageAllocations gates the allocations of a whole message, from MAIL to
// the final reply, with a relay that accepts at once.
func TestMessageAllocations(t *testing.T) {
	body := strings.Repeat("a line of sixty-four octets, which is quite usual in messages\r\n", 150)
	for _, tt := range []struct {
		name, message string
		max           float64
	}{
		{"DATA", "MAIL FROM:<a@example.com> SIZE=10000 BODY=8BITMIME\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" + body + ".\r\n", 2},
		{"BDAT", "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT " + "9450 LAST\r\n" + body, 2},
		{"commands", "NOOP\r\nRSET\r\nVRFY a\r\nMAIL FROM:<>\r\nNOOP\r\nBOGUS\r\nRSET\r\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFeeder(t, func(cfg *Config) { cfg.MaxErrors = 1 << 30 })
			f.login()
			in := []byte(tt.message)
			run := func() {
				f.feedBytes(in)
				f.out = f.out[:0]
			}
			run()
			taken := f.taken
			got := testing.AllocsPerRun(200, run)
			if strings.HasPrefix(tt.message, "MAIL") && f.taken <= taken+199 {
				t.Fatalf("%d messages were taken", f.taken-taken)
			}
			if got > tt.max {
				t.Errorf("%v allocations, want at most %v", got, tt.max)
			}
			f.end(t)
		})
	}
}
