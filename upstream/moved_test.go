package upstream

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/carry"
)

// as returns a copy of a that logs in as another account does.
func as(a, identity *account.Account) *account.Account {
	c := *a
	c.AuthIdentity, c.ClientID, c.ClientSecret, c.RefreshToken = identity.Identity(), identity.ClientID, identity.ClientSecret, identity.RefreshToken
	return &c
}

// holdLogins has logins at the mailbox of a wait until release is called.
func (f *fixture) holdLogins(a *account.Account) (release func()) {
	gate, dial, mailbox := make(chan struct{}), f.relay.dial, a.MailboxKey()
	f.relay.dial = func(d *dialing) {
		if d.account.MailboxKey() == mailbox {
			<-gate
		}
		dial(d)
	}
	release = sync.OnceFunc(func() { close(gate) })
	f.t.Cleanup(release) // before the relay is closed
	return release
}

// arrived checks which messages have come under which login, each once.
func (f *fixture) arrived(want map[string]string) {
	f.t.Helper()
	for _, m := range provider.Messages(f.t, f.box, len(want)) {
		text := strings.TrimSpace(string(m.Body))
		if want[text] != m.Account {
			f.t.Errorf("%q came under the login %s, want %q", text, m.Account, want[text])
		}
		delete(want, text)
	}
}

// TestQueueIsMoved: what waits of an account to which a reload gives another mailbox is sent
// from that one, once, and its time to wait goes on; what comes of such an account later goes
// there too. What waits of others stays.
func TestQueueIsMoved(t *testing.T) {
	const waiting = 5
	for _, shards := range []int{1, 8} {
		for _, what := range []string{"identity", "endpoint"} {
			t.Run(fmt.Sprintf("%s, %d shards", what, shards), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, func(s *setup) {
					s.accounts, s.relay.Shards, s.limits.MaxConnections = 3, shards, 1
				})
				accounts := shared(f, 2)
				changed, login := as(accounts[0], f.accounts[2]), f.accounts[2].Email
				if what == "endpoint" {
					changed, login = as(accounts[0], accounts[0]), accounts[0].Email
					changed.SMTP.TLS = account.TLSImplicit
					_, changed.SMTP.Port = testkit.HostPort(t, f.box.TLSAddr("smtp"))
				}
				release := f.holdLogins(accounts[0])
				want, c := make(map[string]string), make(client, waiting+2)
				submit := func(a *account.Account, text, login string) *Transaction {
					tx, _ := f.message(a, "to@example.com", text+"\r\n")
					tx.Done, want[text] = c, login
					if err := f.trySubmit(tx); err != nil {
						t.Fatal(err)
					}
					return tx
				}
				since := make(map[*Transaction]time.Time)
				for i := range waiting {
					since[submit(accounts[0], fmt.Sprint("moved ", i), login)] = time.Time{}
				}
				submit(accounts[1], "stays", accounts[0].Email)
				f.relay.shardOf(accounts[0]).do(func(time.Time) {
					for tx := range since {
						since[tx] = tx.Place.Submitted
					}
				})
				f.relay.Retain(snapshotOf(t, changed, accounts[1], f.accounts[2]))
				f.until(func() bool { return len(f.box.Messages()) == waiting }) // the old login is still held
				submit(accounts[0], "later", login)
				for range waiting + 1 {
					ans := c.next(t)
					if ans.res.Err != nil {
						t.Errorf("told %v", ans.res.Err)
					}
					if at := ans.tx.Place.Submitted; !since[ans.tx].IsZero() && at != since[ans.tx] {
						t.Errorf("a message that has waited since %v counts as submitted at %v", since[ans.tx], at)
					}
					ans.tx.Release()
				}
				release()
				ans := c.next(t)
				ans.tx.Release()
				f.arrived(want)
			})
		}
	}
}

// TestRetryIsMoved: a message whose connection is lost before it is sent goes over one of the
// mailbox that a reload has given its account meanwhile, and counts there only.
func TestRetryIsMoved(t *testing.T) {
	for _, shards := range []int{1, 8} {
		f := newFixture(t, func(s *setup) {
			s.keywords, s.relay.Shards, s.limits.MessagesPerMinute = offerPlain, shards, 10
		})
		a := f.accounts[0]
		changed, give := as(a, f.accounts[1]), f.relay.give
		provider.Faults(f.t, f.box, sandbox.Rule{Name: "lost", Phase: sandbox.PhaseMail, Action: sandbox.ActionClose, Times: 1})
		var once sync.Once
		f.relay.give = func(c *carry.Conn, tx *Transaction, on *loop.Loop) {
			once.Do(func() { f.relay.Retain(snapshotOf(t, changed, f.accounts[1])) })
			give(c, tx, on)
		}
		f.sendOK(a, "message\r\n")
		provider.Fired(f.t, f.box, "lost", 1)
		f.arrived(map[string]string{"message": f.accounts[1].Email})
		for mailbox, want := range map[*account.Account]bool{a: true, changed: false} {
			sh := f.relay.shardOf(mailbox)
			idle, err := ask(sh, func(now time.Time) bool {
				m := sh.mailboxes[mailbox.MailboxKey()]
				return m == nil || m.meter.Idle()
			})
			if err != nil || idle != want {
				t.Errorf("%s counts nothing: %t, %v", mailbox.Identity(), idle, err)
			}
		}
	}
}

