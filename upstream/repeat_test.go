package upstream

import (
	"fmt"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestRepetitionStaysOnItsConnection: content that needs more than MAIL declares takes no
// further connection, and counts as one message of its connection.
func TestRepetitionStaysOnItsConnection(t *testing.T) {
	const messages = 6
	for _, offer := range offers {
		t.Run(offer.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) {
				s.keywords, s.limits.MaxMessagesPerConnection = append([]string{"8BITMIME"}, offer.keywords...), messages
			})
			for i := range messages {
				if r := f.toBoth(f.accounts[0], fmt.Sprintf("caf\xc3\xa9 %d\r\n", i)); r.Code != 250 {
					t.Fatalf("reply %v", r)
				}
			}
			f.until(func() bool { return f.state(f.accounts[0]).Open == 0 }) // it has done its share
			if n := f.box.Stats().Logins; n != 1 {
				t.Errorf("%d logins, want 1", n)
			}
			var mails, resets int
			for _, verb := range f.commands() {
				switch verb {
				case "MAIL":
					mails++
				case "RSET":
					resets++
				}
			}
			if mails != 2*messages || resets != messages {
				t.Errorf("%d times MAIL and %d times RSET for %d messages", mails, resets, messages)
			}
			f.once(messages)
			provider.NoViolations(f.t, f.box)
		})
	}
}

// TestRepetitionAfterRSETFails: whatever comes of the RSET before a repetition, the message
// is sent once, over another connection.
func TestRepetitionAfterRSETFails(t *testing.T) {
	for _, rule := range []sandbox.Rule{
		{Action: sandbox.ActionReply, Reply: "500 5.5.1 what"},
		{Action: sandbox.ActionReply, Reply: "421 4.3.2 down"},
		{Action: sandbox.ActionClose},
		{Action: sandbox.ActionReset},
		{Action: sandbox.ActionGarbage},
	} {
		t.Run(fmt.Sprint(rule.Action, " ", rule.Reply), func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
			rule.Name, rule.Phase, rule.Times = "reset", sandbox.PhaseRset, 1
			provider.Faults(f.t, f.box, rule)
			if r := f.toBoth(f.accounts[0], "caf\xc3\xa9\r\n"); r.Code != 250 {
				t.Errorf("reply %v", r)
			}
			provider.Fired(f.t, f.box, "reset", 1)
			if n := f.box.Stats().Logins; n != 2 {
				t.Errorf("%d logins, want 2", n)
			}
			if got := provider.Messages(f.t, f.box, 1)[0]; len(got.Recipients) != 2 || string(got.Body) != "caf\xc3\xa9\r\n" {
				t.Errorf("the provider has %v, %q", got.Recipients, got.Body)
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}
