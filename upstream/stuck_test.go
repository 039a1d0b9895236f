package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/internal/watchdog"
)

// hangingStore is a QuotaStore in which the shard that asks for the identity "hang"
// stays until it is let go.
type hangingStore struct{ come, letGo chan struct{} }

func newHangingStore() *hangingStore { return &hangingStore{make(chan struct{}), make(chan struct{})} }

func (h *hangingStore) Load(id string, _ func(int64, uint32, uint32)) {
	if strings.Contains(id, "\x00hang") {
		h.come <- struct{}{}
		<-h.letGo
	}
}
func (*hangingStore) Save(string, int64, uint32, uint32) {}
func (*hangingStore) Flush() error                       { return nil }

// watched gives a relay of one shard a store to hang in and a watchdog that is soon
// impatient, which has the metrics in set.
func watched(t testing.TB, s *setup, set *metrics.Set) *hangingStore {
	h := newHangingStore()
	dog := watchdog.New(watchdog.Config{Patience: 40 * time.Millisecond, Withhold: time.Minute}, zap.NewNop(), set)
	t.Cleanup(dog.Close)
	s.relay.Shards, s.relay.Quota, s.relay.Watch = 1, h, dog
	return h
}

// hang has the shard hang, on a goroutine of its own and not on a loop, unless a loop
// begins to handle its events just then.
func (f *fixture) hang(h *hangingStore, n int) {
	f.t.Helper()
	s := f.relay.shards[0]
	f.until(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.running
	})
	a := *f.accounts[0]
	a.ID, a.Limits.MessagesPerDay = fmt.Sprintf("hang%d", n), 1
	a.AuthIdentity = a.ID
	go f.relay.shards[0].do(func(time.Time) { f.relay.shards[0].state(&a) })
	<-h.come
}

// stuck waits until the shard has been found stuck, or is no more.
func (f *fixture) stuck(is bool) {
	f.t.Helper()
	f.until(func() bool { return f.relay.Stuck() == is })
}

// abandoned waits until the session of tx may answer by itself, and returns what.
func (f *fixture) abandoned(tx *Transaction) (r codec.Reply) {
	f.t.Helper()
	f.until(func() bool {
		ended, ok := tx.EndWait(time.Now())
		if ok {
			r = ended.Result.Reply
			ended.Release()
		}
		return ok
	})
	return r
}

// stays fails the test if the session of tx may answer by itself.
func (f *fixture) stays(tx *Transaction) {
	f.t.Helper()
	if ended, ok := tx.EndWait(time.Now()); ok {
		f.t.Errorf("the session answers %v by itself", ended.Result.Reply)
	}
}

// silent fails the test if the relay has answered.
func (c client) silent(t testing.TB) {
	t.Helper()
	select {
	case ans := <-c:
		t.Errorf("a second answer: %v", ans.res.Reply)
	default:
	}
}

const stuckReply = "451 4.3.0 The proxy is stuck where it handles this account and has not sent the message, try again later"

// TestStuckShardSendsNothing: what waits in a shard that hangs is refused from outside
// of it, and so is what comes. When the shard comes back it sends nothing of that, and
// goes on.
func TestStuckShardSendsNothing(t *testing.T) {
	set := metrics.NewSet()
	var h *hangingStore
	f := newFixture(t, func(s *setup) { h = watched(t, s, set); s.limits.MaxConnections = 1 })
	a := f.accounts[0]
	f.sendOK(a, "before\r\n")
	f.hang(h, 0)
	inbox, c := f.message(a, "to@example.com", "in the mailbox\r\n")
	opened, oc := f.envelope(a, "one@example.com", "two@example.com")
	for _, tx := range []*Transaction{inbox, opened} {
		if err := f.trySubmit(tx); err != nil {
			t.Fatal(err)
		}
	}
	f.stuck(true)
	for _, tx := range []*Transaction{inbox, opened} {
		if r := f.abandoned(tx); r.String() != stuckReply {
			t.Errorf("reply %v", r)
		}
		f.stays(tx)
	}
	late, _ := f.message(a, "to@example.com", "late\r\n")
	if err := f.trySubmit(late); !errors.Is(err, ErrStuck) || ClientReply(err).String() != stuckReply {
		t.Errorf("a message to a stuck shard: %v", err)
	}
	late.Release()
	if _, err := f.relay.State(a.ID); !errors.Is(err, ErrStuck) {
		t.Errorf("State: %v", err)
	}
	if _, err := f.relay.Standing(a.ID); !errors.Is(err, ErrStuck) {
		t.Errorf("Standing: %v", err)
	}
	h.letGo <- struct{}{}
	f.stuck(false)
	f.sendOK(a, "after\r\n")
	f.until(func() bool { return f.state(a).Waiting == 0 && f.state(a).Busy == 0 })
	c.silent(t)
	oc.silent(t)
	for _, m := range provider.Messages(f.t, f.box, 2) {
		if body := string(m.Body); body != "before\r\n" && body != "after\r\n" {
			t.Errorf("sent: %q", body)
		}
	}
	for _, verb := range f.commands() {
		if verb == "RSET" {
			t.Error("something was begun and aborted")
		}
	}
}