// TestSwappedIDs: a reload that gives an account's id to another one has no message sent under
// the login of the other, and no count go there.
func TestSwappedIDs(t *testing.T) {
	for _, shards := range []int{1, 8} {
		f := newFixture(t, func(s *setup) {
			s.relay.Shards, s.limits.MessagesPerMinute, s.limits.AcquireTimeout = shards, 2, time.Second
		})
		a, b := f.accounts[0], f.accounts[1]
		f.sendOK(a, "a\r\n")
		f.relay.Drain(a.ID)
		f.until(func() bool { return f.state(a).Open == 0 })
		release := f.holdLogins(a)
		tx, c := f.message(a, "to@example.com", "waits\r\n")
		if err := f.trySubmit(tx); err != nil {
			t.Fatal(err)
		}
		newA, newB := *a, *b
		newA.ID, newB.ID = b.ID, a.ID
		f.relay.Retain(snapshotOf(t, &newA, &newB))
		release()
		if ans := c.next(t); ans.res.Err != nil {
			t.Errorf("told %v", ans.res.Err)
		}
		f.refusedFor(&newA, "451 4.7.1", "2 messages a minute")
		for i := range 2 {
			f.sendOK(&newB, fmt.Sprintf("b %d\r\n", i))
		}
		f.arrived(map[string]string{"a": a.Email, "waits": a.Email, "b 0": b.Email, "b 1": b.Email})
	}
}

// TestReloadsWhileMessagesWait: reloads that change the identity of an account back and forth
// lose no message, double none, and send none under another login than one of its own. A login
// that waits for a token of before is refused, with what it was for.
func TestReloadsWhileMessagesWait(t *testing.T) {
	const messages, reloads = 150, 40
	f := newFixture(t, func(s *setup) { s.accounts, s.relay.Shards, s.limits.MaxConnections = 4, 4, 2 })
	a, other := f.accounts[0], f.accounts[3]
	versions := []*account.Account{as(a, f.accounts[1]), as(a, f.accounts[2])}
	snapshots := []*account.Snapshot{snapshotOf(t, versions[0], other), snapshotOf(t, versions[1], other)}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		told = make(map[string]bool) // each message, true: 250
	)
	send := func(now func(i int) *account.Account, prefix string) {
		for i := range messages {
			text := fmt.Sprintf("%s %d", prefix, i)
			tx, c := f.message(now(i), "to@example.com", text+"\r\n")
			if err := f.trySubmit(tx); err != nil {
				t.Error(err)
			}
			all.Go(func() {
				ans := c.next(t)
				if err := ans.res.Err; err != nil && !strings.Contains(err.Error(), "account removed or changed") {
					t.Errorf("%s: told %v", text, err)
				}
				mu.Lock()
				told[text] = ans.res.Err == nil
				mu.Unlock()
				ans.tx.Release()
			})
		}
	}
	all.Go(func() { send(func(i int) *account.Account { return versions[i%2] }, "changes") })
	all.Go(func() { send(func(int) *account.Account { return other }, "stays") })
	all.Go(func() {
		for i := range reloads {
			f.relay.Retain(snapshots[i%2])
		}
	})
	all.Wait()
	taken := 0
	for _, ok := range told {
		if ok {
			taken++
		}
	}
	for _, m := range provider.Messages(f.t, f.box, taken) {
		text := strings.TrimSpace(string(m.Body))
		own := m.Account == f.accounts[1].Email || m.Account == f.accounts[2].Email
		if !told[text] || own != strings.HasPrefix(text, "changes") {
			t.Errorf("%q came under the login %s; told 250, and not there yet: %t", text, m.Account, told[text])
		}
		delete(told, text)
	}
}

// TestMovedWhileItsSessionLooks: a session may ask whether its shard is stuck while its
// message goes to another one.
func TestMovedWhileItsSessionLooks(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.Shards = 8 })
	a := f.accounts[0]
	release := f.holdLogins(a)
	tx, c := f.message(a, "to@example.com", "a\r\n")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	looked := make(chan bool)
	go func() {
		for range 1000 {
			if _, ok := tx.EndWait(time.Now()); ok {
				t.Error("the session has ended its wait")
			}
		}
		close(looked)
	}()
	f.relay.Retain(snapshotOf(t, as(a, f.accounts[1])))
	<-looked
	ans := c.next(t)
	if ans.res.Err != nil {
		t.Errorf("told %v", ans.res.Err)
	}
	ans.tx.Release()
	release()
}
