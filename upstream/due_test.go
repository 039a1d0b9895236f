package upstream

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

// waits has a transaction wait in q that was submitted at some time.
func (st *accountState) waits(r *Relay, q *carry.Queue, submitted time.Time) {
	tx := GetTransaction()
	tx.Account, tx.Done, tx.Place.Submitted = st.account, newClient(), submitted
	r.desk.Waiting.Add(st.account.Provider, 1)
	q.Push(tx)
}

// dueCases are all that an account can be looked at for. Each has something come to
// its end at a moment.
var dueCases = []struct {
	name string
	// exact: then the account is due, if that is to come; else at once, or never
	// if it is over.
	exact, over bool
	put         func(r *Relay, st *accountState, now, at time.Time)
}{
	{"idle connection", true, false, func(r *Relay, st *accountState, now, at time.Time) {
		c := r.desk.NewConn(r.shards[0], st, st.account, nil, nil)
		c.LastUsed = at.Add(-st.account.Limits.IdleTimeout)
		st.parked.Push(c)
		st.count[connParked]++
	}},
	{"message waits for a connection", true, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.waits(r, &st.waiting, at.Add(-st.acquireTimeout()))
		st.count[connBusy]++
	}},
	{"message waits for the turn of a login", true, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.waits(r, &st.waiting, at.Add(-st.linePatience()))
		st.inLine = true
	}},
	{"message waits for a new connection", true, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.waits(r, &st.fresh, at.Add(-st.linePatience()))
		st.count[connBusy]++
	}},
	{"message waits for the end of a back-off", true, true, func(r *Relay, st *accountState, now, at time.Time) {
		st.waits(r, &st.fresh, now)
		st.backoff = backoffUntil(at)
	}},
	{"back-off", false, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.backoff = backoffUntil(at)
	}},
	{"memory of a back-off", true, true, func(r *Relay, st *accountState, now, at time.Time) {
		st.backoff = backoffUntil(at.Add(-throttle.BackoffMemory))
	}},
	{"memory of a back-off, and counts of the day", true, true, func(r *Relay, st *accountState, now, at time.Time) {
		st.backoff = backoffUntil(at.Add(-throttle.BackoffMemory))
		st.meter = limit.NewMeter(now)
		st.meter.Take(&st.account.Limits, 1)
		st.meter.Settle(now, 1, 1)
	}},
	{"memory of a back-off, and a hold", true, true, func(r *Relay, st *accountState, now, at time.Time) {
		st.backoff = backoffUntil(at.Add(-throttle.BackoffMemory))
		st.throttle = throttle.New(time.Minute)
		st.throttle.Hold(at, throttle.Refusal{})
	}},
	{"limit on messages", false, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.account.Limits.MessagesPerMinute = 1
		st.meter = limit.NewMeter(at)
		st.meter.Adopt(&st.account.Limits, at)
		st.meter.Take(&st.account.Limits, 1)
		st.meter.Settle(at, 1, 1)
		st.waits(r, &st.waiting, now)
	}},
	{"limit on logins", false, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.account.Limits.LoginsPerMinute = 1
		st.countLogins(1, at)
		st.waits(r, &st.waiting, now)
	}},
	{"fewer connections", false, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.throttle = throttle.New(time.Minute)
		st.throttle.Slow(at, 3, 3, "slow", time.Second, time.Second)
		st.waits(r, &st.waiting, now)
		st.count[connBusy]++
	}},
	{"pause", false, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.throttle = throttle.New(time.Minute)
		for _, before := range []time.Duration{90 * time.Second, time.Minute} { // at one connection the second one pauses
			st.throttle.Slow(at.Add(-before), 1, 3, "slow", time.Minute, time.Minute)
		}
	}},
	{"quota", false, false, func(r *Relay, st *accountState, now, at time.Time) {
		st.throttle = throttle.New(time.Minute)
		st.throttle.Quota(at.Add(-time.Hour), 3, "quota")
	}},
	{"global slot", false, false, func(r *Relay, st *accountState, now, at time.Time) { st.blocked = true }},
	{"nothing", false, false, func(r *Relay, st *accountState, now, at time.Time) {}},
}

// backoffUntil is a back-off with a pause until then.
func backoffUntil(until time.Time) (b backoff) {
	b.Wait(&Error{Err: io.EOF}, until)
	return b
}