// TestStuckShardLeavesFlightsAlone: a message that is being sent when its shard hangs
// has the provider's answer, for as long as it may take. What waits for its connection
// is refused. If the provider is silent the message may have been taken, and an answer
// after that is nobody's.
func TestStuckShardLeavesFlightsAlone(t *testing.T) {
	for _, answers := range []bool{true, false} {
		t.Run(fmt.Sprintf("answers=%t", answers), func(t *testing.T) {
			set := metrics.NewSet()
			var h *hangingStore
			f := newFixture(t, func(s *setup) {
				h = watched(t, s, set)
				s.limits.MaxConnections = 1
				if !answers {
					s.relay.TransactionTimeout = 2 * time.Second
				}
			})
			arrived, answer := make(chan struct{}), make(chan struct{})
			var mu sync.Mutex
			n := 0
			s := newScript(t, func(c *tls.Conn, _, _ int64) bool {
				mu.Lock()
				n++
				held := n == 3
				mu.Unlock()
				if held {
					arrived <- struct{}{}
					<-answer
				}
				return say(c, threeReplies)
			})
			a := s.account(f.accounts[0])
			f.carried(a)
			inFlight, c := f.message(a, "to@example.com", "in flight end\r\n")
			if err := f.trySubmit(inFlight); err != nil {
				t.Fatal(err)
			}
			<-arrived
			waits, wc := f.message(a, "to@example.com", "waits end\r\n")
			if err := f.trySubmit(waits); err != nil {
				t.Fatal(err)
			}
			f.hang(h, 0)
			f.stuck(true)
			if r := f.abandoned(waits); r.String() != stuckReply {
				t.Errorf("reply %v", r)
			}
			f.stays(inFlight)
			if answers {
				close(answer)
				if ans := c.next(t); ans.res.Reply.Code != 250 {
					t.Errorf("the provider's 250 became %v", ans.res.Reply)
				} else {
					f.stays(inFlight)
					ans.tx.Release()
				}
			} else {
				ans := c.next(t) // its loop keeps the time
				if r := ans.res.Reply; code(r) != "451 4.4.2" || !strings.Contains(r.Text, "timeout at final reply") {
					t.Errorf("reply %v", r)
				}
				ans.tx.Release()
				if got := f.metric(`messages_total{result="unknown"}`); got != "1" {
					t.Errorf("%s messages of unknown fate", got)
				}
				close(answer)
			}
			h.letGo <- struct{}{}
			f.stuck(false)
			f.until(func() bool { st := f.state(a); return st.Busy == 0 && st.Waiting == 0 })
			c.silent(t)
			wc.silent(t)
			mu.Lock()
			defer mu.Unlock()
			if n != 3 {
				t.Errorf("%d messages at the provider", n)
			}
		})
	}
}

// hangingLog is a log in which the writer of a certain line hangs.
type hangingLog struct {
	zapcore.Core
	line string
	*hangingStore
}

func (hangingLog) Enabled(zapcore.Level) bool          { return true }
func (l hangingLog) With([]zapcore.Field) zapcore.Core { return l }
func (l hangingLog) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Message == l.line {
		return c.AddCore(e, l)
	}
	return c
}

func (l hangingLog) Write(zapcore.Entry, []zapcore.Field) error {
	l.come <- struct{}{}
	<-l.letGo
	return nil
}

