package upstream

import (
	"fmt"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// flood submits n messages of each account at once and returns their results.
func (f *fixture) flood(n int, accounts ...*account.Account) (results []Result) {
	f.t.Helper()
	c := make(client, n*len(accounts))
	for i := range n {
		for _, a := range accounts {
			tx, _ := f.message(a, "to@example.com", fmt.Sprintf("%s %d\r\n", a.ID, i))
			tx.Done = c
			if err := f.trySubmit(tx); err != nil {
				tx.Release()
				results = append(results, Result{Reply: ClientReply(err)})
				c <- answer{}
			}
		}
	}
	for range n * len(accounts) {
		if a := c.next(f.t); a.tx != nil {
			results = append(results, a.res)
			a.tx.Release()
		}
	}
	return results
}

func TestConnectionLimitHolds(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.limits.MaxConnections = 3
		s.limits.MaxMessagesPerConnection = 5 // closing connections count too
		s.accounts = 4
		s.box.Latency.Commands = map[string]sandbox.Duration{"QUIT": sandbox.Duration(5 * time.Millisecond)}
	})
	for _, res := range f.flood(50, f.accounts...) {
		if res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	provider.Messages(f.t, f.box, 200)
	for _, a := range f.accounts {
		if n := f.box.AccountStats(a.Email).MaxOpen; n > 3 {
			t.Errorf("%s had %d connections, limit is 3", a.ID, n)
		}
	}
	provider.NoViolations(f.t, f.box)
}

func TestNoMoreLoginsThanNeeded(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 100 })
	for range 20 {
		f.sendOK(f.accounts[0], "a\r\n")
	}
	if n := f.box.Stats().Logins; n != 1 {
		t.Errorf("%d logins for 20 messages one after another", n)
	}
	f.flood(8, f.accounts[1])
	if n := f.box.AccountStats(f.accounts[1].Email).Logins; n > 8 {
		t.Errorf("%d logins for 8 messages at once", n)
	}
}

func TestWaitingIsBounded(t *testing.T) {
	stall := sandbox.Rule{Name: "stall", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, Times: 1,
		For: sandbox.Duration(300 * time.Millisecond)}
	tests := []struct {
		name   string
		change func(*setup)
		want   string
	}{
		{"count for each account", func(s *setup) { s.relay.MaxWaitingPerAccount = 2 }, "451 4.3.2"},
		{"count in all", func(s *setup) { s.relay.MaxWaiting = 2 }, "451 4.3.2"},
		{"time", func(s *setup) { s.limits.AcquireTimeout = 20 * time.Millisecond }, "451 4.4.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1; tt.change(s) })
			f.sendOK(f.accounts[0], "warm\r\n")
			provider.Faults(f.t, f.box, stall)
			first, c := f.message(f.accounts[0], "to@example.com", "held\r\n")
			if err := f.trySubmit(first); err != nil {
				t.Fatal(err)
			}
			provider.Fired(f.t, f.box, "stall", 1)
			refused := 0
			for _, res := range f.flood(5, f.accounts[0]) {
				switch {
				case res.Reply.Code == 250:
				case code(res.Reply) == tt.want:
					refused++
				default:
					t.Errorf("reply %v", res.Reply)
				}
			}
			if refused < 3 {
				t.Errorf("%d of 5 refused", refused)
			}
			a := c.next(t)
			if a.res.Err != nil {
				t.Errorf("the message that was under way: %v", a.res.Err)
			}
			a.tx.Release()
			f.sendOK(f.accounts[0], "after\r\n")
		})
	}
}

func TestConnectionsAreRetired(t *testing.T) {
	tests := []struct {
		name   string
		change func(*account.Limits)
	}{
		{"after so many messages", func(l *account.Limits) { l.MaxMessagesPerConnection = 1 }},
		{"at an age", func(l *account.Limits) { l.ConnectionMaxAge = time.Nanosecond }},
		{"when idle", func(l *account.Limits) { l.IdleTimeout = time.Millisecond }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1; tt.change(&s.limits) })
			f.sendOK(f.accounts[0], "a\r\n")
			f.until(func() bool { return f.box.Stats().Quits == 1 })
			f.sendOK(f.accounts[0], "b\r\n")
			if n := f.box.Stats().Logins; n != 2 {
				t.Errorf("%d logins, want 2", n)
			}
			provider.NoViolations(f.t, f.box)
		})
	}
}

