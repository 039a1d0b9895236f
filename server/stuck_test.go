package server

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/watchdog"
	"xoauth2-proxy/upstream"
)

// hangingStore is an upstream.QuotaStore in which the shard that asks for the identity
// "hang" stays until it is let go.
type hangingStore struct {
	come, letGo chan struct{}
	release     func() // closes letGo, once
}

func (h hangingStore) Load(id string, _ func(int64, uint32, uint32)) {
	if strings.Contains(id, "\x00hang") {
		h.come <- struct{}{}
		<-h.letGo
	}
}
func (hangingStore) Save(string, int64, uint32, uint32) {}
func (hangingStore) Flush() error                       { return nil }

// released is an upstream.Completer that wants no answer.
type released struct{}

func (released) RecipientsReplied(tx *upstream.Transaction, _ *loop.Loop) { tx.Release() }
func (released) Complete(tx *upstream.Transaction, _ *loop.Loop)          { tx.Release() }
func (released) Late(*upstream.Transaction)                               {}

// Run implements loop.Runner: the loop hangs as the shard does.
func (h hangingStore) Run() { h.Load("\x00hang", nil) }

// watchedStack is a stack whose relay has one shard, with a watchdog that is soon
// impatient.
func watchedStack(t *testing.T, more ...stackOption) (*stack, hangingStore, *watchdog.Watchdog) {
	t.Helper()
	h := hangingStore{come: make(chan struct{}), letGo: make(chan struct{})}
	h.release = sync.OnceFunc(func() { close(h.letGo) })
	dog := watchdog.New(watchdog.Config{Patience: time.Second, Withhold: time.Minute}, zap.NewNop(), metrics.NewSet())
	t.Cleanup(dog.Close)
	k := newStack(t, append(more, func(cfg *Config, up *upstream.Config, _ *sandbox.Config) {
		cfg.Watch, up.Watch, up.Shards, up.Quota = dog, dog, 1, h
	})...)
	t.Cleanup(h.release) // or a test that fails would wait for ever
	return k, h, dog
}

// waitStuck waits until the part of that name is stuck, and no other, or none is if
// there is no name.
func waitStuck(t *testing.T, dog *watchdog.Watchdog, name string) {
	t.Helper()
	testkit.Settle(t, func() string {
		all := dog.Stuck()
		if name == "" && len(all) == 0 || name != "" && len(all) == 1 && strings.HasPrefix(all[0], name) {
			return ""
		}
		return fmt.Sprintf("stuck: %q, want %q", all, name)
	})
}

// TestStuckShard: sessions whose shard hangs are answered by their own loops, those
// that wait with content, those that wait for recipients and those that come. They go
// on, and what was refused is never sent. Each recipient has its record.
func TestStuckShard(t *testing.T) {
	l := keepRecords(t)
	k, h, dog := watchedStack(t, l.option)
	content, recipients, later := k.login(t, gmailUser), k.login(t, gmailUser), k.login(t, gmailUser)
	hang := upstream.GetTransaction()
	hang.Account = &account.Account{ID: "hang", Email: "hang", Limits: account.Limits{MessagesPerDay: 1}}
	hang.Done = released{}
	hang.AddRcpt(codec.RcptArgs{})
	hang.Abandon()
	go func() {
		if err := k.relay.TrySubmit(hang); err != nil {
			t.Error(err)
		}
	}()
	<-h.come
	const stuck = "451 4.3.0 The proxy is stuck"
	content.Mail("a@example.com", "b@example.com")
	content.Cmd("DATA", "354")
	content.Send("Subject: never\r\n\r\nx\r\n.\r\n")
	recipients.Mail("a@example.com", "b@example.com")
	recipients.Send("RCPT TO:<c@example.com>\r\nRCPT TO:<d@example.com>\r\nDATA\r\n")
	content.Expect(stuck)
	for range 3 { // each RCPT, and DATA for the first recipient
		recipients.Expect(stuck)
	}
	waitStuck(t, dog, "shard 0")
	later.Mail("a@example.com", "b@example.com")
	later.Data("Subject: never\r\n\r\nx\r\n", stuck)
	h.release()
	waitStuck(t, dog, "")
	for _, c := range []*client{content, recipients, later} {
		c.Mail("a@example.com", "b@example.com")
		c.Data("Subject: after\r\n\r\nx\r\n", "250")
	}
	all := k.sandbox.Messages()
	for _, m := range all {
		if strings.Contains(string(m.Body), "never") {
			t.Error("a message was sent whose client was told that it was not")
		}
	}
	if len(all) != 3 {
		t.Errorf("%d messages arrived, want 3", len(all))
	}
	var records []string
	for _, r := range l.all(t) {
		records = append(records, brief(r))
	}
	slices.Sort(records)
	const delivered, refused = "d b@example.com 250 provider", "t b@example.com 451 proxy stuck queue"
	want := []string{delivered, delivered, delivered, refused, refused, refused,
		"t c@example.com 451 proxy stuck queue", "t d@example.com 451 proxy stuck queue"}
	if !slices.Equal(records, want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(records, "\n"), strings.Join(want, "\n"))
	}
}

// TestStuckLoop: a loop that hangs is found, and one that waits for its sockets is
// not. When it comes back, its sessions go on.
func TestStuckLoop(t *testing.T) {
	k, h, dog := watchedStack(t)
	clients := []*client{k.login(t, gmailUser), k.login(t, gmailUser)} // one on each loop
	if !k.loops[1].Post(h) {
		t.Fatal("the loop has ended")
	}
	<-h.come
	waitStuck(t, dog, "loop 1")
	h.release()
	waitStuck(t, dog, "")
	for _, c := range clients {
		c.Mail("a@example.com", "b@example.com")
		c.Data("Subject: x\r\n\r\nx\r\n", "250")
	}
}
