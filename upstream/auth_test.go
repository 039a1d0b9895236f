package upstream

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/failure"
)

// withMechanism returns a copy of a that logs in with m.
func withMechanism(a *account.Account, m account.Mechanism) *account.Account {
	other := *a
	other.Mechanism = m
	return &other
}

func TestMechanisms(t *testing.T) {
	for _, tt := range []struct {
		name, offer string
		mechanism   account.Mechanism
		want        string // of the command; empty: no login
	}{
		{"default", "AUTH OAUTHBEARER XOAUTH2", "", "AUTH XOAUTH2"},
		{"oauthbearer", "AUTH XOAUTH2 OAUTHBEARER", account.MechanismOAUTHBEARER, "AUTH OAUTHBEARER"},
		{"xoauth2 is not offered", "AUTH OAUTHBEARER", account.MechanismXOAUTH2, ""},
		{"oauthbearer is not offered", "AUTH XOAUTH2 LOGIN", account.MechanismOAUTHBEARER, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.keywords = []string{"8BITMIME", tt.offer} })
			err := f.verifier().Verify(t.Context(), withMechanism(f.accounts[0], tt.mechanism))
			if (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, failure.ErrProtocol) {
				t.Errorf("got %v", err)
			}
			var auth []string
			for _, c := range f.box.Commands() {
				if strings.HasPrefix(c.Line, "AUTH") {
					auth = append(auth, c.Line)
				}
			}
			if tt.want == "" && len(auth) > 0 || tt.want != "" && (len(auth) != 1 || !strings.HasPrefix(auth[0], tt.want)) {
				t.Errorf("commands %q, want %q", auth, tt.want)
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}

// TestRefusalIsExplained has a token refused after a challenge, which each
// mechanism answers in its own way, and by a provider that says why.
func TestRefusalIsExplained(t *testing.T) {
	for _, tt := range []struct {
		name      string
		mechanism account.Mechanism
		reply     string // instead of the sandbox's own
		class     oauth.Class
		text      []string // of the reply to the client
	}{
		{"challenge", account.MechanismXOAUTH2, "", oauth.ClassTokenRefused, []string{"535", "https://mail.google.com/"}},
		{"challenge of oauthbearer", account.MechanismOAUTHBEARER, "", oauth.ClassTokenRefused, []string{"535", "https://mail.google.com/"}},
		{"disabled", account.MechanismXOAUTH2, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
			oauth.ClassLoginRefused, []string{"5.7.139", "Set-CASMailbox"}},
		{"browser", account.MechanismXOAUTH2, "534 5.7.9 Please log in with your web browser", oauth.ClassInteractionRequired, []string{"sign in with a browser"}},
		{"too many", account.MechanismXOAUTH2, "454 4.7.0 Too many login attempts", oauth.ClassThrottled, []string{"lower its connections"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.keywords = []string{"AUTH XOAUTH2 OAUTHBEARER"} })
			rule := sandbox.Rule{Phase: sandbox.PhaseToken, Action: sandbox.ActionWrongScope}
			if tt.reply != "" {
				rule = sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: tt.reply}
			}
			provider.Faults(f.t, f.box, rule)
			err := f.verifier().Verify(t.Context(), withMechanism(f.accounts[0], tt.mechanism))
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			class, hint, ok := e.Explain()
			if !ok || class != tt.class {
				t.Errorf("%v is %v, %q", e, class, hint)
			}
			reply := ClientReply(e)
			if reply.Code != 451 && reply.Code != 454 {
				t.Errorf("the client is told %v", reply)
			}
			for _, part := range tt.text {
				if !strings.Contains(reply.Text, part) {
					t.Errorf("%q is not in the reply %q", part, reply.Text)
				}
			}
			for line := range strings.SplitSeq(string(reply.AppendTo(nil)), "\r\n") {
				if len(line)+2 > 512 { // RFC 5321 section 4.5.3.1.5
					t.Errorf("a line has %d octets: %s", len(line), line)
				}
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}

// TestEndBehindLogin has a provider take the login and go away in one breath: that is
// what the client is told, and no message is sent.
func TestEndBehindLogin(t *testing.T) {
	f := newFixture(t, nil)
	rest := make(chan string, 1)
	s := newStub(t, func(c *tls.Conn) {
		if !say(c, "220 stub\r\n") || !heard(c, "EHLO") || !say(c, "250-stub\r\n250-"+strings.Join(offerBDAT, "\r\n250-")+"\r\n250 HELP\r\n") ||
			!heard(c, "AUTH") || !say(c, "235 2.7.0 ok\r\n421 4.7.0 too many connections\r\n") {
			return
		}
		b := make([]byte, 1<<10)
		n, _ := c.Read(b)
		rest <- string(b[:n])
	})
	res := f.send(s.account(f.accounts[0]), "to@example.com", "m end\r\n")
	if res.Reply.Code/100 != 4 || !strings.Contains(res.Reply.Text, "421 4.7.0 too many connections") || res.Err.MaybeAccepted() {
		t.Errorf("reply %v, %v", res.Reply, res.Err)
	}
	if got := <-rest; got != "" {
		t.Errorf("the provider got %q behind its last words", got)
	}
}
