package share

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// of is a limit for one kind.
func of(k Kind, limit int) (permits [NumKinds]int) {
	permits[k] = limit
	return permits
}

// TestBatches has messages wait: the batch is what the next one needs, or what waits up to a
// quarter of the limit for each node; nothing ahead at 60 a minute.
func TestBatches(t *testing.T) {
	for _, tt := range []struct {
		kind                       Kind
		limit, nodes, waits, wants int
	}{
		{MessagesPerMinute, 30, 1, 20, 1},
		{MessagesPerMinute, 60, 1, 20, 1},
		{MessagesPerMinute, 61, 1, 20, 15},
		{MessagesPerMinute, 600, 1, 20, 20},
		{MessagesPerMinute, 600, 1, 1000, 150},
		{MessagesPerMinute, 600, 4, 1000, 37},
		{MessagesPerHour, 60, 1, 20, 15},
		{MessagesPerHour, 10, 4, 20, 1},
		{MessagesPerDay, 2000, 2, 1000, 250},
		{LoginsPerMinute, 10, 1, 3, 1},
		{RecipientsPerDay, 100, 1, 70, 70}, // of the next message
		{RecipientsPerDay, 100, 1, 0, 0},
		{MessagesPerMinute, 600, 1, 0, 0},
	} {
		t.Run(fmt.Sprintf("%d of %d for %d", tt.kind, tt.limit, tt.waits), func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.store.set(func() { w.store.nodes = tt.nodes })
				b, _ := w.join("k", 3, of(tt.kind, tt.limit))
				b.Report(1, 0, 1)
				synctest.Wait() // it learns how many nodes there are
				b.Want(tt.kind, tt.waits)
				synctest.Wait()
				r, _ := w.store.last("k")
				is(t, "wanted", r.Permits[tt.kind].Want, tt.wants)
				is(t, "room", b.Room(tt.kind), tt.wants)
			})
		})
	}
}

// TestHalfGone takes permits one by one: more are leased when half of the batch is gone, and
// the message that takes the next one does not wait.
func TestHalfGone(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, _ := w.join("k", 3, of(MessagesPerMinute, 600))
		gate := make(chan error)
		w.store.set(func() { w.store.meet = func(context.Context, int) error { return <-gate } })
		b.Want(MessagesPerMinute, 1000)
		synctest.Wait()
		b.Want(MessagesPerMinute, 999) // it is asked for already
		w.store.set(func() { w.store.meet = nil })
		gate <- nil
		synctest.Wait()
		_, calls := w.store.last("k")
		is(t, "renewals", calls, 1)
		for i := range 74 {
			is(t, "taken", b.Take(MessagesPerMinute), true)
			synctest.Wait()
			if _, n := w.store.last("k"); n != calls {
				t.Fatalf("a renewal after %d of 150 were taken", i+1)
			}
		}
		b.Take(MessagesPerMinute)
		synctest.Wait()
		r, n := w.store.last("k")
		is(t, "renewals", n, calls+1)
		is(t, "held", r.Permits[MessagesPerMinute].Held, 150)
		is(t, "wanted", r.Permits[MessagesPerMinute].Want, 75+150)
		is(t, "room", b.Room(MessagesPerMinute), 150)
	})
}

// TestWarm has single messages come one after the other: from the second one on there are
// permits before they come.
func TestWarm(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, _ := w.join("k", 3, of(MessagesPerDay, 2000))
		b.Want(MessagesPerDay, 1)
		synctest.Wait()
		for i := range 20 {
			if !b.Take(MessagesPerDay) {
				t.Fatalf("message %d waits", i)
			}
			b.Want(MessagesPerDay, 0)
			w.pass(10 * time.Second)
			b.Settle(MessagesPerDay, 1, 1)
		}
	})
}

// TestHeldUntilSettled has a message take its time: its permit stays held, and counts from the
// end of the message on. A refused one is free again.
func TestHeldUntilSettled(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, _ := w.join("k", 3, of(MessagesPerMinute, 30))
		b.Want(MessagesPerMinute, 1)
		synctest.Wait()
		b.Want(MessagesPerMinute, 0) // before Take: else another one may be asked for meanwhile
		is(t, "taken", b.Take(MessagesPerMinute), true)
		is(t, "taken twice", b.Take(MessagesPerMinute), false)
		sees := func(when string, settled uint64, held int) {
			t.Helper()
			w.pass(RenewEvery)
			r, _ := w.store.last("k")
			p := r.Permits[MessagesPerMinute]
			is(t, when+": settled", p.Settled, settled)
			is(t, when+": held", p.Held, held)
		}
		for range 20 {
			sees("under way", 0, 1)
		}
		b.Settle(MessagesPerMinute, 1, 1)
		sees("accepted", 1, 0)
		b.Want(MessagesPerMinute, 1)
		synctest.Wait()
		b.Want(MessagesPerMinute, 0)
		is(t, "taken", b.Take(MessagesPerMinute), true)
		b.Settle(MessagesPerMinute, 1, 0)
		is(t, "room after a refused one", b.Room(MessagesPerMinute), 1)
		sees("refused, and given back", 0, 0) // what was settled is known since the mailbox was quiet
	})
}