// parkedEnds waits until no connection of the accounts is open: the loops see the end
// of those that are parked by themselves.
func (f *fixture) parkedEnds() {
	f.t.Helper()
	f.until(func() bool {
		open := 0
		for _, a := range f.accounts {
			open += f.state(a).Open
		}
		return open == 0
	})
}

// TestStaleConnectionIsNoticedBeforeUse: the upstream ends the connection while
// it is parked, or right behind its reply. The next message goes in one flight,
// so it must not be sent in vain.
func TestStaleConnectionIsNoticedBeforeUse(t *testing.T) {
	for _, action := range []sandbox.Action{sandbox.ActionClose, sandbox.ActionCut, sandbox.ActionReset, sandbox.ActionReply} {
		for _, delay := range []time.Duration{0, 20 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s after %v", action, delay), func(t *testing.T) {
				f := newFixture(t, nil)
				provider.Faults(f.t, f.box, sandbox.Rule{Name: "end", Phase: sandbox.PhaseAfterReply, Action: action, Times: 1,
					Delay: sandbox.Duration(delay), Reply: "421 4.4.2 idle for too long"})
				f.sendOK(f.accounts[0], "a\r\n")
				provider.Fired(f.t, f.box, "end", 1)
				f.parkedEnds()
				f.sendOK(f.accounts[0], "b\r\n")
				provider.Messages(f.t, f.box, 2)
			})
		}
	}
}

// TestStaleBeforeFirstMessage: the upstream ends a connection that was opened ahead
// of mail. The first message goes over another one.
func TestStaleBeforeFirstMessage(t *testing.T) {
	for _, action := range []sandbox.Action{sandbox.ActionClose, sandbox.ActionReset, sandbox.ActionReply} {
		t.Run(string(action), func(t *testing.T) {
			f := newFixture(t, func(s *setup) { s.relay.PrewarmConnections, s.relay.PrewarmRate = 1, 1000 })
			provider.Faults(f.t, f.box, sandbox.Rule{Name: "end", Phase: sandbox.PhaseIdle, Action: action, Times: 1,
				Delay: sandbox.Duration(20 * time.Millisecond), Reply: "421 4.4.2 idle for too long"})
			f.relay.Prewarm(snapshotOf(t, f.accounts[0]), engine.Loops())
			provider.Fired(f.t, f.box, "end", 1)
			f.parkedEnds()
			f.sendOK(f.accounts[0], "a\r\n")
			provider.Messages(f.t, f.box, 1)
		})
	}
}

func TestChangedAccountGetsNewConnections(t *testing.T) {
	f := newFixture(t, nil)
	old := f.accounts[0]
	f.sendOK(old, "a\r\n")
	same := *old
	f.sendOK(&same, "b\r\n") // a reload that changed nothing
	if n := f.box.Stats().Logins; n != 1 {
		t.Errorf("%d logins after a reload without a change, want 1", n)
	}
	other := *old
	other.SMTP.Host = "localhost"
	snapshot, err := account.NewSnapshot([]*account.Account{&other})
	if err != nil {
		t.Fatal(err)
	}
	f.relay.Retain(snapshot)
	f.sendOK(&other, "c\r\n")
	f.until(func() bool { return f.box.Stats().Quits == 1 })
	if n := f.box.Stats().Logins; n != 2 {
		t.Errorf("%d logins after a change of the endpoint, want 2", n)
	}
	provider.NoViolations(f.t, f.box)
}

