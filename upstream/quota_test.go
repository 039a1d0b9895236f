package upstream

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/limit"
)

// refusedFor fails the test unless the next message of a gets the code and all
// those parts, without a connection or a MAIL command to the upstream.
func (f *fixture) refusedFor(a *account.Account, want string, parts ...string) {
	f.t.Helper()
	asked := func() (n int64) {
		for _, command := range f.commands() {
			if command == "MAIL" {
				n++
			}
		}
		return n + f.box.Stats().Connections
	}
	f.until(func() bool { st := f.state(a); return st.Dialing+st.Busy == 0 }) // what came before has ended
	before := asked()
	res := f.send(a, "to@example.com", "refused\r\n")
	for _, part := range parts {
		if code(res.Reply) != want || !strings.Contains(res.Reply.Text, part) {
			f.t.Errorf("reply %v, want %s with %q", res.Reply, want, part)
		}
	}
	if asked() != before {
		f.t.Errorf("the upstream was asked")
	}
}

func TestMessageLimits(t *testing.T) {
	tests := []struct {
		name   string
		set    func(*account.Limits)
		want   string
		text   string
		metric string
	}{
		{"minute", func(l *account.Limits) { l.MessagesPerMinute = 3 }, "451 4.7.1", "3 messages a minute for this account; try again in 6", "messages_minute"},
		{"hour", func(l *account.Limits) { l.MessagesPerHour = 3 }, "451 4.7.1", "3 messages an hour for this account; try again in 36", "messages_hour"},
		{"day", func(l *account.Limits) { l.MessagesPerDay = 3 }, "452 4.7.1", "3 messages a day for this account; try again in ", "messages_day"},
		{"recipients", func(l *account.Limits) { l.RecipientsPerDay = 3 }, "452 4.7.1", "3 recipients a day for this account; try again in ", "recipients_day"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { tt.set(&s.limits); s.limits.AcquireTimeout = time.Second })
			a := f.accounts[0]
			provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseRcpt, Recipient: "bad@example.com", Action: sandbox.ActionReply, Reply: "550 5.1.1 no"})
			for i := range 3 {
				if res := f.send(a, "bad@example.com", "a\r\n"); res.Reply.Code != 550 { // does not count
					t.Fatal(res.Reply)
				}
				f.sendOK(a, fmt.Sprintf("%d\r\n", i))
			}
			f.refusedFor(a, tt.want, tt.text)
			tx, c := f.envelope(a, "one@example.com", "two@example.com")
			tx.FirstAnswered = false
			if err := f.trySubmit(tx); err != nil {
				t.Fatal(err)
			}
			ans := c.next(t)
			for _, r := range ans.tx.Rcpts {
				if code(r.Reply) != tt.want {
					t.Errorf("recipient of an opened transaction: %v", r.Reply)
				}
			}
			ans.tx.Release()
			f.sendOK(f.accounts[1], "neighbour\r\n")
			if n := f.metric(`upstream_limit_refusals_total{limit="` + tt.metric + `"}`); n != "2" {
				t.Errorf("counted %s refusals", n)
			}
			st := f.standing(a)
			used := false
			for _, u := range st.Uses {
				used = used || u.Max == 3 && u.Used == 3
			}
			if !used {
				t.Errorf("standing %+v", st)
			}
			provider.Messages(f.t, f.box, 4)
		})
	}
}

// TestLimitHoldsUnderLoad: at the sandbox's own count.
func TestLimitHoldsUnderLoad(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MessagesPerMinute = 30; s.limits.AcquireTimeout = time.Second })
	accepted := 0
	for _, res := range f.flood(100, f.accounts[0]) {
		switch {
		case res.Err == nil:
			accepted++
		case code(res.Reply) != "451 4.7.1":
			t.Errorf("reply %v", res.Reply)
		}
	}
	if provider.Messages(f.t, f.box, 30); accepted != 30 {
		t.Errorf("%d accepted", accepted)
	}
}