// TestGivenBack leaves permits unused: they are taken out before the store is told, and the
// others stay.
func TestGivenBack(t *testing.T) {
	for _, k := range []Kind{MessagesPerMinute, MessagesPerDay} {
		inWorld(t, Config{}, func(w *world) {
			b, _ := w.join("k", 3, of(k, 600))
			b.Want(k, 10)
			synctest.Wait()
			is(t, "taken", b.Take(k), true)
			b.Want(k, 0) // the others have gone
			gate := make(chan error)
			begun := time.Now()
			w.store.set(func() {
				w.store.meet = func(context.Context, int) error {
					if r, _ := w.store.last("k"); r.Permits[k].Held > 1 {
						return nil
					}
					return <-gate
				}
			})
			for time.Since(begun) < 2*k.term()+lookEvery {
				w.pass(lookEvery)
			}
			r, _ := w.store.last("k")
			is(t, "held while the store is told", r.Permits[k].Held, 1)
			is(t, "room", b.Room(k), 0)
			is(t, "taken", b.Take(k), false)
			is(t, "within a slot", k.term() <= k.Span()/time.Duration(k.Slots()), true)
			w.store.set(func() { w.store.meet = nil })
			close(gate)
		})
	}
}

// TestWait has the store have no more permits: it says until when, and is asked then, and not
// sooner, unless something else is to be told.
func TestWait(t *testing.T) {
	const after = 7300 * time.Millisecond
	inWorld(t, Config{}, func(w *world) {
		empty := true
		w.store.grant = func(r *Report, g *Grant) {
			if empty {
				g.Permits[MessagesPerMinute] = PermitGrant{Held: r.Permits[MessagesPerMinute].Held, Used: 30, Next: after}
			}
		}
		b, changed := w.join("k", 3, of(MessagesPerMinute, 30))
		if _, ok := b.Wait(MessagesPerMinute); ok {
			t.Error("it is known before the first answer that there is none")
		}
		begun := time.Now()
		b.Want(MessagesPerMinute, 3)
		synctest.Wait()
		until, ok := b.Wait(MessagesPerMinute)
		is(t, "known", ok, true)
		is(t, "until", until.Sub(begun), after)
		is(t, "the pool was told", changed() > 0, true)
		_, calls := w.store.last("k")
		b.Want(MessagesPerMinute, 4)
		synctest.Wait()
		_, n := w.store.last("k")
		is(t, "renewals for a wish that cannot be met", n, calls)

		w.store.set(func() { w.store.grant = nil })
		w.pass(RenewEvery) // with all others
		is(t, "room", b.Room(MessagesPerMinute), 1)
		if _, ok := b.Wait(MessagesPerMinute); ok {
			t.Error("there is one, and it is said that there is none")
		}
		b.Want(MessagesPerMinute, 0)
		is(t, "taken", b.Take(MessagesPerMinute), true)
		synctest.Wait()
		b.Settle(MessagesPerMinute, 1, 1)

		w.store.set(func() {
			w.store.grant = func(r *Report, g *Grant) {
				g.Permits[MessagesPerMinute] = PermitGrant{Held: r.Permits[MessagesPerMinute].Held, Next: 1300 * time.Millisecond}
			}
		})
		b.Want(MessagesPerMinute, 1)
		synctest.Wait()
		w.store.set(func() { w.store.grant = nil })
		w.pass(1300 * time.Millisecond)
		is(t, "room at the moment that the store told", b.Room(MessagesPerMinute), 1)
	})
}

// TestNoLimit has no limit of a kind, and then one: the messages under way are held.
func TestNoLimit(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b, _ := w.join("k", 0, [NumKinds]int{})
		is(t, "taken without a limit", b.Take(MessagesPerDay), true)
		is(t, "taken without a limit", b.Take(MessagesPerDay), true)
		b.Settle(MessagesPerDay, 1, 1)
		b.Limit(0, of(MessagesPerDay, 10))
		is(t, "taken before the first answer", b.Take(MessagesPerDay), false)
		w.pass(RenewEvery)
		r, _ := w.store.last("k")
		is(t, "held", r.Permits[MessagesPerDay].Held, 1)
		is(t, "settled", r.Permits[MessagesPerDay].Settled, 0)
		b.Settle(MessagesPerDay, 1, 1)
		w.pass(RenewEvery)
		r, _ = w.store.last("k")
		is(t, "settled", r.Permits[MessagesPerDay].Settled, 1)
	})
}
