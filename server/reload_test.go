package server

import (
	"crypto/tls"
	"reflect"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// reload makes those the accounts that there are.
func (k *stack) reload(t *testing.T, users ...string) {
	t.Helper()
	k.store.Swap(k.back.Snapshot(t, users...))
	k.AccountsChanged()
}

// TestRemovedAccountIsOutAtOnce removes an account with sessions in every phase.
// Those without a transaction are told and closed, with nothing said by their
// clients; the others after their message; sessions of other accounts go on.
func TestRemovedAccountIsOutAtOnce(t *testing.T) {
	k := newStack(t, withTLS(TLSOffered))
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
		For: sandbox.Duration(200 * time.Millisecond), Times: 1})
	fresh, other := k.greeted(t), k.login(t, outlookUser)
	idle, within := k.login(t, gmailUser), k.login(t, gmailUser)
	secure := k.dial(t)
	secure.starttls(clientConfig(tls.VersionTLS13), nil)
	secure.Login(gmailUser, "any")
	half := k.login(t, gmailUser)
	half.Send("MAIL FROM:<a@exa") // no command yet
	begun, content, chunks, waits := k.login(t, gmailUser), k.login(t, gmailUser), k.login(t, gmailUser), k.login(t, gmailUser)
	within.Mail("within@example.com", "b@example.com")
	begun.Cmd("MAIL FROM:<begun@example.com>", "250")
	content.Mail("content@example.com", "b@example.com")
	content.Cmd("DATA", "354")
	content.Send("half a ")
	chunks.Mail("chunks@example.com", "b@example.com", "c@example.com")
	chunks.Send("BDAT 5\r\nhalf ")
	chunks.Expect("250")
	waits.Mail("waits@example.com", "b@example.com")
	waits.Cmd("DATA", "354")
	waits.Send("text\r\n.\r\nNOOP\r\n")
	provider.Fired(t, k.sandbox, "think", 1)

	k.reload(t, outlookUser, plainUser)
	out := func(clients ...*client) {
		t.Helper()
		for _, c := range clients {
			c.Expect("421 4.7.0 The account was removed")
			c.ExpectEnd()
		}
	}
	out(idle, secure, half)
	waits.Expect("250 2.0.0")
	waits.Expect("250") // NOOP was sent before
	out(waits)
	content.Send("line\r\n.\r\n")
	content.Expect("250 2.0.0")
	chunks.Send("BDAT 6 LAST\r\nline\r\n")
	chunks.Expect("250 2.0.0")
	within.Data("text\r\n", "250 2.0.0")
	begun.Cmd("RSET", "250")
	out(content, chunks, within, begun)
	fresh.Cmd("AUTH PLAIN "+testkit.Plain(gmailUser, "any"), "535 5.7.8")
	other.Mail("other@example.com", "b@example.com")
	other.Data("text\r\n", "250 2.0.0")
	provider.Messages(t, k.sandbox, 5)
}

// TestRemovedAccountHasManySessions ends more sessions than a loop comes to in
// one go, and counts how many those are.
func TestRemovedAccountHasManySessions(t *testing.T) {
	const sessions = 2*walkStep + 50
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	var clients []*client
	for range sessions {
		clients = append(clients, k.login(t, gmailUser))
	}
	other := k.login(t, outlookUser)
	k.store.Swap(k.back.Snapshot(t, outlookUser))
	k.onLoops(t, func(l *eventLoop) {
		w := &walk{loop: l, done: make(chan struct{}, 1)}
		w.Run()
		left := 0
		for s := range l.sessions {
			if s.state == stateReady {
				left++
			}
		}
		if left != sessions+1-walkStep && left != sessions+2-walkStep { // the other one may have been looked at
			t.Errorf("%d of %d sessions are left", left, sessions+1)
		}
	})
	k.AccountsChanged()
	for _, c := range clients {
		c.Expect("421 4.7.0")
		c.ExpectEnd()
		c.close()
	}
	testkit.Eventually(t, "only the other session is left", func() bool { return k.Active() == 1 })
	other.Cmd("NOOP", "250")
}

