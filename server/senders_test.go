package server

import (
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream"
)

// TestRefusedFromLeavesNothing has a transaction refused for its From field that is open at
// the provider, by each way content comes: the provider sees it end, and no content.
func TestRefusedFromLeavesNothing(t *testing.T) {
	const body = "From: bad@ok.example\r\n\r\ntext\r\n"
	for _, user := range []string{listedGmailUser, listedPlainUser} {
		for name, send := range map[string]func(*client){
			"DATA": func(c *client) {
				c.Cmd("DATA", "354 ")
				c.Send(body + ".\r\n")
			},
			"BDAT":        func(c *client) { c.Send("BDAT 30 LAST\r\n" + body) },
			"BDAT chunks": func(c *client) { c.Send("BDAT 10\r\n" + body[:10] + "BDAT 20\r\n" + body[10:] + "BDAT 0 LAST\r\n") },
		} {
			t.Run(user+"/"+name, func(t *testing.T) {
				k := newStack(t, func(_ *Config, _ *upstream.Config, box *sandbox.Config) { box.Record = 100 })
				c := k.login(t, user)
				c.Cmd("MAIL FROM:<good@ok.example>", "250 2.1.0 ")
				c.Cmd("RCPT TO:<one@example.com>", "250 2.1.5 ")
				c.Cmd("RCPT TO:<two@example.com>", "250 2.1.5 ")
				send(c)
				for r := c.Expect(""); !strings.HasPrefix(r, "553 5.7.1 "); r = c.Expect("") {
					if !strings.HasPrefix(r, "250 2.0.0 Chunk") {
						t.Fatalf("the reply is %q", r)
					}
				}
				seen := func() (verbs []string) {
					for _, r := range k.sandbox.Commands() {
						switch verb, _, _ := strings.Cut(r.Line, " "); verb {
						case "MAIL", "RCPT", "DATA", "BDAT", "RSET":
							verbs = append(verbs, verb)
						}
					}
					return verbs
				}
				want := []string{"MAIL", "RCPT", "RCPT", "RSET"}
				testkit.Eventually(t, "the transaction ends at the provider", func() bool { return len(seen()) >= len(want) })
				c.Cmd("NOOP", "250 ")
				if got := seen(); !slices.Equal(got, want) {
					t.Errorf("the provider saw %q, want %q", got, want)
				}
				if n := k.back.Metric(t, "smtp_sender_refusals_total"); n != 1 {
					t.Errorf("%v refusals are counted", n)
				}
				provider.Messages(t, k.sandbox, 0)
			})
		}
	}
}
