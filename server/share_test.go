package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestOneAccountLeavesMemoryToOthers has the sessions of one account hold content without
// end: the messages of the others are taken, all of them.
func TestOneAccountLeavesMemoryToOthers(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.ContentBudget, cfg.MaxMessageSize = 1<<20, 280<<10 }))
	line := strings.Repeat("0123456789abcde\r\n", 1000)
	var dripping []*client
	for range 4 {
		c := k.login(t, gmailUser)
		c.Mail("a@example.com", "b@example.com")
		c.Cmd("DATA", "354")
		dripping = append(dripping, c)
	}
	for range 15 { // 255,000 octets each
		for _, c := range dripping {
			c.Send(line)
		}
	}
	testkit.Eventually(t, "all of that has come", func() bool { return k.back.Metric(t, "smtp_content_bytes_total") >= 4*15*16000 })
	other := k.login(t, outlookUser)
	for i := range 30 {
		other.Cmd(fmt.Sprintf("MAIL FROM:<m%d@example.com> SIZE=17000", i), "250")
		other.Cmd("RCPT TO:<b@example.com>", "250")
		other.Data(line, "250 2.0.0")
	}
	provider.Messages(t, k.sandbox, 30)
	refused := 0
	for _, c := range dripping {
		c.Send(".\r\n")
		if got := c.Expect(""); strings.HasPrefix(got, "452 4.3.1") {
			refused++
		} else if !strings.HasPrefix(got, "250") {
			t.Errorf("a dripping session: %q", got)
		}
	}
	if refused == 0 {
		t.Error("the sessions of one account had more than their share: the test shows nothing")
	}
}

// TestLargestMessageFits: an account alone may send a message of the largest size, also if
// the budget has room for no more.
func TestLargestMessageFits(t *testing.T) {
	const size = 300_000
	k := newStack(t, config(func(cfg *Config) { cfg.ContentBudget, cfg.MaxMessageSize = size, size }))
	content := strings.Repeat("0123456789abc\r\n", size/15)
	for range 3 {
		c := k.login(t, gmailUser)
		c.Cmd(fmt.Sprintf("MAIL FROM:<a@example.com> SIZE=%d", size), "250")
		c.Cmd("RCPT TO:<b@example.com>", "250")
		c.Data(content, "250 2.0.0")
		c.Cmd("QUIT", "221")
	}
	provider.Messages(t, k.sandbox, 3)
}

// TestPaceOfContent has content come at less and at more than 1 KiB a second, in virtual
// time.
func TestPaceOfContent(t *testing.T) {
	const hello = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"
	drip := func(octets int) func(int) string {
		return func(int) string { return strings.Repeat("0123456\r\n", octets/9+1)[:octets/9*9] }
	}
	tests := []struct {
		name  string
		begin string
		every func(second int) string
		slow  bool
	}{
		{"DATA, fast enough", hello + "DATA\r\n", drip(1035), false},
		{"DATA, too slow", hello + "DATA\r\n", drip(900), true},
		{"DATA, an octet a second", hello + "DATA\r\n", func(int) string { return "x" }, true},
		{"DATA, refused", hello + "DATA\r\nbare\nLF\r\n", drip(900), true},
		{"DATA, refused, fast enough", hello + "DATA\r\nbare\nLF\r\n", drip(1035), false},
		{"a chunk, too slow", hello + "BDAT 1000000\r\n", drip(900), true},
		{"a chunk, fast enough", hello + "BDAT 1000000\r\n", drip(1035), false},
		{"small chunks", hello, func(int) string { return "BDAT 1\r\nx" }, true},
		{"chunks, fast enough", hello, func(int) string { return "BDAT 1035\r\n" + drip(1035)(0) }, false},
		{"between chunks", hello + "BDAT 6\r\ntext\r\n", func(int) string { return "NOOP\r\n" }, true},
		{"refused lines between chunks", hello + "BDAT 6\r\ntext\r\n", func(s int) string {
			if s%2 == 0 {
				return "NOOP\n"
			}
			return "\r\n"
		}, true},
		{"a refused chunk", "BDAT 1000000\r\n", drip(900), true},
		{"no content", "", func(int) string { return "NOOP\r\n" }, false},
		{"a transaction without content", hello, func(int) string { return "NOOP\r\n" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFeeder(t, func(cfg *Config) { cfg.MaxErrors = 1000 })
			f.login()
			f.out = nil
			f.feed(tt.begin)
			second := 0
			for ; second < 600 && f.s.state != stateLinger && f.s.state != stateClosed; second++ {
				f.feed(tt.every(second))
				f.loop.Advance(time.Second)
			}
			slow := strings.Contains(string(f.out), "421 4.4.2 Content came at less than 1 KiB a second")
			if slow != tt.slow || slow != (second < 600) || slow && (second < 59 || second > 71) {
				t.Errorf("after %d s: %.80q", second, f.out[max(0, len(f.out)-80):])
			}
		})
	}
}
