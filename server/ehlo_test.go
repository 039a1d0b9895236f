package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/testkit"
)

// offered are the EHLO keywords, without arguments.
func offered(reply string) (all []string) {
	for _, line := range strings.Split(reply, "\n")[1:] {
		keyword, _, _ := strings.Cut(line[4:], " ")
		all = append(all, keyword)
	}
	return all
}

// TestEHLOFollowsProviders advertises what every account's provider can carry,
// and does so from the first EHLO after a reload on.
func TestEHLOFollowsProviders(t *testing.T) {
	unknown := func(a *account.Account) { a.Provider, a.Extensions = "own", account.ExtensionsUnknown }
	tests := []struct {
		name   string
		users  []string
		change func(*account.Account)
		want   string
	}{
		{"Gmail and Microsoft 365", testUsers, nil, "PIPELINING SIZE 8BITMIME SMTPUTF8 AUTH CHUNKING ENHANCEDSTATUSCODES"},
		{"Gmail", []string{gmailUser}, nil, "PIPELINING SIZE 8BITMIME SMTPUTF8 AUTH CHUNKING ENHANCEDSTATUSCODES"},
		{"Microsoft 365", []string{outlookUser}, nil, "PIPELINING SIZE 8BITMIME SMTPUTF8 DSN BINARYMIME AUTH CHUNKING ENHANCEDSTATUSCODES"},
		{"a provider that no preset knows", []string{outlookUser}, unknown, "PIPELINING SIZE 8BITMIME AUTH CHUNKING ENHANCEDSTATUSCODES"},
		{"no account", nil, nil, "PIPELINING SIZE 8BITMIME AUTH CHUNKING ENHANCEDSTATUSCODES"},
	}
	k := newStack(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var all []*account.Account
			for _, a := range k.back.Snapshot(t, tt.users...).All() {
				changed := *a
				if tt.change != nil {
					tt.change(&changed)
				}
				all = append(all, &changed)
			}
			snap, err := account.NewSnapshot(all)
			if err != nil {
				t.Fatal(err)
			}
			c := k.dial(t)
			c.Expect("220")
			k.learned.Store(snap) // keepLearning would look at its passwords later
			k.store.Swap(snap)
			if got := offered(c.Cmd("EHLO client.example.com", "250")); !slices.Equal(got, strings.Fields(tt.want)) {
				t.Errorf("offered is %v, want %s", got, tt.want)
			}
		})
	}
}

// TestEHLOEndsWithAnotherKeyword: simple clients look for "250-AUTH" or "250-STARTTLS",
// and so miss the last line.
func TestEHLOEndsWithAnotherKeyword(t *testing.T) {
	srv := newFeeder(t, nil).s.srv
	for _, mode := range []TLSMode{TLSNone, TLSOffered, TLSRequired, TLSImplicit, TLSDetect} {
		for _, policy := range []password.Policy{password.PolicyAny, password.PolicyShared, password.PolicyAccount} {
			for _, extensions := range []account.Extensions{0, account.ExtensionsUnknown, account.Gmail().Extensions, account.Outlook().Extensions} {
				l := &listener{srv: srv, cfg: Listener{TLS: mode}, policy: policy}
				r := l.newEHLO(capabilities{extensions: extensions})
				for _, reply := range []string{string(r.clear.AppendTo(nil)), string(r.secure.AppendTo(nil))} {
					last := reply[strings.LastIndex(reply, "250 "):]
					if strings.Contains(last, "AUTH") || strings.Contains(last, "STARTTLS") {
						t.Errorf("TLS %q, passwords %q: the last line is %q", mode, policy, last)
					}
					offersTLS := strings.Contains(reply, "\r\n250-STARTTLS\r\n")
					if strings.Contains(reply, "\r\n250-AUTH ") == (mode == TLSRequired && offersTLS) {
						t.Errorf("TLS %q, passwords %q: %q", mode, policy, reply)
					}
				}
			}
		}
	}
}

