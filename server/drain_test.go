package server

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestDrain shuts down while sessions are idle, within a transaction and
// waiting for the provider.
func TestDrain(t *testing.T) {
	k := newStack(t)
	release := sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(500 * time.Millisecond)}
	provider.Faults(t, k.sandbox, release)
	addr := k.Addrs()[0].String()
	fresh, ready, open, running := k.dial(t), k.login(t, gmailUser), k.login(t, outlookUser), k.login(t, gmailUser)
	fresh.Expect("220")
	open.Mail("open@example.com", "b@example.com")
	running.Mail("running@example.com", "b@example.com")
	running.Cmd("DATA", "354")
	running.Send("text\r\n.\r\n")
	provider.Fired(t, k.sandbox, "think", 1)

	done := make(chan int64)
	go func() { done <- k.Shutdown(testkit.Context(t)) }()
	for _, c := range []*client{fresh, ready} {
		c.Expect("421 4.3.2")
		c.ExpectEnd()
		c.close()
	}
	testkit.Eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	open.Cmd("RCPT TO:<c@example.com>", "250 2.1.5")
	open.Data("text\r\n", "250 2.0.0")
	open.Expect("421 4.3.2")
	open.ExpectEnd()
	open.close()
	running.Expect("250 2.0.0")
	running.Expect("421 4.3.2")
	running.ExpectEnd()
	running.close()
	if cut := <-done; cut != 0 {
		t.Errorf("%d sessions were cut off", cut)
	}
	provider.Messages(t, k.sandbox, 2)
}

// TestDrainEndsWhatIsNoTransaction: a client that is in no transaction does not hold the
// drain up, whatever it is at.
func TestDrainEndsWhatIsNoTransaction(t *testing.T) {
	tests := []struct {
		name string
		play func(c *client)
		in   state
	}{
		{"an over-long line", func(c *client) { c.Send(strings.Repeat("x", 3000)); c.Expect("500") }, stateSkipLine},
		{"a line with a bare LF", func(c *client) { c.Send("NOOP\nMAIL"); c.Expect("500") }, stateSkipLine},
		{"an over-long line in AUTH", func(c *client) {
			c.Cmd("AUTH PLAIN", "334")
			c.Send(strings.Repeat("x", 13000))
			c.Expect("500")
		}, stateSkipLine},
		{"a refused chunk", func(c *client) { c.Send("BDAT 1000000 LAST\r\ntext") }, stateBdatSkip},
		{"a refused chunk after a login", func(c *client) {
			c.Login(plainUser, "any")
			c.Send("BDAT 1000000 LAST\r\ntext")
		}, stateBdatSkip},
		{"an over-long line after a login", func(c *client) {
			c.Login(plainUser, "any")
			c.Send(strings.Repeat("x", 3000))
			c.Expect("500")
		}, stateSkipLine},
		{"AUTH", func(c *client) { c.Cmd("AUTH LOGIN", "334") }, stateAuthLoginUser},
		{"a login without a token", func(c *client) { c.Send("AUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n") }, stateAwaitToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newStack(t)
			provider.Faults(t, k.sandbox, sandbox.Rule{Phase: sandbox.PhaseToken, Account: gmailUser, Action: sandbox.ActionStall})
			c := k.greeted(t)
			tt.play(c)
			testkit.Eventually(t, "the session is at it", func() (there bool) {
				k.inspect(t, func(s *session) { there = s.state == tt.in })
				return there
			})
			ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience/2)
			defer cancel()
			if cut := k.Shutdown(ctx); cut != 0 {
				t.Errorf("%d sessions were cut off", cut)
			}
			c.Expect("421 4.3.2")
			c.ExpectEnd()
		})
	}
}

// TestDrainDeadline ends the drain while a client keeps its transaction open.
func TestDrainDeadline(t *testing.T) {
	k := newStack(t)
	c := k.login(t, gmailUser)
	c.Mail("a@example.com", "b@example.com", "c@example.com")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if cut := k.Shutdown(ctx); cut != 1 {
		t.Errorf("%d sessions were cut off, want 1", cut)
	}
	c.Expect("421 4.3.2")
	c.ExpectEnd()
	k.checkNothingLeft(t)
}

// TestReload swaps the accounts under open sessions.
func TestReload(t *testing.T) {
	k := newStack(t)
	provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(200 * time.Millisecond), Times: 1})
	leaves, stays := k.login(t, gmailUser), k.login(t, outlookUser)
	leaves.Mail("a@example.com", "b@example.com")
	leaves.Cmd("DATA", "354")
	leaves.Send("text\r\n.\r\n")
	provider.Fired(t, k.sandbox, "think", 1)

	k.store.Swap(k.back.Snapshot(t, outlookUser, plainUser))
	leaves.Expect("250 2.0.0") // the message under way is finished
	leaves.Expect("421 4.7.0")
	leaves.ExpectEnd()
	c := k.greeted(t)
	c.Cmd("AUTH PLAIN "+testkit.Plain(gmailUser, "any"), "535 5.7.8")
	c.Cmd("AUTH PLAIN "+testkit.Plain(plainUser, "any"), "235")

	stays.Mail("a@example.com", "b@example.com")
	stays.Data("text\r\n", "250 2.0.0")

	// A changed limit is in force from the next transaction on.
	snap := k.back.Snapshot(t, outlookUser)
	changed := *snap.All()[0]
	changed.Limits.MaxMessageSize = 10
	snap, err := account.NewSnapshot([]*account.Account{&changed})
	if err != nil {
		t.Fatal(err)
	}
	k.store.Swap(snap)
	stays.Cmd("MAIL FROM:<a@example.com> SIZE=11", "552 5.3.4")
	stays.Mail("a@example.com", "b@example.com")
	stays.Data("text\r\ntext\r\n", "552 5.3.4")
	provider.Messages(t, k.sandbox, 2)
}