// TestShortWaitForAPlace: a message that gets its place before the acquire
// timeout waits for it. The places of the minute are taken by messages of nearly a
// minute ago.
func TestShortWaitForAPlace(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.limits.MessagesPerMinute = 2
		s.limits.AcquireTimeout = 20 * time.Second
		s.relay.Shards = 1
	})
	a := f.accounts[0]
	done := make(chan struct{})
	f.relay.shards[0].do(func(now time.Time) {
		defer close(done)
		first, second := now.Add(-59500*time.Millisecond), now.Add(-59*time.Second)
		m := limit.NewMeter(first)
		m.Adopt(&a.Limits, first)
		for _, at := range []time.Time{first, second} {
			m.Take(&a.Limits, 1)
			m.Settle(at, 1, 1)
		}
		f.relay.shards[0].state(a).meter = m
	})
	<-done
	for _, res := range f.flood(2, a) {
		if res.Err != nil {
			t.Error(res.Err)
		}
	}
	provider.Messages(f.t, f.box, 2)
	provider.NoViolations(f.t, f.box)
}

func TestRecipientsOfOneTransaction(t *testing.T) {
	tests := []struct {
		name   string
		set    func(*account.Limits)
		change func(*setup)
		want   string
	}{
		{"of the day", func(l *account.Limits) { l.RecipientsPerDay = 4 }, nil, "452 4.7.1"},
		{"of one message", func(l *account.Limits) { l.MaxRecipients = 4 }, nil, "452 4.5.3"},
		{"step by step", func(l *account.Limits) { l.RecipientsPerDay = 4 }, func(s *setup) { s.keywords = offerPlain }, "452 4.7.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) {
				tt.set(&s.limits)
				if tt.change != nil {
					tt.change(s)
				}
			})
			groups := [][]string{{"a@x.test", "b@x.test"}, {"c@x.test", "d@x.test", "e@x.test"}, {"f@x.test"}}
			rcpts, final := dialog(f, groups, "body\r\n")
			var got []string
			for _, r := range rcpts {
				got = append(got, code(r))
			}
			if len(got) != 6 || got[3][:3] != "250" || got[4] != tt.want || got[5] != tt.want || final.Code != 250 {
				t.Errorf("recipients %v, final %v", got, final)
			}
			if m := provider.Messages(f.t, f.box, 1)[0]; len(m.Recipients) != 4 {
				t.Errorf("%d recipients arrived", len(m.Recipients))
			}
			if tt.name != "of one message" {
				f.refusedFor(f.accounts[0], "452 4.7.1", "4 recipients a day")
			}
		})
	}
}

// TestRecipientsAreGivenBack: those that an aborted or refused transaction had.
func TestRecipientsAreGivenBack(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.RecipientsPerDay = 3 })
	for range 5 {
		tx, c := f.envelope(f.accounts[0], "a@x.test", "b@x.test", "c@x.test")
		if err := f.trySubmit(tx); err != nil {
			t.Fatal(err)
		}
		if ans := c.next(t); ans.tx.Rcpts[2].Reply.Code != 250 {
			t.Fatal(ans.tx.Rcpts[2].Reply)
		}
		tx.Release()
		f.until(func() bool {
			st := f.standing(f.accounts[0])
			return st.Uses[1].Used == 0
		})
	}
}

func TestAccountSizeLimit(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxMessageSize = 10 })
	if res := f.send(f.accounts[0], "to@example.com", "more than ten\r\n"); code(res.Reply) != "552 5.3.4" {
		t.Error(res.Reply)
	}
	if _, final := dialog(f, [][]string{{"a@x.test", "b@x.test"}}, "more than ten\r\n"); code(final) != "552 5.3.4" {
		t.Error(final)
	}
	f.sendOK(f.accounts[0], "ten.....\r\n")
	provider.Messages(f.t, f.box, 1)
}

