package upstream

import (
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/dial"
)

// ehloNames are the names in EHLO that the sandbox has seen.
func (f *fixture) ehloNames() (names []string) {
	for _, c := range f.box.Commands() {
		if name, ok := strings.CutPrefix(c.Line, "EHLO "); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// TestNameInEHLO: the configured one, or the host's with its domain; a host without such a name
// says the address it comes from.
func TestNameInEHLO(t *testing.T) {
	host := dial.HostName
	t.Cleanup(func() { dial.HostName = host })
	for _, tt := range []struct{ configured, host, want string }{
		{"relay.example.com", "mail.example.com", "relay.example.com"},
		{"[192.0.2.1]", "mail.example.com", "[192.0.2.1]"},
		{"", "mail.example.com", "mail.example.com"},
		{"", "", "[127.0.0.1]"},
		{"", "no\r\nname.example.com", "[127.0.0.1]"},
	} {
		dial.HostName = func() string { return tt.host }
		f := newFixture(t, func(s *setup) { s.relay.EhloName = tt.configured })
		f.sendOK(f.accounts[0], "a\r\n")
		if got := f.ehloNames(); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("configured %q, host %q: EHLO %q, want %q", tt.configured, tt.host, got, tt.want)
		}
		provider.NoViolations(f.t, f.box)
	}
}

// TestRefusedEHLO: the message is kept, and the reply says what to do about the name.
func TestRefusedEHLO(t *testing.T) {
	for _, reply := range []string{"501 5.5.4 invalid name", "504 5.5.2 need a fully-qualified name", "550 5.7.1 who are you", "550 no"} {
		f := newFixture(t, nil)
		a := f.accounts[0]
		provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseEHLO, Action: sandbox.ActionReply, Reply: reply, Times: 1})
		res := f.send(a, "to@example.com", "a\r\n")
		if res.Reply.Code != 451 || !strings.Contains(res.Reply.Text, reply) || !strings.Contains(res.Reply.Text, "upstream.ehlo_name") {
			t.Errorf("%s: the client is told %v", reply, res.Reply)
		}
		f.eventually(a)
	}
}
