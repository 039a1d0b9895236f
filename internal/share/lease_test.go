package share

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// TestRuleOfUnanswered has renewals that are under way, lost or late: no connection may be
// opened above those that the report had, until it or a later one is answered.
func TestRuleOfUnanswered(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, changed := w.join("k", 5, [NumKinds]int{})
		is(t, "before the first answer", b.Connections(), 0)
		b.Report(0, 0, 3)
		synctest.Wait()
		is(t, "after it", b.Connections(), 3)
		b.Report(1, 0, 3)

		gate := make(chan error)
		w.store.set(func() {
			w.store.meet = func(context.Context, int) error { return <-gate }
		})
		b.Report(1, 0, 4) // more than is granted: sent at once
		synctest.Wait()
		is(t, "under way", b.Connections(), 1)
		before := changed()
		gate <- errLost
		synctest.Wait()
		is(t, "after the loss", b.Connections(), 1)
		is(t, "calls of changed", changed(), before)

		b.Report(0, 0, 4) // it closed one meanwhile
		w.pass(retryFirst)
		is(t, "the next one under way", b.Connections(), 0)
		gate <- errLost
		synctest.Wait()
		b.Report(0, 0, 4)
		is(t, "after the second loss", b.Connections(), 0)
		w.pass(2 * retryFirst)
		gate <- nil
		synctest.Wait()
		is(t, "after a later answer", b.Connections(), 4)
		is(t, "calls of changed", changed(), before+1)

		w.pass(RenewEvery)
		is(t, "under way", b.Connections(), 0)
		gate <- nil
		synctest.Wait()
		is(t, "after the same answer", b.Connections(), 4)
		is(t, "calls of changed, as the pool was told less meanwhile", changed(), before+2)
		w.pass(RenewEvery)
		gate <- nil
		synctest.Wait()
		is(t, "calls of changed, as it has not asked meanwhile", changed(), before+2)
		w.store.set(func() { w.store.meet = nil })
	})
}

// TestLowest has the number of connections rise and fall between renewals without an answer:
// the lowest counts, for its report may be the one that was executed.
func TestLowest(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, _ := w.join("k", 5, [NumKinds]int{})
		b.Report(0, 0, 3)
		synctest.Wait()
		b.Report(3, 3, 3)
		w.pass(RenewEvery)
		w.store.set(func() { w.store.meet = away })
		b.Report(2, 1, 3)
		w.pass(RenewEvery)
		for _, have := range []int{1, 2} { // pools report one before they look whether they may open it
			b.Report(have, 1, 3)
			w.pass(retryMost + retryFirst)
		}
		is(t, "connections", b.Connections(), 1)
		w.store.set(func() { w.store.meet = nil })
		w.pass(retryMost + patienceMost)
		is(t, "connections after an answer", b.Connections(), 3)
	})
}

// TestEndOfLease has the store fall silent after an answer that took its time: the lease
// counts from the sending.
func TestEndOfLease(t *testing.T) {
	const slow = 150 * time.Millisecond
	var permits [NumKinds]int
	permits[MessagesPerMinute] = 600
	inWorld(t, Config{}, func(w *world) {
		b, changed := w.join("k", 5, permits)
		b.Want(MessagesPerMinute, 8)
		w.pass(time.Second)
		w.store.set(func() {
			w.store.meet = func(ctx context.Context, call int) error {
				w.store.set(func() { w.store.meet = away })
				<-time.After(slow)
				return nil
			}
		})
		b.Report(2, 1, 3)
		sent := time.Now()
		w.pass(slow)
		is(t, "granted", b.Connections(), 3)
		is(t, "messages", b.Messages(), math.MaxInt32)
		b.Report(3, 3, 3) // two more messages begin

		until := func(age time.Duration) { w.pass(age - time.Since(sent)) }
		until(10*time.Second - time.Millisecond)
		if b.Connections() == 0 || b.Err() != nil {
			t.Errorf("just before 10 s: %d connections, %v", b.Connections(), b.Err())
		}
		before := changed()
		until(10 * time.Second)
		is(t, "connections at 10 s", b.Connections(), 0)
		is(t, "messages at 10 s", b.Messages(), math.MaxInt32)
		is(t, "permit at 10 s", b.Take(MessagesPerMinute), true)
		is(t, "error at 10 s", b.Err(), nil)
		until(12 * time.Second)
		is(t, "the pool was told", changed() > before, true)
		until(15*time.Second - time.Millisecond)
		is(t, "permit before 15 s", b.Take(MessagesPerMinute), true)
		before = changed()
		until(15 * time.Second)
		is(t, "permit at 15 s", b.Take(MessagesPerMinute), false)
		is(t, "room at 15 s", b.Room(MessagesPerMinute), 0)
		is(t, "messages at 15 s", b.Messages(), 1) // the store knows of one
		is(t, "error at 15 s", errors.Is(b.Err(), ErrOutage), true)
		until(17 * time.Second)
		is(t, "the pool was told", changed() > before, true)

		w.store.set(func() { w.store.meet = nil })
		b.Report(1, 1, 2)
		w.pass(retryMost + patienceMost)
		is(t, "error after the outage", b.Err(), nil)
		is(t, "connections after it", b.Connections(), 2)
		is(t, "messages after it", b.Messages(), math.MaxInt32)
		r, _ := w.store.last("k")
		is(t, "permits held: those in use, the others were dropped", r.Permits[MessagesPerMinute].Held >= 2, true)
	})
}