// slowTokens has no token until it is told to.
type slowTokens struct{ asked chan func(error) }

func (slowTokens) Ready(*account.Account) bool { return false }

func (s slowTokens) Fetch(_ *account.Account, done func(error)) { s.asked <- done }

// TestRemovedWhileLoggingIn removes an account whose token is being fetched: the
// login is refused as one of an account that there is not.
func TestRemovedWhileLoggingIn(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	tokens := slowTokens{make(chan func(error), 1)}
	c := k.greeted(t)
	k.onLoops(t, func(*eventLoop) { k.Server.tokens = tokens })
	c.Send("AUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n")
	done := <-tokens.asked
	k.reload(t, outlookUser)
	done(nil)
	c.Expect("535 5.7.8")
	c.Send("AUTH PLAIN " + testkit.Plain(outlookUser, "any") + "\r\n")
	done = <-tokens.asked
	k.reload(t, outlookUser, gmailUser) // it is there still
	done(nil)
	c.Expect("235")
	c.Cmd("NOOP", "250")
}

// TestPanicInPasswordCheck has the check of a password panic, off the loops: its
// login is told to try later, and counted; those of others go on.
func TestPanicInPasswordCheck(t *testing.T) {
	k := newStack(t, withPasswords(quickHash, password.PolicyShared), config(func(cfg *Config) { cfg.Loops = 1 }))
	c, other := k.greeted(t), k.greeted(t)
	k.onLoops(t, func(*eventLoop) { breakSecret(&k.Server.shared) })
	c.Cmd("AUTH PLAIN "+testkit.Plain(gmailUser, rightPassword), "454 4.7.0")
	right, err := password.Parse(quickHash)
	if err != nil {
		t.Fatal(err)
	}
	k.onLoops(t, func(*eventLoop) { k.Server.shared = right })
	c.Cmd("AUTH PLAIN "+testkit.Plain(gmailUser, rightPassword), "235")
	other.Cmd("AUTH PLAIN "+testkit.Plain(gmailUser, wrongPassword), "535")
	if n := k.back.Metric(t, "smtp_session_panics_total"); n != 1 {
		t.Errorf("the counter says %v", n)
	}
	k.metrics.Panics.Dec() // was expected
}

// breakSecret takes away how a secret is verified: doing so dereferences nil.
func breakSecret(s *password.Secret) {
	scheme := reflect.ValueOf(s).Elem().Field(0).Elem().FieldByName("scheme")
	reflect.NewAt(scheme.Type(), scheme.Addr().UnsafePointer()).Elem().SetZero()
}

// TestPanicWhilePreparing has a reload panic where it looks at the passwords of
// all accounts: it is counted, the EHLO replies stay, removed accounts are out all the
// same, and the next reload is as if nothing had been.
func TestPanicWhilePreparing(t *testing.T) {
	k := newStack(t, withPasswords(quickHash, password.PolicyAny), config(func(cfg *Config) { cfg.Loops = 1 }))
	leaves, stays := k.login(t, gmailUser), k.login(t, outlookUser)
	passwords := k.Server.passwords
	k.onLoops(t, func(*eventLoop) { k.Server.passwords = nil }) // only prepare uses it under this policy
	k.reload(t, outlookUser)
	leaves.Expect("421 4.7.0")
	leaves.ExpectEnd()
	stays.Cmd("EHLO client.example.com", "250")
	k.onLoops(t, func(*eventLoop) { k.Server.passwords = passwords })
	if n := k.back.Metric(t, "smtp_session_panics_total"); n != 1 {
		t.Errorf("the counter says %v", n)
	}
	k.metrics.Panics.Dec() // was expected
	before := k.listeners[0].ehlo.Load()
	k.reload(t, outlookUser, gmailUser)
	testkit.Eventually(t, "the server knows the accounts", func() bool { return k.listeners[0].ehlo.Load() != before })
	k.login(t, gmailUser)
}