func TestChangeWhileBusy(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxConnections = 1 })
	old := f.accounts[0]
	tx, c := f.envelope(old, "a@example.com", "b@example.com")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	c.next(t)
	other := *old
	other.SMTP.Host = "localhost"
	waiting, c2 := f.message(&other, "to@example.com", "new\r\n")
	if err := f.trySubmit(waiting); err != nil {
		t.Fatal(err)
	}
	tx.Content = content(t, "old\r\n")
	if err := f.goOn(tx); err != nil {
		t.Fatal(err)
	}
	for _, ans := range []answer{c.next(t), c2.next(t)} {
		if ans.res.Err != nil {
			t.Error(ans.res.Err)
		}
		ans.tx.Release()
	}
	if got := provider.Messages(f.t, f.box, 2); got[0].Connection == got[1].Connection {
		t.Error("a connection of before the change was used after it")
	}
}

func TestBackoff(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.relay.BackoffMin, s.relay.BackoffMax = time.Hour, time.Hour
		s.relay.Shards = 1
	})
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "454 4.7.0 too many logins"})
	f.flood(20, f.accounts[0])
	logins := f.box.Stats().Connections
	if logins > 3 {
		t.Errorf("%d attempts for a limit of 3 connections", logins)
	}
	res := f.send(f.accounts[0], "to@example.com", "a\r\n")
	if code(res.Reply) != "454 4.7.0" {
		t.Errorf("reply %v", res.Reply)
	}
	if n := f.box.Stats().Connections; n != logins {
		t.Error("connected during the back-off")
	}
	other := *f.accounts[0]
	other.SMTP.Host = "localhost" // the operator has changed something
	f.box.ClearFaults()
	f.sendOK(&other, "b\r\n")
}

func TestBackoffKeepsLiveConnections(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.BackoffMin, s.relay.BackoffMax = time.Hour, time.Hour })
	f.sendOK(f.accounts[0], "a\r\n")
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "454 4.7.0 too many logins"})
	for _, res := range f.flood(20, f.accounts[0]) {
		if res.Err != nil {
			t.Errorf("%v, although a connection was usable", res.Err)
		}
	}
	provider.Messages(f.t, f.box, 21)
}

func TestGlobalConcurrency(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.relay.GlobalConcurrency = 2
		s.relay.Shards = 3
		s.accounts = 8
	})
	provider.Faults(f.t, f.box, sandbox.Rule{Name: "held", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall, Times: 2,
		For: sandbox.Duration(100 * time.Millisecond)})
	var held []client
	for _, a := range f.accounts[:2] {
		tx, c := f.message(a, "to@example.com", "held\r\n")
		if err := f.trySubmit(tx); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	provider.Fired(f.t, f.box, "held", 2)
	tx, c := f.message(f.accounts[2], "to@example.com", "third\r\n")
	if err := f.trySubmit(tx); err != nil {
		t.Fatal(err)
	}
	if n := f.relay.connections(connBusy) + f.relay.connections(connDialing); n > 2 {
		t.Errorf("%d at one time, limit is 2", n)
	}
	for _, c := range append(held, c) {
		a := c.next(t)
		if a.res.Err != nil {
			t.Error(a.res.Err)
		}
		a.tx.Release()
	}
	for _, res := range f.flood(25, f.accounts...) {
		if res.Err != nil {
			t.Error(res.Err)
		}
	}
	provider.Messages(f.t, f.box, 203)
	f.until(func() bool {
		return f.relay.gate.Free() == 2
	})
}

// TestAccountIsForgotten: nothing is kept of an account whose connections were
// closed, because nobody used them or because they were worn.
func TestAccountIsForgotten(t *testing.T) {
	for name, limit := range map[string]func(l *account.Limits){
		"unused": func(l *account.Limits) { l.IdleTimeout = time.Millisecond },
		"worn":   func(l *account.Limits) { l.MaxMessagesPerConnection = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(s *setup) {
				s.relay.Shards = 1
				limit(&s.limits)
			})
			f.sendOK(f.accounts[0], "a\r\n")
			sh, n := f.relay.shards[0], make(chan int, 1)
			f.until(func() bool {
				sh.do(func(time.Time) { n <- len(sh.accounts) })
				return <-n == 0
			})
		})
	}
}
