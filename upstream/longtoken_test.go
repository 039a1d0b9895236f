package upstream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
)

var initialResponses = []account.InitialResponse{account.InitialResponseAuto, account.InitialResponseAlways, account.InitialResponseNever}

// providerLimits are what providers allow of a command line.
var providerLimits = []struct {
	name    string
	limit   int // in octets with CRLF; -1: none below that of a response
	refusal string
}{
	{"gmail", 1000, "555 5.5.2 Syntax error. - gsmtp"},
	{"dovecot", 512, "500 5.5.2 Line too long"},
	{"dovecot", 1024, "500 5.5.2 Line too long"},
	{"none", -1, "500 5.5.6 Line too long"},
}

// TestLongTokens has access tokens of lengths around every limit be sent to
// providers of every limit, in every way and by every mechanism.
func TestLongTokens(t *testing.T) {
	// The lengths at which the response of AUTH XOAUTH2 is of 496 octets (a line of
	// 511), 500 (515), 12,288 and 12,292 octets for the sample account.
	overhead := len("user=\x01auth=Bearer \x01\x01") + len(sandbox.SampleAccounts(1)[0].Email)
	for _, length := range []int{
		30, 496*3/4 - overhead, 500*3/4 - overhead, 1000, 1024, 2048, 9000,
		12288*3/4 - overhead, 12288*3/4 - overhead + 1, 12288, 12289,
	} {
		for _, p := range providerLimits {
			t.Run(fmt.Sprintf("%d octets/%s %d", length, p.name, p.limit), func(t *testing.T) {
				f := newFixture(t, func(s *setup) {
					s.accounts = 2 * len(initialResponses)
					s.keywords = []string{"SIZE 35882577", "AUTH XOAUTH2 OAUTHBEARER", "PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"}
					s.box.Tokens.Length = length
					s.endpoint = func(e *sandbox.Endpoint) {
						e.Limits.CommandLine, e.Replies = p.limit, map[string]string{"command_line": p.refusal}
					}
				})
				for i, setting := range initialResponses {
					for j, m := range []account.Mechanism{account.MechanismXOAUTH2, account.MechanismOAUTHBEARER} {
						a := withMechanism(f.accounts[2*i+j], m)
						a.InitialResponse = setting
						f.checkLongToken(a, p.limit, p.refusal)
					}
				}
			})
		}
	}
}

// checkLongToken sends a message and verifies the account, and checks what the
// client is told and how the provider was logged in to.
func (f *fixture) checkLongToken(a *account.Account, limit int, refusal string) {
	t := f.t
	t.Helper()
	name := fmt.Sprintf("%s %s", a.InitialResponse, a.Mechanism)
	before, messages := f.box.Stats(), len(f.box.Messages())
	res := f.send(a, "to@example.com", name+"\r\n")
	tok := f.tokens.Source(a).Cached()
	if tok == nil {
		t.Fatalf("%s: the token was given up", name)
	}
	verified := f.verifier().Verify(t.Context(), a)
	after, response := f.box.Stats(), tok.InitialResponse(a.Mechanism)
	line := len("AUTH " + strings.ToUpper(string(a.Mechanism)) + " " + string(response) + "\r\n")
	initial := a.InitialResponse == account.InitialResponseAlways || a.InitialResponse == account.InitialResponseAuto && line <= 512

	want := "250 "
	switch {
	case len(response) > 12288:
		want = "451 4.7.0 "
		for _, part := range []string{"too long", "fewer claims"} {
			if !strings.Contains(res.Reply.Text, part) {
				t.Errorf("%s: no %q in the reply %q", name, part, res.Reply.Text)
			}
		}
		if n := after.Connections - before.Connections; n != 0 {
			t.Errorf("%s: %d connections for a token that is too long for any", name, n)
		}
	case initial && limit > 0 && line > limit:
		want = "451 4.5.2 "
		for _, part := range []string{refusal, "initial_response"} {
			if !strings.Contains(res.Reply.Text, part) {
				t.Errorf("%s: no %q in the reply %q", name, part, res.Reply.Text)
			}
		}
	}
	if got := res.Reply.String(); !strings.HasPrefix(got, want) || strings.Contains(got, "operator must act") {
		t.Errorf("%s, line of %d octets: the client is told %q, want %q", name, line, got, want)
	}
	delivered := want == "250 "
	if got := len(f.box.Messages()) - messages; got == 1 != delivered || (verified == nil) != delivered {
		t.Errorf("%s: the provider has %d messages more, verified: %v", name, got, verified)
	}
	if st, _ := f.relay.Standing(a.ID); st != nil && st.Stopped != "" {
		t.Errorf("%s: the account is %s: %s", name, st.Stopped, st.Reason)
	}
	if n := f.box.AccountStats(a.Email).TokenRequests; n != 1 {
		t.Errorf("%s: %d token requests", name, n)
	}
	f.checkForm(a, delivered, initial)
}

// checkForm checks how the last login was done, and that no line was too long
// unless it had to be.
func (f *fixture) checkForm(a *account.Account, delivered, initial bool) {
	f.t.Helper()
	if !delivered {
		return
	}
	auth := slices.DeleteFunc(f.box.Commands(), func(r sandbox.CommandRecord) bool { return !strings.HasPrefix(r.Line, "AUTH ") })
	for _, r := range auth[len(auth)-2:] { // of the message and of the verification
		if r.Line != "AUTH "+strings.ToUpper(string(a.Mechanism)) || r.Initial != initial {
			f.t.Errorf("%s %s: %+v, want an initial response: %t", a.InitialResponse, a.Mechanism, r, initial)
		}
	}
}
