package upstream

import (
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestAvoid: what is to be avoided with a provider is not used, though it announces it,
// and a change holds for the next message.
func TestAvoid(t *testing.T) {
	for _, tt := range []struct {
		avoid account.Keywords
		verb  string // that the content comes by
		mail  string // parameters of MAIL
	}{
		{0, "BDAT", "SIZE=3"},
		{account.KeywordCHUNKING, "DATA", "SIZE=3"},
		{account.KeywordPIPELINING, "BDAT", "SIZE=3"},
		{account.KeywordCHUNKING | account.KeywordPIPELINING, "DATA", "SIZE=3"},
		{account.KeywordSIZE, "BDAT", ""},
		{account.AllKeywords, "DATA", ""},
	} {
		t.Run(tt.avoid.String(), func(t *testing.T) {
			f := newFixture(t, nil)
			f.sendOK(f.accounts[0], "before\r\n")
			a := *f.accounts[0]
			a.Avoid = tt.avoid
			f.sendOK(&a, "a\r\n")
			m := provider.Messages(f.t, f.box, 2)[1]
			if m.Verb != tt.verb || strings.Join(m.Params, " ") != tt.mail {
				t.Errorf("the content came by %s, MAIL with %q", m.Verb, m.Params)
			}
			provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "550 5.7.1 no"})
			if res := f.send(&a, "to@x.test", "b\r\n"); res.Reply.Code != 550 {
				t.Errorf("told %v", res.Reply)
			}
			verbs := f.commands()
			if ahead := slices.Contains(verbs[lastIndex(verbs, "MAIL"):], "RCPT"); ahead == tt.avoid.Has(account.KeywordPIPELINING) {
				t.Errorf("RCPT was sent before the reply to MAIL: %t", ahead)
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}

// lastIndex is where the last v is in s.
func lastIndex(s []string, v string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == v {
			return i
		}
	}
	return -1
}