// TestProviderCannotCarry sends to a provider that no preset knows what it may
// not be able to carry: each is refused at MAIL or RCPT with the code that its
// extension asks for, and the session goes on. What only content can need is not refused
// there.
func TestProviderCannotCarry(t *testing.T) {
	k := newStack(t)
	set := func(extensions account.Extensions) {
		a := *k.back.Snapshot(t, gmailUser).All()[0]
		a.Extensions = extensions
		snap, err := account.NewSnapshot([]*account.Account{&a})
		if err != nil {
			t.Fatal(err)
		}
		k.store.Swap(snap)
	}
	tests := []struct {
		line, want string
		has        account.Extensions
	}{
		{"MAIL FROM:<a@example.com> SMTPUTF8", "250 2.1.0", account.ExtensionsUnknown},
		{"MAIL FROM:<\xc3\xbc@example.com> SMTPUTF8", "553 5.6.7", account.ExtensionsUnknown},
		{"MAIL FROM:<\xc3\xbc@example.com>", "553 5.6.7", account.ExtensionsUnknown},
		{"MAIL FROM:<a@example.com> BODY=BINARYMIME", "554 5.6.3", account.ExtensionsUnknown},
		{"MAIL FROM:<a@example.com> BODY=8BITMIME", "250 2.1.0", 0},
		{"MAIL FROM:<a@example.com> BODY=7BIT", "250 2.1.0", 0},
		{"MAIL FROM:<a@example.com> BODY=8BITMIME SIZE=1", "250 2.1.0", account.ExtensionsUnknown},
		{"MAIL FROM:<a@example.com> RET=FULL", "555 5.5.4", account.ExtensionsUnknown},
		{"MAIL FROM:<a@example.com> ENVID=x", "555 5.5.4", account.ExtensionsUnknown},
		{"MAIL FROM:<a@example.com> RET=FULL ENVID=x", "250 2.1.0", account.ExtDSN},
	}
	for _, tt := range tests {
		set(tt.has)
		c := k.login(t, gmailUser)
		c.Cmd(tt.line, tt.want)
		if strings.HasSuffix(tt.line, "SMTPUTF8") && tt.want[:3] == "250" {
			c.Cmd("RCPT TO:<\xc3\xbc@example.com>", "553 5.6.7")
			c.Cmd("RCPT TO:<b@example.com>", "250 2.1.5")
			c.Cmd("RSET", "250")
			// In one group the replies come in the order of the commands.
			c.Send(tt.line + "\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nRCPT TO:<\xc3\xbc@example.com>\r\n" +
				"RCPT TO:<d@example.com>\r\n")
			for _, want := range []string{"250 2.1.0", "250 2.1.5", "250 2.1.5", "553 5.6.7", "250 2.1.5"} {
				c.Expect(want)
			}
		}
		c.Cmd("RSET", "250")
		c.Cmd("MAIL FROM:<a@example.com>", "250")
		c.Cmd("RCPT TO:<\xc3\xbc@example.com>", "553 5.6.7")
		if tt.has.Has(account.ExtDSN) {
			c.Cmd("RCPT TO:<b@example.com> NOTIFY=NEVER ORCPT=rfc822;b@example.com", "250")
		} else {
			c.Cmd("RCPT TO:<b@example.com> NOTIFY=NEVER", "555 5.5.4")
			c.Cmd("RCPT TO:<b@example.com> ORCPT=rfc822;b@example.com", "555 5.5.4")
			c.Cmd("RCPT TO:<b@example.com>", "250 2.1.5")
		}
		c.Data("text\r\n", "250 2.0.0")
		c.Cmd("QUIT", "221")
		c.close()
	}
}

// TestEHLOAnnouncesCRAM announces CRAM-MD5 where it works for every account that has a
// password, and takes it from those for which it does, wherever there are any.
func TestEHLOAnnouncesCRAM(t *testing.T) {
	tests := []struct {
		name      string
		stored    map[string]string
		announced bool
		want      string // for gmailUser
	}{
		{"all recoverable", map[string]string{gmailUser: rightPassword, outlookUser: rightPassword}, true, "235"},
		{"some recoverable", map[string]string{gmailUser: rightPassword, outlookUser: quickHash}, false, "235"},
		{"none recoverable", map[string]string{gmailUser: quickHash, outlookUser: quickHash}, false, "504"},
		{"no passwords", nil, false, "504"},
	}
	k := newStack(t, withPasswords(quickHash, password.PolicyAccount))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k.setPasswords(t, tt.stored)
			c := k.dial(t)
			c.Expect("220")
			if reply := c.Cmd("EHLO client.example.com", "250"); strings.Contains(reply, "CRAM-MD5") != tt.announced {
				t.Errorf("the EHLO reply is %q", reply)
			}
			if tt.want == "504" {
				c.Cmd("AUTH CRAM-MD5", "504 5.5.4")
				return
			}
			if got := c.exchange("CRAM-MD5", false, gmailUser, rightPassword); !strings.HasPrefix(got, tt.want) {
				t.Errorf("the login: %q", got)
			}
		})
	}
}

// TestEHLOAfterReloadsAtOnce reloads again and again, with passwords that take
// time to look at: in the end the EHLO replies are those for the last accounts.
func TestEHLOAfterReloadsAtOnce(t *testing.T) {
	k := newStack(t, withPasswords(quickHash, password.PolicyAccount))
	many := func(stored string, n int) *account.Snapshot {
		base := k.back.Snapshot(t, gmailUser).All()[0]
		var all []*account.Account
		for i := range n {
			a := *base
			a.ID, a.Email = fmt.Sprintf("a%d", i), fmt.Sprintf("a%d@gmail.test", i)
			a.ClientPassword = account.NewSecret(stored)
			all = append(all, &a)
		}
		snap, err := account.NewSnapshot(all)
		if err != nil {
			t.Fatal(err)
		}
		return snap
	}
	slow, quick := many(quickHash, 3000), many(rightPassword, 1)
	for range 20 {
		for _, snap := range []*account.Snapshot{slow, quick} {
			k.store.Swap(snap)
			k.learn(snap)
		}
		c := k.greeted(t)
		testkit.Eventually(t, "CRAM-MD5 is offered", func() bool { return strings.Contains(c.Cmd("EHLO client.example.com", "250"), "CRAM-MD5") })
		c.close()
	}
	k.back.Stop() // and what still looks at older accounts
	if now := k.listeners[0].ehlo.Load(); !strings.Contains(now.clear.Text, "CRAM-MD5") {
		t.Errorf("the EHLO reply is %q", now.clear.Text)
	}
}
