package upstream

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// shared has the first n accounts of f log in as the first one's identity.
func shared(f *fixture, n int) []*account.Account {
	identity := f.accounts[0].Identity()
	for _, a := range f.accounts[1:n] {
		a.AuthIdentity = identity
		first := f.accounts[0]
		a.ClientID, a.ClientSecret, a.RefreshToken, a.Provider = first.ClientID, first.ClientSecret, first.RefreshToken, first.Provider
	}
	return f.accounts[:n]
}

// TestLimitsAreOfTheMailbox: three accounts that log in as one identity share its limits, in
// all shards; an account of another identity has its own.
func TestLimitsAreOfTheMailbox(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*account.Limits)
		want string
	}{
		{"minute", func(l *account.Limits) { l.MessagesPerMinute = 3 }, "451 4.7.1"},
		{"hour", func(l *account.Limits) { l.MessagesPerHour = 3 }, "451 4.7.1"},
		{"day", func(l *account.Limits) { l.MessagesPerDay = 3 }, "452 4.7.1"},
		{"recipients", func(l *account.Limits) { l.RecipientsPerDay = 3 }, "452 4.7.1"},
		{"logins", func(l *account.Limits) { l.LoginsPerMinute, l.MaxMessagesPerConnection = 3, 1 }, "451 4.7.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) {
				s.accounts, s.relay.Shards = 4, 8
				tt.set(&s.limits)
				s.limits.AcquireTimeout = time.Second
			})
			for _, a := range shared(f, 3) {
				f.sendOK(a, "a\r\n")
			}
			for _, a := range f.accounts[:3] {
				f.refusedFor(a, tt.want, "3 ")
			}
			f.sendOK(f.accounts[3], "another mailbox\r\n")
		})
	}
}

// TestLimitsInCommonAreEachAccountsOwn: an account compares what the mailbox has sent with its
// own limit.
func TestLimitsInCommonAreEachAccountsOwn(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MessagesPerMinute, s.limits.AcquireTimeout = 2, time.Second })
	accounts := shared(f, 2)
	accounts[1].Limits.MessagesPerMinute = 3
	f.sendOK(accounts[0], "a\r\n")
	f.sendOK(accounts[1], "b\r\n")
	f.refusedFor(accounts[0], "451 4.7.1", "2 messages a minute")
	f.sendOK(accounts[1], "c\r\n")
	f.refusedFor(accounts[1], "451 4.7.1", "3 messages a minute")
}

// TestConnectionsOfAMailbox: the accounts of one identity together have no more connections
// than one may have, whoever is busy, and each of them gets its messages through.
func TestConnectionsOfAMailbox(t *testing.T) {
	const most, each = 2, 10
	f := newFixture(t, func(s *setup) {
		s.accounts, s.relay.Shards = 3, 8
		s.limits.MaxConnections = most
	})
	accounts := shared(f, 3)
	s, dial := f.relay.shardOf(accounts[0]), f.relay.dial
	f.relay.dial = func(d *dialing) {
		n, err := ask(s, func(time.Time) int { return s.mailboxes[accounts[0].MailboxKey()].connections })
		if err != nil || n > most {
			t.Errorf("%d connections at one time, %v; want at most %d", n, err, most)
		}
		dial(d)
	}
	var all sync.WaitGroup
	for _, a := range accounts {
		for i := range each {
			tx, c := f.message(a, "to@example.com", fmt.Sprintf("%s %d\r\n", a.ID, i))
			all.Go(func() {
				if err := f.trySubmit(tx); err != nil {
					t.Error(err)
					return
				}
				ans := c.next(t)
				if ans.res.Err != nil {
					t.Errorf("%s: %v", a.ID, ans.res.Err)
				}
				ans.tx.Release()
			})
		}
	}
	all.Wait()
	provider.Messages(f.t, f.box, len(accounts)*each)
}