func TestLoginLimit(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.limits.LoginsPerMinute, s.limits.MaxMessagesPerConnection = 2, 1
		s.limits.AcquireTimeout = time.Second
	})
	a := f.accounts[0]
	f.sendOK(a, "1\r\n")
	f.sendOK(a, "2\r\n")
	f.until(func() bool { return f.relay.connections(connParked)+f.relay.connections(connClosing) == 0 })
	f.refusedFor(a, "451 4.7.1", "2 logins a minute for this account; try again in ")
	if n := f.box.AccountStats(a.Email).Logins; n != 2 {
		t.Errorf("%d logins", n)
	}
	f.sendOK(f.accounts[1], "neighbour\r\n")
}

// memoryStore is a QuotaStore.
type memoryStore struct {
	mu      sync.Mutex
	hours   map[string]map[int64][2]uint32
	flushes int
}

// identity is what a mailbox's key has after the endpoint, whose port differs from run to run.
func identity(mailbox string) string { return mailbox[strings.LastIndexByte(mailbox, 0)+1:] }

func (m *memoryStore) Load(account string, hour func(int64, uint32, uint32)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for h, c := range m.hours[identity(account)] {
		hour(h, c[0], c[1])
	}
}

func (m *memoryStore) Save(account string, hour int64, messages, recipients uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hours[identity(account)] == nil {
		m.hours[identity(account)] = make(map[int64][2]uint32)
	}
	m.hours[identity(account)][hour] = [2]uint32{messages, recipients}
}

func (m *memoryStore) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushes++
	return nil
}

func TestDayCountsSurviveARestart(t *testing.T) {
	store := &memoryStore{hours: make(map[string]map[int64][2]uint32)}
	start := func() *fixture {
		return newFixture(t, func(s *setup) {
			s.relay.Quota = store
			s.limits.MessagesPerDay, s.limits.RecipientsPerDay = 4, 7
		})
	}
	f := start()
	f.sendOK(f.accounts[0], "1\r\n")
	if _, final := dialog(f, [][]string{{"a@x.test", "b@x.test", "c@x.test"}}, "2\r\n"); final.Code != 250 {
		t.Fatal(final)
	}
	f.close()
	if store.flushes == 0 {
		t.Error("not flushed")
	}
	f = start()
	f.sendOK(f.accounts[0], "3\r\n")
	f.sendOK(f.accounts[0], "4\r\n")
	f.refusedFor(f.accounts[0], "452 4.7.1", "4 messages a day")
	st := f.standing(f.accounts[0])
	if want := fmt.Sprint([]Use{{Limit: "messages a day", Used: 4, Max: 4}, {Limit: "recipients a day", Used: 6, Max: 7}}); fmt.Sprint(st.Uses) != want {
		t.Errorf("uses %v, want %v", st.Uses, want)
	}
	f.close()
}

func TestDryRunCountsNothing(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.DryRun, s.limits.RecipientsPerDay = true, 2 })
	for range 3 {
		f.sendOK(f.accounts[0], "a\r\n")
		if _, final := dialog(f, [][]string{{"a@x.test", "b@x.test"}}, "b\r\n"); final.String() != "250 2.0.0 dry run: not sent" {
			t.Error(final)
		}
	}
	provider.Messages(f.t, f.box, 0)
}

// TestChangedLimits: a reload raises and lowers limits; what was counted counts.
func TestChangedLimits(t *testing.T) {
	f := newFixture(t, nil)
	a := *f.accounts[0]
	f.sendOK(&a, "not counted\r\n")
	limited := a
	limited.Limits.MessagesPerDay = 2
	f.sendOK(&limited, "1\r\n")
	f.sendOK(&limited, "2\r\n")
	f.refusedFor(&limited, "452 4.7.1", "2 messages a day")
	raised := limited
	raised.Limits.MessagesPerDay, raised.Limits.RecipientsPerDay = 3, 3
	f.sendOK(&raised, "3\r\n")
	f.refusedFor(&raised, "452 4.7.1", "3 ")
	free := raised
	free.Limits.MessagesPerDay, free.Limits.RecipientsPerDay = 0, 0
	f.sendOK(&free, "free\r\n")
}
