package upstream

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestSizeThatCannotBeMeant: a provider announces a SIZE below what every server must
// take, or no number. A message passes, and one warning says so for all logins.
func TestSizeThatCannotBeMeant(t *testing.T) {
	body := strings.Repeat("0123456789abcdef\r\n", 4000) // 72 KB
	for _, tt := range []struct {
		announced  string // the sandbox holds to the last line
		configured int64  // in place of it; 0: none
		size       int    // of the message
		reply      string
		param      bool // MAIL has SIZE
		warned     bool
	}{
		{"SIZE 1\nSIZE x", 0, len(body), "250", false, true},
		{"SIZE 65535\nSIZE x", 0, len(body), "250", false, true},
		{"SIZE abc", 0, len(body), "250", false, true},
		{"SIZE 65536", 0, len(body), "552 5.3.4 Message size", true, false},
		{"SIZE 65536", 0, 180, "250", true, false},
		{"SIZE 0", 0, len(body), "250", true, false},
		{"SIZE 1\nSIZE x", 1800, 1800, "250", false, true},
		{"SIZE 1\nSIZE x", 1800, 1818, "552 5.3.4 Message size", false, true},
		{"SIZE 65536", int64(len(body)), len(body), "552 5.3.4 Your message exceeded Google", true, false},
		{"SIZE 35882577", 1800, 1818, "552 5.3.4 Message size", true, false},
	} {
		t.Run(tt.announced, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.keywords = append(strings.Split(tt.announced, "\n"), offerBDAT[1:]...) })
			core, logs := observer.New(zap.WarnLevel)
			f.relay.logins.Log = zap.New(core)
			for _, a := range f.accounts {
				a.AnnouncedSize = tt.configured
				if got := f.send(a, "to@example.com", body[:tt.size]).Reply; !strings.HasPrefix(got.String(), tt.reply) {
					t.Errorf("reply %v, want %s", got, tt.reply)
				}
			}
			for _, m := range f.box.Messages() {
				if has := slices.ContainsFunc(m.Params, func(p string) bool { return strings.HasPrefix(p, "SIZE=") }); has != tt.param {
					t.Errorf("parameters of MAIL: %v", m.Params)
				}
			}
			if n := logs.FilterMessageSnippet("SIZE").Len(); n != map[bool]int{true: 1}[tt.warned] {
				t.Errorf("%d warnings", n)
			}
		})
	}
}