// TestMailboxIsLeft: a reload gives an account another identity. Its new mailbox has sent
// what the old one has, whether that is still in use or not.
func TestMailboxIsLeft(t *testing.T) {
	for _, others := range []bool{false, true} {
		for _, shards := range []int{1, 8} {
			f := newFixture(t, func(s *setup) {
				s.relay.Shards = shards
				s.limits.MessagesPerMinute, s.limits.AcquireTimeout = 2, time.Second
			})
			accounts := shared(f, 2)
			f.sendOK(accounts[0], "a\r\n")
			f.sendOK(accounts[map[bool]int{true: 1}[others]], "b\r\n")
			changed := *accounts[0]
			changed.AuthIdentity = f.accounts[0].Email + ".new"
			snapshot, err := account.NewSnapshot([]*account.Account{&changed, accounts[1]})
			if err != nil {
				t.Fatal(err)
			}
			f.relay.Retain(snapshot)
			f.until(func() bool {
				st, err := f.relay.Standing(changed.ID)
				return err == nil && st != nil && len(st.Uses) > 0 && st.Uses[0].Used == 2
			})
			f.refusedFor(&changed, "451 4.7.1", "2 messages a minute")
			if others {
				f.refusedFor(accounts[1], "451 4.7.1", "2 messages a minute")
			} else { // the counts have moved
				f.sendOK(accounts[1], "c\r\n")
			}
		}
	}
}

// TestCountsOfAMailboxAreKept: what the accounts of one identity have sent today counts after a
// restart, for each of them.
func TestCountsOfAMailboxAreKept(t *testing.T) {
	dir := t.TempDir()
	open := func() *quota.Store {
		store, _, err := quota.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store := open()
	f := newFixture(t, func(s *setup) {
		s.relay.Quota = store
		s.limits.MessagesPerDay, s.limits.AcquireTimeout = 2, time.Second
	})
	accounts := shared(f, 2)
	f.sendOK(accounts[0], "a\r\n")
	f.sendOK(accounts[1], "b\r\n")
	for range 2 {
		f.refusedFor(accounts[1], "452 4.7.1", "2 messages a day")
		f.refusedFor(accounts[0], "452 4.7.1", "2 messages a day")
		f.close()
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		store = open()
		cfg := f.relay.cfg
		cfg.Quota = store
		var err error
		if f.relay, err = New(cfg, f.tokens, zap.NewNop(), metrics.NewSet()); err != nil {
			t.Fatal(err)
		}
	}
	f.close()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMailboxTakesTurns: accounts of one identity that have one connection between them send
// all that they have without a login for each message.
func TestMailboxTakesTurns(t *testing.T) {
	const each = 30
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
	for _, res := range f.flood(each, shared(f, 2)...) {
		if res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	provider.Messages(f.t, f.box, 2*each)
	if n := f.box.Stats().Logins; n > each/2 {
		t.Errorf("%d logins for %d messages", n, 2*each)
	}
}

// TestRetryWithARecipientBeyondALimit: a message that is sent again after one of its
// recipients was beyond a limit goes to the others.
func TestRetryWithARecipientBeyondALimit(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxRecipients = 2 })
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "lost", Phase: sandbox.PhaseRcpt, Action: sandbox.ActionClose, Times: 1})
	tx, c := f.envelope(f.accounts[0], "a@x.test", "b@x.test", "c@x.test")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	c.next(t)
	provider.Fired(f.t, f.box, "lost", 1)
	for i, want := range []int{250, 250, codec.ReplyTooManyRcpts.Code} {
		if got := tx.Rcpts[i].Reply; got.Code != want {
			t.Errorf("recipient %d is told %v, want %d", i, got, want)
		}
	}
	tx.Content = content(t, "to both\r\n")
	if err := f.goOn(tx); err != nil {
		t.Fatal(err)
	}
	ans := c.next(t)
	if ans.res.Err != nil {
		t.Errorf("told %v", ans.res.Err)
	}
	ans.tx.Release()
	if n := len(provider.Messages(f.t, f.box, 1)[0].Recipients); n != 2 {
		t.Errorf("the message went to %d recipients", n)
	}
}
