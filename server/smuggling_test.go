package server

import (
	"fmt"
	"strings"
	"testing"
)

// lineEnds are what servers were seen to take for the end of a line, and what is
// near to it.
var lineEnds = []string{"\r\n", "\n", "\r", "\n\r", "\r\r\n", "\r\n\n", "\n\n", "\r\r", "\x00\r\n", "\r\x00\n", "\r\n\x00", "\n\x00", "\r\x00",
	"\x0b", "\x0c", "\xc2\x85", "\x85", "\xe2\x80\xa8", " \r\n", "\r\n ", "\t\n", "\x00"}

// TestSmuggling sends a dot between any two of lineEnds, and after it the
// commands of a second message (SMTP smuggling, 2023): they stay content, which
// is refused where it has a bare CR or LF, or passed on where that is configured.
// Neither the proxy nor the provider ever takes them for commands.
func TestSmuggling(t *testing.T) {
	const evil = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nSubject: evil\r\n\r\nevil"
	for _, normalise := range []bool{false, true} {
		k := newStack(t, config(func(cfg *Config) { cfg.NormaliseNewlines, cfg.MaxErrors = normalise, 1<<20 }))
		for _, user := range []string{gmailUser, plainUser} { // by BDAT and by DATA
			c := k.login(t, user)
			for i, before := range lineEnds {
				for _, after := range lineEnds {
					content := "text" + before + "." + after + evil + "\r\n"
					if strings.Contains(content, "\r\n.\r\n") {
						continue // this is the end of data
					}
					from := fmt.Sprintf("a%d@example.com", i)
					c.Mail(from, "b@example.com")
					want := "250 2.0.0"
					if !normalise && bareNewline(content) {
						want = "554 5.6.0"
					}
					c.Data(content, want)
					c.Cmd("NOOP", "250 2.0.0 OK") // and nothing was said in between
				}
			}
			c.Cmd("QUIT", "221")
		}
		for _, m := range k.sandbox.Messages() {
			if strings.HasPrefix(m.ReversePath, "evil") {
				t.Fatalf("normalise %v: smuggled: %q", normalise, m.Body)
			}
			if !strings.HasSuffix(string(m.Body), "\r\nevil\r\n") {
				t.Errorf("normalise %v: the content is %q", normalise, m.Body)
			}
		}
	}
}

// bareNewline reports whether there is a CR or LF by itself.
func bareNewline(content string) bool {
	rest := strings.ReplaceAll(content, "\r\n", "")
	return strings.ContainsAny(rest, "\r\n")
}