// TestFrozen has the process stand still for longer than a lease lasts, in the middle of a
// call: it sees the end by the clock, before anything has told it.
func TestFrozen(t *testing.T) {
	for _, frozen := range []time.Duration{14 * time.Second, TTL, time.Minute} {
		var permits [NumKinds]int
		permits[MessagesPerMinute] = 600
		inWorld(t, Config{}, func(w *world) {
			b, _ := w.join("k", 5, permits)
			b.Want(MessagesPerMinute, 10)
			b.Report(0, 0, 3)
			synctest.Wait()
			is(t, "granted", b.Connections(), 3)
			w.store.set(func() { // a call that outlives its context stands for the frozen process
				w.store.meet = func(context.Context, int) error {
					<-time.After(frozen)
					return errLost
				}
			})
			b.Report(0, 0, 4)
			<-time.After(frozen)
			is(t, "connections", b.Connections(), 0)
			is(t, "a permit", b.Take(MessagesPerMinute), frozen < TTL)
			is(t, "room", b.Room(MessagesPerMinute) > 0, frozen < TTL)
			w.store.set(func() { w.store.meet = nil })
		})
	}
}

// TestEpoch has the store begin anew: nothing new begins before it was told what the node has
// and has counted, and has answered.
func TestEpoch(t *testing.T) {
	var permits [NumKinds]int
	permits[MessagesPerDay] = 1000
	inWorld(t, Config{}, func(w *world) {
		hour := hourOf(time.Now())
		b, _ := w.join("k", 5, permits)
		quiet, _ := w.join("quiet", 5, permits)
		quiet.Restore(Hour{Number: hour, Messages: 4})
		b.Restore(Hour{Number: hour - 1, Messages: 7, Recipients: 8})
		b.Restore(Hour{Number: hour - 30, Messages: 9})
		b.Want(MessagesPerDay, 10)
		b.Report(1, 0, 3)
		synctest.Wait()
		r, _ := w.store.last("k")
		is(t, "hours of the first report", len(r.Hours), 2)
		for range 3 {
			is(t, "a permit", b.Take(MessagesPerDay), true)
		}
		b.Settle(MessagesPerDay, 3, 2)
		w.pass(2 * RenewEvery)
		r, _ = w.store.last("k")
		is(t, "hours of later reports", len(r.Hours), 0)

		gate := make(chan error)
		w.store.set(func() {
			w.store.epoch = "2"
			calls := len(w.store.calls)
			w.store.meet = func(_ context.Context, call int) error {
				if call == calls+1 {
					return nil
				}
				return <-gate
			}
		})
		b.Report(1, 0, 4)
		synctest.Wait()
		is(t, "connections in a new epoch", b.Connections(), 1)
		is(t, "a permit in a new epoch", b.Take(MessagesPerDay), false)
		is(t, "an error in a new epoch", b.Err(), nil)
		r, _ = w.store.last("k")
		if len(r.Hours) != 2 || r.Hours[0] != (Hour{hour, 2, 0}) || r.Hours[1] != (Hour{hour - 1, 7, 8}) {
			t.Errorf("the store is told of the hours %v", r.Hours)
		}
		r, _ = w.store.last("quiet")
		is(t, "hours of a quiet mailbox", len(r.Hours), 1)
		gate <- nil
		w.store.set(func() { w.store.meet = nil })
		synctest.Wait()
		is(t, "connections after it", b.Connections(), 4)
		is(t, "a permit after it", b.Take(MessagesPerDay), true)
		b.Settle(MessagesPerDay, 1, 0)
		is(t, "lines of the log", w.logs.FilterMessageSnippet("began anew").Len(), 1)
	})
}
