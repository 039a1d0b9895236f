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
)

// TestDrain shuts down while sessions are idle, within a transaction and
// waiting for the provider.
func TestDrain(t *testing.T) {
	k := newStack(t)
	release := sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(500 * time.Millisecond)}
	k.setFaults(t, release)
	addr := k.Addrs()[0].String()
	fresh, ready, open, running := k.dial(t), k.login(t, gmailUser), k.login(t, outlookUser), k.login(t, gmailUser)
	fresh.expect("220")
	open.mail("open@example.com", "b@example.com")
	running.mail("running@example.com", "b@example.com")
	running.cmd("DATA", "354")
	running.send("text\r\n.\r\n")
	k.fired(t, "think", 1)

	done := make(chan int64)
	go func() { done <- k.Shutdown(testkit.Context(t)) }()
	for _, c := range []*client{fresh, ready} {
		c.expect("421 4.3.2")
		c.expectEnd()
		c.close()
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		t.Error("the listener is still open")
		c.Close()
	}
	open.cmd("RCPT TO:<c@example.com>", "250 2.1.5")
	open.message("text\r\n", "250 2.0.0")
	open.expect("421 4.3.2")
	open.expectEnd()
	open.close()
	running.expect("250 2.0.0")
	running.expect("421 4.3.2")
	running.expectEnd()
	running.close()
	if cut := <-done; cut != 0 {
		t.Errorf("%d sessions were cut off", cut)
	}
	k.messages(t, 2)
}

// TestDrainEndsWhatIsNoTransaction: a client that is in no transaction does not hold the
// drain up, whatever it is at.
func TestDrainEndsWhatIsNoTransaction(t *testing.T) {
	tests := []struct {
		name string
		play func(c *client)
		in   state
	}{
		{"an over-long line", func(c *client) { c.send(strings.Repeat("x", 3000)); c.expect("500") }, stateSkipLine},
		{"a line with a bare LF", func(c *client) { c.send("NOOP\nMAIL"); c.expect("500") }, stateSkipLine},
		{"an over-long line in AUTH", func(c *client) {
			c.cmd("AUTH PLAIN", "334")
			c.send(strings.Repeat("x", 13000))
			c.expect("500")
		}, stateSkipLine},
		{"a refused chunk", func(c *client) { c.send("BDAT 1000000 LAST\r\ntext") }, stateBdatSkip},
		{"a refused chunk after a login", func(c *client) {
			c.authenticate(plainUser)
			c.send("BDAT 1000000 LAST\r\ntext")
		}, stateBdatSkip},
		{"an over-long line after a login", func(c *client) {
			c.authenticate(plainUser)
			c.send(strings.Repeat("x", 3000))
			c.expect("500")
		}, stateSkipLine},
		{"AUTH", func(c *client) { c.cmd("AUTH LOGIN", "334") }, stateAuthLoginUser},
		{"a login without a token", func(c *client) { c.send("AUTH PLAIN " + plainResponse(gmailUser, "any") + "\r\n") }, stateAwaitToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := newStack(t)
			k.setFaults(t, sandbox.Rule{Phase: sandbox.PhaseToken, Account: gmailUser, Action: sandbox.ActionStall})
			c := k.greeted(t)
			tt.play(c)
			eventually(t, "the session is at it", func() (there bool) {
				k.inspect(t, func(s *session) { there = s.state == tt.in })
				return there
			})
			ctx, cancel := context.WithTimeout(context.Background(), patience/2)
			defer cancel()
			if cut := k.Shutdown(ctx); cut != 0 {
				t.Errorf("%d sessions were cut off", cut)
			}
			c.expect("421 4.3.2")
			c.expectEnd()
		})
	}
}

// TestDrainDeadline ends the drain while a client keeps its transaction open.
func TestDrainDeadline(t *testing.T) {
	k := newStack(t)
	c := k.login(t, gmailUser)
	c.mail("a@example.com", "b@example.com", "c@example.com")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if cut := k.Shutdown(ctx); cut != 1 {
		t.Errorf("%d sessions were cut off, want 1", cut)
	}
	c.expect("421 4.3.2")
	c.expectEnd()
	k.checkNothingLeft(t)
}

// TestReload swaps the accounts under open sessions.
func TestReload(t *testing.T) {
	k := newStack(t)
	k.setFaults(t, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, For: sandbox.Duration(200 * time.Millisecond), Times: 1})
	leaves, stays := k.login(t, gmailUser), k.login(t, outlookUser)
	leaves.mail("a@example.com", "b@example.com")
	leaves.cmd("DATA", "354")
	leaves.send("text\r\n.\r\n")
	k.fired(t, "think", 1)

	k.store.Swap(k.snapshot(t, outlookUser, plainUser))
	leaves.expect("250 2.0.0") // the message under way is finished
	leaves.expect("421 4.7.0")
	leaves.expectEnd()
	c := k.greeted(t)
	c.cmd("AUTH PLAIN "+plainResponse(gmailUser, "any"), "535 5.7.8")
	c.cmd("AUTH PLAIN "+plainResponse(plainUser, "any"), "235")

	stays.mail("a@example.com", "b@example.com")
	stays.message("text\r\n", "250 2.0.0")

	// A changed limit is in force from the next transaction on.
	snap := k.snapshot(t, outlookUser)
	changed := *snap.All()[0]
	changed.Limits.MaxMessageSize = 10
	snap, err := account.NewSnapshot([]*account.Account{&changed})
	if err != nil {
		t.Fatal(err)
	}
	k.store.Swap(snap)
	stays.cmd("MAIL FROM:<a@example.com> SIZE=11", "552 5.3.4")
	stays.mail("a@example.com", "b@example.com")
	stays.message("text\r\ntext\r\n", "552 5.3.4")
	k.messages(t, 2)
}