// TestStuckShardAfterTheAnswer: the connection's loop hangs in the shard, which it tells what the
// provider said, before the client is told. The session passes the provider's reply on.
func TestStuckShardAfterTheAnswer(t *testing.T) {
	set := metrics.NewSet()
	f := newFixture(t, func(s *setup) { watched(t, s, set) })
	h := newHangingStore()
	s := newStub(t, func(c *tls.Conn) {
		if logIn(c, offerBDAT) && oneMessage(c) {
			_ = say(c, "250 2.1.0 OK\r\n250 2.1.5 OK\r\n450 4.7.0 too fast\r\n")
			oneMessage(c)
		}
	})
	f.relay.log = zap.New(hangingLog{zapcore.NewNopCore(), "account throttled", h})
	tx, c := f.message(s.account(f.accounts[0]), "to@example.com", "end\r\n")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	<-h.come
	if r := f.abandoned(tx); r.String() != "450 4.7.0 too fast" {
		t.Errorf("reply %v", r)
	}
	h.letGo <- struct{}{}
	f.stuck(false)
	f.state(f.accounts[0])
	c.silent(t)
}

// TestClosePassesAStuckShard: Close does not wait for a shard that hangs.
func TestClosePassesAStuckShard(t *testing.T) {
	set := metrics.NewSet()
	var h *hangingStore
	f := newFixture(t, func(s *setup) { h = watched(t, s, set) })
	f.sendOK(f.accounts[0], "before\r\n")
	f.hang(h, 0)
	f.stuck(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.relay.Close(ctx); !errors.Is(err, ErrStuck) {
		t.Errorf("Close: %v", err)
	}
	h.letGo <- struct{}{}
	<-f.relay.shards[0].drained
	f.relay.dials.Wait()
}

// TestStuckShardRace has sessions give up at any moment, while the shard hangs again
// and again: a message that its client was told is not sent never arrives, one that was
// told 250 arrives once, and each has one answer.
func TestStuckShardRace(t *testing.T) {
	set := metrics.NewSet()
	var h *hangingStore
	f := newFixture(t, func(s *setup) { h = watched(t, s, set); s.limits.MaxConnections = 2 })
	const clients, rounds = 8, 6
	var mu sync.Mutex
	replies, given := map[string]Result{}, 0
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for i := range clients {
		wg.Go(func() {
			a := f.accounts[i%2]
			for j := 0; ; j++ {
				select {
				case <-quit:
					return
				default:
				}
				body := fmt.Sprintf("X-Id: %d-%d\r\n\r\n", i, j)
				res, up := f.impatient(a, body)
				mu.Lock()
				replies[body] = res
				if up {
					given++
				}
				mu.Unlock()
			}
		})
	}
	for n := range rounds {
		f.hang(h, n)
		f.stuck(true)
		h.letGo <- struct{}{}
		f.stuck(false)
	}
	close(quit)
	wg.Wait()
	f.until(func() bool { return f.state(f.accounts[0]).Waiting+f.state(f.accounts[1]).Waiting == 0 })
	arrived := map[string]int{}
	for _, m := range f.box.Messages() {
		arrived[string(m.Body)]++
	}
	for body, res := range replies {
		switch n := arrived[body]; {
		case res.Reply.Code == 250 && n != 1, res.Reply.Code != 250 && n != 0:
			t.Errorf("%q: answered %v, arrived %d times", body, res.Reply, n)
		}
	}
	if given == 0 {
		t.Error("no session has given up")
	}
	provider.NoViolations(f.t, f.box)
}

// impatient relays a message as a session does that asks at each moment whether it
// may give up; gaveUp tells that it did.
func (f *fixture) impatient(a *account.Account, body string) (res Result, gaveUp bool) {
	tx, c := f.message(a, "to@example.com", body)
	if err := f.trySubmit(tx); err != nil {
		tx.Release()
		return Result{Reply: ClientReply(err)}, false
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		select {
		case ans := <-c:
			ans.tx.Release()
			return ans.res, false
		case now := <-look.C:
			if ended, ok := tx.EndWait(now); ok {
				defer ended.Release()
				return ended.Result, true
			}
		}
	}
}
