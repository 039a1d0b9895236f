package upstream

import (
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
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

// TestNameInEHLO: a host without a name that has a domain says the address it comes from.
func TestNameInEHLO(t *testing.T) {
	for _, configured := range []string{"", "relay.example.com", "[192.0.2.1]"} {
		f := newFixture(t, func(s *setup) { s.relay.EhloName = configured })
		want := configured
		if want == "" {
			f.relay.logins.Client.EhloName, want = "", "[127.0.0.1]"
		}
		f.sendOK(f.accounts[0], "a\r\n")
		if got := f.ehloNames(); !slices.Equal(got, []string{want}) {
			t.Errorf("configured %q: EHLO %q, want %q", configured, got, want)
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
