package upstream

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

func TestContentArrivesUnchanged(t *testing.T) {
	bodies := []struct{ name, body string }{
		{"short", "Subject: a\r\n\r\nhello\r\n"},
		{"dots", "Subject: a\r\n\r\n.\r\n..\r\n.a\r\n\r\n.\r\n"},
		{"only dots", ".\r\n.\r\n"},
		{"8-bit and a long line", "Subject: a\r\n\r\n" + strings.Repeat("\xe4", 998) + "\r\n"},
		{"one record", strings.Repeat("0123456789abc\r\n", 1000)},
		{"record boundary", strings.Repeat(".", 16384-2) + "\r\n"},
		{"several segments", strings.Repeat(".2345678901234567890\r\n", 10000)},
		{"several writes", strings.Repeat(".2345678901234567890\r\n", 45000)},
	}
	for _, offer := range offers {
		t.Run(offer.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.keywords = offer.keywords })
			for i, tt := range bodies {
				f.sendOK(f.accounts[0], tt.body)
				got := provider.Messages(f.t, f.box, i+1)[i]
				sum := sha256.Sum256([]byte(tt.body))
				if got.SHA256 != hex.EncodeToString(sum[:]) {
					t.Errorf("%s: %d octets arrived, %d were sent, or they differ", tt.name, got.Size, len(tt.body))
				}
				if got.Account != f.accounts[0].Email || got.ReversePath != "from@example.com" {
					t.Errorf("%s: arrived under login %s from %s", tt.name, got.Account, got.ReversePath)
				}
			}
			if n := f.box.Stats().Logins; n != 1 {
				t.Errorf("%d logins for messages one after another, want 1", n)
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}

func TestBigContentIsNotSentBeforeTheEnvelopeIsAccepted(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "550 5.1.1 no such user", Times: 1})
	big := strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", smtpclient.TurnSize/64+1)
	if res := f.send(f.accounts[0], "to@example.com", big); res.Reply.String() != "550 5.1.1 no such user" {
		t.Errorf("reply %v", res.Reply)
	}
	f.sendOK(f.accounts[0], big)
	if got := provider.Messages(f.t, f.box, 1)[0].Size; got != int64(len(big)) {
		t.Errorf("%d octets arrived, %d were sent", got, len(big))
	}
	if got, want := strings.Join(f.commands(), " "), "MAIL RCPT RSET MAIL RCPT BDAT"; got != want {
		t.Errorf("commands %s, want %s", got, want)
	}
	provider.NoViolations(f.t, f.box)
}

func TestReplyIsPassedOnVerbatim(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply,
		Reply: "550 5.7.1 first line\n5.7.1 https://example.com/?p=1 - gsmtp", Times: 1})
	res := f.send(f.accounts[0], "to@example.com", "a\r\n")
	if got, want := string(res.Reply.AppendTo(nil)), "550-5.7.1 first line\r\n550 5.7.1 https://example.com/?p=1 - gsmtp\r\n"; got != want {
		t.Errorf("reply %q, want %q", got, want)
	}
	if res.Phase != throttle.PhaseFinal || res.Err == nil || res.Err.MaybeAccepted() {
		t.Errorf("phase %v, error %v", res.Phase, res.Err)
	}
	f.sendOK(f.accounts[0], "b\r\n")
	provider.Messages(f.t, f.box, 1)
}

func TestImplicitTLS(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.implicit = true })
	f.sendOK(f.accounts[0], "a\r\n")
	provider.Messages(f.t, f.box, 1)
	provider.NoViolations(f.t, f.box)
}

func TestAccountsDoNotShareConnections(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.accounts = 4; s.relay.Shards = 1 })
	for round := range 3 {
		for _, a := range f.accounts {
			f.sendOK(a, "X-Account: "+a.Email+"\r\n\r\n")
		}
		for _, m := range provider.Messages(f.t, f.box, 4*(round+1)) {
			if want := "X-Account: " + m.Account + "\r\n\r\n"; string(m.Body) != want {
				t.Errorf("%q went out under the login of %s", m.Body, m.Account)
			}
		}
	}
	if n := f.box.Stats().Logins; n != 4 {
		t.Errorf("%d logins, want one for each account", n)
	}
}

func TestRepliesNameTheCause(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.IPv6 = true })
	f.sendOK(f.accounts[0], "a\r\n")
	for _, tt := range []struct {
		id         string
		change     func(*account.Account)
		want, text string
	}{
		{"no-name", func(a *account.Account) { a.SMTP.Host = "does-not-exist.invalid" }, "451 4.4.4", "does-not-exist.invalid"},
		{"no-address", func(a *account.Account) { a.SourceIP = netip.MustParseAddr("192.0.2.1") }, "451 4.4.1", "the account's ip_address 192.0.2.1 is not an address of this host"},
		{"other family", func(a *account.Account) { a.SourceIP = netip.IPv6Loopback() }, "451 4.4.1",
			"the account's ip_address ::1 is of IPv6, and " + f.accounts[0].SMTP.Host + " has only IPv4 addresses"},
		{"no source", func(a *account.Account) { a.SMTP.Host, a.SourceIP = "::1", netip.MustParseAddr("fe80::1") }, "451 4.4.1",
			"the account's ip_address fe80::1 cannot be connected from: bind: invalid argument"},
		{"closed", func(a *account.Account) { a.SMTP.Port = 1 }, "451 4.4.1", "connection refused"},
	} {
		a := *f.accounts[0]
		a.ID = tt.id
		tt.change(&a)
		res := f.send(&a, "to@example.com", "b\r\n")
		if code(res.Reply) != tt.want || !strings.Contains(res.Reply.Text, tt.text) {
			t.Errorf("%s: reply %v, want %s with %q", tt.id, res.Reply, tt.want, tt.text)
		}
	}
	provider.Messages(f.t, f.box, 1)
}

func TestSourceAddress(t *testing.T) {
	f := newFixture(t, nil)
	f.accounts[0].SourceIP = netip.MustParseAddr("127.0.0.7")
	f.sendOK(f.accounts[0], "a\r\n")
	provider.Messages(f.t, f.box, 1)
}