// TestDueTimes: whatever an account waits for, and whenever that comes to its end,
// the timer looks at it then; and when it has looked, the next look is to come, in
// some minutes at the latest.
func TestDueTimes(t *testing.T) {
	for _, tt := range dueCases {
		for _, ahead := range []time.Duration{-50 * time.Hour, -time.Hour, -time.Second, -1, 0, 1, time.Second, time.Minute, time.Hour} {
			t.Run(fmt.Sprintf("%s, %v ahead", tt.name, ahead), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newResting(t, 1)
					s := r.relay.shards[0]
					looked := make(chan struct{})
					s.do(func(now time.Time) {
						defer close(looked)
						a := *r.accounts[1]
						a.Limits.MaxConnections = 1
						st := s.state(&a)
						fullLines(s, st, now)
						at := now.Add(ahead)
						tt.put(r.relay, st, now, at)
						due := st.nextDue(now)
						switch late := ahead <= 0; {
						case tt.exact && !late && ahead < recheck && !due.Equal(at):
							t.Errorf("due in %v", due.Sub(now))
						case tt.exact && late && due.After(now) != tt.over:
							t.Errorf("due in %v though that was %v ago", due.Sub(now), -ahead)
						}
						checkLooked(t, s, st, now)
					})
					<-looked
					if err := r.relay.Close(context.Background()); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// checkLooked has the timer look at st and fails the test if it would do so again at
// once, or never.
func checkLooked(t *testing.T, s *shard, st *accountState, now time.Time) {
	t.Helper()
	s.touch(st, now)
	s.onTick(now)
	if s.accounts[st.key] != st {
		return // forgotten
	}
	for what, due := range map[string]time.Time{"due": st.nextDue(now), "looked at": st.At} {
		if d := due.Sub(now); d <= 0 || d > recheck {
			t.Errorf("after a look it is %s in %v", what, d)
		}
	}
	if s.touch(st, now.Add(-time.Hour)); !st.At.After(now) {
		t.Errorf("a deadline that has passed is looked at %v after the look", st.At.Sub(now))
	}
}

// fullLines leaves no turn for a login of st.
func fullLines(s *shard, st *accountState, now time.Time) {
	for _, first := range []bool{true, false} {
		l := s.line(lineKey{st.account.SMTP, first})
		for range firstAtOnce {
			l.running = append(l.running, &dialing{began: now})
		}
	}
}

// TestPanicDoesNotStopTheTimer: what happens to one account is not the end of the
// deadlines of the others.
func TestPanicDoesNotStopTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResting(t, 1)
		s := r.relay.shards[0]
		var bad, good *accountState
		s.do(func(now time.Time) {
			bad, good = s.state(r.accounts[1]), s.state(&account.Account{ID: "good"})
			bad.account = nil // the look at it ends in a panic
			s.touch(bad, now.Add(time.Second))
			s.touch(good, now.Add(time.Second))
		})
		<-time.After(time.Minute)
		done := make(chan struct{})
		s.do(func(time.Time) {
			defer close(done)
			if _, ok := s.accounts[good.key]; ok {
				t.Error("an account that is of no use is still known")
			}
			bad.account = r.accounts[1]
		})
		<-done
		if n := r.relay.desk.Metrics.Panics.Get(); n != 1 {
			t.Errorf("%d panics", n)
		}
		if err := r.relay.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestFreshTransactionsGoOn: a message that needs a new connection gets the place of
// one that has become free, and is not kept waiting for it without end.
func TestFreshTransactionsGoOn(t *testing.T) {
	for _, free := range []bool{true, false} {
		t.Run(fmt.Sprintf("a connection becomes free: %t", free), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newResting(t, 1)
				a := *r.accounts[1]
				a.Limits.MaxConnections, a.Limits.IdleTimeout = 1, 0
				s := r.relay.shards[0]
				var c client
				s.do(func(now time.Time) {
					st := s.state(&a)
					s.move(st, connGone, connBusy)
					r.relay.gate.Acquire(s)
					st.waits(r.relay, &st.fresh, now)
					tx := st.fresh.Head()
					c = tx.Done.(client)
					tx.Content = content(t, "x\r\n")
					s.plan(st, now)
					if free {
						c := r.relay.desk.NewConn(s, st, &a, nil, nil)
						st.inUse.Push(c)
						s.Enqueue(carry.Event{Kind: carry.Done, Conn: c, Now: now})
					}
				})
				select {
				case ans := <-c:
					if accepted := ans.res.Reply.Code == 250; accepted != free {
						t.Errorf("reply %v", ans.res.Reply)
					}
				case <-time.After(2 * linePatience):
					t.Error("no reply")
				}
				if !free {
					s.do(func(time.Time) { s.move(s.accounts[keyOf(&a)], connBusy, connGone) })
				}
				if err := r.relay.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
